package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/plugin"
)

// TestAdopt: a bucket that nobody's mark is on becomes an instance like any other, with its objects.
func TestAdopt(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	in := map[string]any{"bucket": "photos", "versioning": true, "tags": map[string]string{"a": "1"}, "onDelete": "purge"}
	must(t, root.create(t.Context(), "photos", nil))
	must(t, root.setTags(t.Context(), "photos", map[string]string{"of": "old"}))
	putObject(t, root, "photos", "kept", "x")

	i := newInstance("i")
	adopt := func(i *instance, in map[string]any) (plugin.Result, error) {
		return p.Adopt(t.Context(), i.request(in))
	}
	r, err := adopt(i, in)
	must(t, err)
	again, err := adopt(i, in)
	must(t, err)
	if diff := cmp.Diff(string(r.Outputs().Raw()), string(again.Outputs().Raw())); diff != "" {
		t.Errorf("a repeat gives other outputs:\n%s", diff)
	}
	tags, err := root.tags(t.Context(), "photos")
	must(t, err)
	if diff := cmp.Diff(map[string]string{"a": "1", markInstance: instanceName("i"), markFence: "1"}, tags); diff != "" {
		t.Errorf("the tags (-want +got):\n%s", diff)
	}
	if v, err := root.versioning(t.Context(), "photos"); err != nil || v != "Enabled" {
		t.Errorf("versioning is %q, %v", v, err)
	}
	must(t, i.provision(t, p, in)) // what exists with the same inputs
	if diff := cmp.Diff(string(r.Outputs().Raw()), string(i.applied.Outputs.Raw())); diff != "" {
		t.Errorf("provision of it gives other outputs:\n%s", diff)
	}
	if got := getObject(t, root, "photos", "kept"); got != "x" {
		t.Errorf("the object is now %q", got)
	}
	left, err := i.deprovision(t, p, in)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestAdoptRefused: what is refused is as it was.
func TestAdoptRefused(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	other := newInstance("another instance")
	must(t, other.provision(t, p, map[string]any{"bucket": "others"}))
	must(t, root.create(t.Context(), "remains", map[string]string{markInstance: instanceName("gone"), markFence: "1"}))
	must(t, p.backend.accounts.(*versityAccounts).admin.create(t.Context(), "owner", "owners-secret"))
	must(t, root.create(t.Context(), "somebodys", nil))
	giveAway(t, p, "somebodys", "owner")
	must(t, root.create(t.Context(), "later", map[string]string{markInstance: instanceName("i"), markFence: "99"}))
	for bucket, c := range map[string]struct {
		why  string
		want plugin.Code
	}{
		"others":    {"it carries another instance's mark", plugin.CodeConflict},
		"remains":   {"also if that instance is gone", plugin.CodeConflict},
		"somebodys": {"it is not the broker's account's, though that may see it", plugin.CodeConflict},
		"nowhere":   {"there is nothing", plugin.CodeNotFound},
		"later":     {"a later call has made it", plugin.CodeFailed},
		"Not-Good":  {"no bucket has such a name", plugin.CodeInvalidInput},
	} {
		before, _ := root.tags(t.Context(), bucket)
		if _, err := p.Adopt(t.Context(), newInstance("i").request(map[string]any{"bucket": bucket, "tags": map[string]string{"a": "1"}})); plugin.CodeOf(err) != c.want {
			t.Errorf("%s: %v; want %s: %s", bucket, err, c.want, c.why)
		}
		after, _ := root.tags(t.Context(), bucket)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: the tags changed:\n%s", bucket, diff)
		}
	}
	can := p.backend.can
	p.backend.can.tag = false
	must(t, root.create(t.Context(), "bare", nil))
	if _, err := p.Adopt(t.Context(), newInstance("i").request(map[string]any{"bucket": "bare"})); plugin.CodeOf(err) != plugin.CodeConflict {
		t.Errorf("without tags nothing can be marked: %v", err)
	}
	p.backend.can = can
}

func TestList(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	must(t, newInstance("i").provision(t, p, map[string]any{"bucket": "b-one"}))
	for _, name := range []string{"c-two", "a-three"} {
		must(t, root.create(t.Context(), name, nil))
	}
	for _, size := range []int{0, 1, 2, 3} {
		type seen struct {
			Name   string
			Marked bool
			Mark   any
		}
		var all []seen
		req := &plugin.ListRequest{PageSize: size}
		for range 10 {
			page, err := p.List(t.Context(), req)
			must(t, err)
			for _, f := range page.Found {
				all = append(all, seen{f.Name, f.Marked, f.Attributes["mark"]})
			}
			if req.PageToken = page.Next; page.Next == "" {
				break
			}
		}
		want := []seen{{"a-three", false, nil}, {"b-one", true, instanceName("i")}, {"c-two", false, nil}}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("in pages of %d (-want +got):\n%s", size, diff)
		}
	}
}

func TestInspect(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	i := newInstance("i")
	must(t, i.provision(t, p, map[string]any{"bucket": "photos", "tags": map[string]string{"a": "1", "b": "2"}}))
	inspect := func(wantExists bool, want ...string) {
		t.Helper()
		got, err := p.Inspect(t.Context(), &plugin.InspectRequest{InstanceID: i.id, Applied: i.applied})
		must(t, err)
		var messages []string
		for _, d := range got.Drift {
			messages = append(messages, d.Pointer+" "+d.Message)
		}
		if diff := cmp.Diff(want, messages); diff != "" || got.Exists != wantExists {
			t.Errorf("exists: %v (-want +got):\n%s", got.Exists, diff)
		}
	}
	inspect(true)
	must(t, root.setVersioning(t.Context(), "photos", "Enabled"))
	mark := marksOf("i", 1)
	must(t, root.setTags(t.Context(), "photos", withMarks(map[string]string{"a": "9", "c": "3"}, mark)))
	inspect(true, `/tags The tag "a" is "9", not "1".`, `/tags The tag "b" is gone.`, `/tags The tag "c" was added.`, "/versioning The bucket keeps versions.")
	must(t, root.setTags(t.Context(), "photos", map[string]string{"a": "1"}))
	inspect(false, "/bucket The bucket photos is not this instance's: it no longer carries the mark of this instance.")
	must(t, root.setTags(t.Context(), "photos", marksOf("another", 1)))
	inspect(false, "/bucket The bucket photos is not this instance's: it carries the mark of another instance.")
	must(t, root.remove(t.Context(), "photos"))
	inspect(false, "/bucket The bucket photos is not this instance's: there is no such bucket.")
}
