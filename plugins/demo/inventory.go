package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core/plugin"
)

var (
	_ plugin.Inspector = (*demo)(nil)
	_ plugin.Lister    = (*demo)(nil)
	_ plugin.Adopter   = (*demo)(nil)
)

// Inspect compares the record's inputs with the applied ones.
func (d *demo) Inspect(_ context.Context, req *plugin.InspectRequest) (plugin.Inspection, error) {
	r, err := d.store.read(key(req.InstanceID))
	if err != nil || r == nil {
		return plugin.Inspection{}, err
	}
	var want, have instanceInputs
	if err := req.Applied.Inputs.Decode(&want); err != nil {
		return plugin.Inspection{}, err
	}
	if err := json.Unmarshal(orObject(r.Inputs), &have); err != nil {
		return plugin.Inspection{}, err
	}
	found := plugin.Inspection{Exists: true, Outputs: d.instanceOutputs(req.InstanceID)}
	differs := func(differ bool, pointer, format string, args ...any) {
		if differ {
			found.Drift = append(found.Drift, plugin.Drift{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
		}
	}
	differs(r.State != stateReady, "", "The record is %s.", r.State)
	differs(r.Name != want.Name, "/name", "The name is %q, not %q.", r.Name, want.Name)
	differs(have.size() != want.size(), "/size", "The size is %d, not %d.", have.size(), want.size())
	differs(have.OnDelete != want.OnDelete, "/onDelete", "onDelete is %q, not %q.", have.OnDelete, want.OnDelete)
	return found, nil
}

// List names the records, and the loose files that could be adopted, by name.
func (d *demo) List(_ context.Context, req *plugin.ListRequest) (plugin.Page, error) {
	found, err := d.store.found()
	if err != nil {
		return plugin.Page{}, err
	}
	size := req.PageSize
	if size == 0 {
		size = 100
	}
	after, _ := slices.BinarySearchFunc(found, req.PageToken, func(f plugin.Found, token string) int {
		if f.Name <= token {
			return -1
		}
		return 1
	})
	page := plugin.Page{Found: found[after:]}
	if len(page.Found) > size {
		page.Found = page.Found[:size]
		page.Next = page.Found[size-1].Name
	}
	return page, nil
}

// found lists what is in the directory, sorted by name.
func (s *store) found() (list []plugin.Found, err error) {
	records, err := filepath.Glob(filepath.Join(s.dir, "instances", "*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range records {
		k := strings.TrimSuffix(filepath.Base(path), ".json")
		r, err := s.read(k)
		if err != nil {
			return nil, err
		}
		if r == nil { // removed since
			continue
		}
		f := plugin.Found{Name: k, InstanceID: r.InstanceID, Marked: true,
			Attributes: map[string]any{"keys": len(r.Data), "bindings": len(r.Bindings), "state": r.State}}
		if r.Name != "" {
			f.Inputs = map[string]string{"name": r.Name}
		}
		list = append(list, f)
	}
	loose, err := filepath.Glob(filepath.Join(s.dir, "loose", "*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range loose {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		list = append(list, plugin.Found{Name: "loose/" + name, Inputs: map[string]string{"name": name}})
	}
	slices.SortFunc(list, func(a, b plugin.Found) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Adopt makes the loose file of that name an instance: first the record with its
// content, then the file goes. A repeat finds the record.
func (d *demo) Adopt(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in instanceInputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	w := d.work("adopt", req.OperationID, in.behaviour, req.Handle, req.Progress)
	return w.run(ctx,
		func() error {
			return d.store.locked(func(t *turn) error { _, err := d.adoptable(t, req, in); return err })
		},
		func() (plugin.Result, error) {
			err := d.store.locked(func(t *turn) error {
				r, err := d.adoptable(t, req, in)
				if err != nil {
					return err
				}
				r.State, r.Inputs, r.Name, r.Fence = stateReady, req.Inputs.Raw(), in.Name, req.Fence
				if err := t.write(r); err != nil {
					return err
				}
				t.remove(d.store.loosePath(in.Name))
				return nil
			})
			return plugin.Done(d.instanceOutputs(req.InstanceID)), err
		})
}

// adoptable gives the record that an adopt writes: the one that an earlier call wrote, or
// a new one of the loose file's content.
func (d *demo) adoptable(t *turn, req *plugin.InstanceRequest, in instanceInputs) (*record, error) {
	if err := checkName(t, in.Name, req.InstanceID); err != nil {
		return nil, err
	}
	r, err := t.read(key(req.InstanceID))
	switch {
	case err != nil:
		return nil, err
	case r != nil && (in.Name == "" || r.Name != in.Name):
		return nil, plugin.Conflict("The instance has the name %q already.", r.Name)
	case r != nil:
		return r, checkFence(r, req.Fence)
	}
	data, err := t.loose(in.Name)
	if err != nil {
		return nil, err
	}
	if len(data) > in.size() {
		return nil, plugin.InvalidInput("/size", "It holds %d keys, so its size cannot be %d.", len(data), in.size())
	}
	return &record{InstanceID: req.InstanceID, Created: mark{req.OperationID, req.Fence}, Bindings: map[string]bindingRecord{}, Data: data}, nil
}

// loosePath is where data lies that nobody made an instance of.
func (s *store) loosePath(name string) string { return filepath.Join(s.dir, "loose", name+".json") }

// loose reads a loose file: an object of texts.
func (t *turn) loose(name string) (data map[string]string, err error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, plugin.InvalidInput("/name", "The name %q is not that of a loose file.", name)
	}
	raw, err := t.file(t.s.loosePath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, plugin.NotFound("There is no loose data with the name %q.", name)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &data); err != nil || data == nil {
		return nil, plugin.InvalidInput("/name", "The loose data %q is not a JSON object of texts.", name)
	}
	return data, nil
}
