package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/plugin"
)

// lay puts loose data into the directory.
func lay(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "loose"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "loose", name+".json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAdopt(t *testing.T) {
	d, dir := configured(t, `{}`)
	lay(t, dir, "photos", `{"greeting":"hello","more":"x"}`)
	lay(t, dir, "broken", `[1]`)
	r, err := d.Provision(t.Context(), instance("other", `{"name":"films"}`))
	must(t, r, err)
	for name, tc := range map[string]struct {
		why, id, inputs string
		want            plugin.Code
	}{
		"another's":      {"it carries another instance's mark", "i", `{"name":"films"}`, plugin.CodeConflict},
		"not there":      {"nothing has that name", "i", `{"name":"none"}`, plugin.CodeNotFound},
		"no name":        {"nothing is named", "i", `{}`, plugin.CodeInvalidInput},
		"a way out":      {"a name is no path", "i", `{"name":"../port"}`, plugin.CodeInvalidInput},
		"no data":        {"it could not be served", "i", `{"name":"broken"}`, plugin.CodeInvalidInput},
		"too small":      {"it would be full at once", "i", `{"name":"photos","size":1}`, plugin.CodeInvalidInput},
		"another's id":   {"the id is in use", "other", `{"name":"photos"}`, plugin.CodeConflict},
		"another's bare": {"the id is in use", "other", `{}`, plugin.CodeConflict},
	} {
		if _, err := d.Adopt(t.Context(), instance(tc.id, tc.inputs)); plugin.CodeOf(err) != tc.want {
			t.Errorf("%s: %v; %s", name, err, tc.why)
		}
	}
	if r, err := d.store.read(key("i")); err != nil || r != nil {
		t.Fatalf("a refused adopt left %+v, %v", r, err)
	}

	req := instance("i", `{"name":"photos"}`)
	r, err = d.Adopt(t.Context(), req)
	first := must(t, r, err)
	lay(t, dir, "photos", `{}`) // as if the file had not gone before a crash
	r, err = d.Adopt(t.Context(), req)
	if again := must(t, r, err); string(first.Raw()) != string(again.Raw()) {
		t.Errorf("a repeat gives %s, not %s", again.Raw(), first.Raw())
	}
	rec, err := d.store.read(key("i"))
	if err != nil || rec.Data["greeting"] != "hello" || rec.State != stateReady || rec.Name != "photos" {
		t.Errorf("the record is %+v, %v", rec, err)
	}
	if _, err := os.Stat(d.store.loosePath("photos")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the loose file is left: %v", err)
	}
	r, err = d.Provision(t.Context(), instance("i", `{"name":"photos"}`))
	if again := must(t, r, err); string(first.Raw()) != string(again.Raw()) {
		t.Errorf("provision of it gives %s, not %s", again.Raw(), first.Raw())
	}
}

func TestList(t *testing.T) {
	d, dir := configured(t, `{}`)
	lay(t, dir, "photos", `{}`)
	want := []string{"loose/photos"}
	for _, id := range []string{"a", "b", "c"} {
		r, err := d.Provision(t.Context(), instance(id, `{"name":"n-`+id+`"}`))
		must(t, r, err)
		want = append(want, key(id))
	}
	slices.Sort(want)
	for _, size := range []int{0, 1, 3, 4} {
		var names []string
		req := &plugin.ListRequest{PageSize: size}
		for pages := 0; pages < 10; pages++ {
			page, err := d.List(t.Context(), req)
			if err != nil || size > 0 && len(page.Found) > size {
				t.Fatalf("%+v, %v", page, err)
			}
			for _, f := range page.Found {
				names = append(names, f.Name)
				if loose := f.Name == "loose/photos"; f.Marked == loose || (f.InstanceID == "") != loose {
					t.Errorf("the mark of %+v", f)
				}
			}
			if req.PageToken = page.Next; page.Next == "" {
				break
			}
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("in pages of %d (-want +got):\n%s", size, diff)
		}
	}
}

func TestInspect(t *testing.T) {
	d, _ := configured(t, `{}`)
	inspect := func(inputs string) plugin.Inspection {
		t.Helper()
		got, err := d.Inspect(t.Context(), &plugin.InspectRequest{InstanceID: "i", Applied: plugin.Applied{Inputs: plugin.JSON(inputs)}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := inspect(`{}`); got.Exists {
		t.Errorf("before it exists: %+v", got)
	}
	r, err := d.Provision(t.Context(), instance("i", `{"name":"photos","size":3}`))
	must(t, r, err)
	if got := inspect(`{"name":"photos","size":3}`); !got.Exists || len(got.Drift) != 0 {
		t.Errorf("without drift: %+v", got)
	}
	var pointers []string
	for _, drift := range inspect(`{"name":"films","size":4,"onDelete":"refuse"}`).Drift {
		pointers = append(pointers, drift.Pointer)
	}
	if diff := cmp.Diff([]string{"/name", "/size", "/onDelete"}, pointers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
