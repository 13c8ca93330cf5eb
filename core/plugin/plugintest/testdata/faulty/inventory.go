package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/chandler-broker/chandler/core/plugin"
)

func (a *author) Inspect(_ context.Context, req *plugin.InspectRequest) (plugin.Inspection, error) {
	dir := a.instance(req.InstanceID)
	found := plugin.Inspection{Exists: exists(filepath.Join(dir, "object")), Outputs: map[string]string{"database": key(req.InstanceID)}}
	switch fault {
	case "inspect-drift":
		found.Drift = []plugin.Drift{{Pointer: "/size", Message: "it looks larger"}}
	case "inspect-deletes":
		return found, os.RemoveAll(dir)
	case "inspect-outputs":
		found.Outputs = map[string]string{"database": random()}
	case "inspect-believes":
		found.Exists = !req.Applied.Outputs.Empty()
	}
	return found, nil
}

// List keeps the ids of all that it ever listed beside the instances, for a fault.
func (a *author) List(_ context.Context, req *plugin.ListRequest) (plugin.Page, error) {
	var ids []string
	files, err := filepath.Glob(filepath.Join(a.dir, "*", "id"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // removed since
		}
		ids = append(ids, string(raw))
	}
	memory := filepath.Join(a.dir, "memory")
	switch fault {
	case "list-forgets":
		ids = nil
	case "list-remembers":
		raw, _ := os.ReadFile(memory)
		if len(raw) > 0 {
			ids = append(ids, strings.Split(string(raw), "\n")...)
		}
		if err := write(memory, strings.Join(ids, "\n")); err != nil {
			return plugin.Page{}, err
		}
	case "list-for-ever":
		return plugin.Page{Next: "again"}, nil
	case "list-too-much":
		return plugin.Page{Found: make([]plugin.Found, 3)}, nil
	}
	if exists(filepath.Join(a.dir, "unowned")) && fault != "list-hides" {
		ids = append(ids, "")
	}
	slices.Sort(ids)
	begin, _ := strconv.Atoi(req.PageToken)
	page := plugin.Page{}
	for _, id := range ids[min(begin, len(ids)):min(begin+req.PageSize, len(ids))] {
		f := plugin.Found{Name: key(id), InstanceID: id}
		if id == "" {
			f.Inputs = map[string]int{"size": 7}
		}
		page.Found = append(page.Found, f)
	}
	if end := begin + req.PageSize; end < len(ids) {
		page.Next = strconv.Itoa(end)
	}
	return page, err
}

// Adopt takes the file "unowned", if there is one.
func (a *author) Adopt(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	object := filepath.Join(a.instance(req.InstanceID), "object")
	unowned := filepath.Join(a.dir, "unowned")
	if exists(unowned) || exists(object) {
		out := map[string]any{"database": key(req.InstanceID)}
		switch fault {
		case "adopt-nothing":
			return plugin.Done(out), nil
		case "adopt-outputs":
			out["database"] = random()
		}
		if err := os.RemoveAll(unowned); err != nil {
			return plugin.Result{}, err
		}
		return plugin.Done(out), write(object, "")
	}
	switch fault {
	case "adopt-takes":
		return plugin.Done(map[string]any{"database": key(req.InstanceID)}), write(object, "")
	case "adopt-marks":
		if err := write(object, ""); err != nil {
			return plugin.Result{}, err
		}
	}
	return plugin.Result{}, plugin.Conflict("it is another's")
}
