package catalog_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
)

const diffBase = `id: s1
name: one
description: D.
backend: demo
planUpdateable: true
schemas:
  provision: {properties: {size: {type: integer}, kind: {type: string, enum: [a, b]}}}
provision: {size: "{{ .parameters.size }}"}
credentials: {uri: x}
plans:
- {id: p1, name: first, description: D.}
- {id: p2, name: second, description: D.}
`

// What a change is, how many instances it touches, and whether it can hurt.
func TestDiff(t *testing.T) {
	edit := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(diffBase) }
	uses := []core.PlanUse{{ServiceID: "s1", PlanID: "p1", Instances: 3}}
	type change struct {
		What, Kind string
		Instances  int
		Breaking   bool
		Fields     string
	}
	tests := []struct {
		name, why, after string
		want             []change
	}{
		{"nothing", "a comment and another layout are no change", "# hello\n\n" + diffBase, nil},
		{"plan added", "", diffBase + "- {id: p3, name: third, description: D.}\n", []change{{"one/third", "added", 0, false, ""}}},
		{"plan removed that nobody has", "it vanishes", edit("- {id: p2, name: second, description: D.}\n", ""), []change{{"one/second", "removed", 0, true, ""}}},
		{"plan removed that instances have", "it stays as retired", edit("- {id: p1, name: first, description: D.}\n", ""), []change{{"one/first", "retired", 3, true, ""}}},
		{"plan renumbered", "the classic mistake: platforms lose the instances", edit("id: p1", "id: p9"), []change{{"one/first", "renumbered", 3, true, "id"}, {"one/first", "retired", 3, true, ""}}},
		{"service renumbered", "", edit("id: s1", "id: s9"), []change{{"one", "renumbered", 3, true, "id"}, {"one", "retired", 3, true, ""},
			{"one/first", "added", 0, false, ""}, {"one/first", "retired", 3, true, ""}, {"one/second", "added", 0, false, ""}, {"one/second", "removed", 0, true, ""}}},
		{"template changed", "harmless for what exists", edit("uri: x", "uri: y"), []change{{"one/first", "changed", 3, false, "credentials.uri"}, {"one/second", "changed", 0, false, "credentials.uri"}}},
		{"service changed", "", edit("name: one\ndescription: D.", "name: one\ndescription: E."), []change{{"one", "changed", 3, false, "Description"}}},
		{"backend changed", "new instances go elsewhere", edit("backend: demo", "backend: other"), []change{{"one", "changed", 3, true, "Backend"}}},
		{"parameter gone", "requests that worked are refused", edit("size: {type: integer}, ", "size2: {type: integer}, ", ".parameters.size", ".parameters.size2"), []change{
			{"one/first", "changed", 3, true, "provision.size schemas.provision.properties.size schemas.provision.properties.size2"},
			{"one/second", "changed", 0, true, "provision.size schemas.provision.properties.size schemas.provision.properties.size2"}}},
		{"parameter required", "", edit("provision: {properties", "provision: {required: [size], properties"), []change{
			{"one/first", "changed", 3, true, "schemas.provision.required"}, {"one/second", "changed", 0, true, "schemas.provision.required"}}},
		{"word gone", "", edit("enum: [a, b]", "enum: [a]"), []change{{"one/first", "changed", 3, true, "schemas.provision.properties.kind.enum"}, {"one/second", "changed", 0, true, "schemas.provision.properties.kind.enum"}}},
		{"word added", "", edit("enum: [a, b]", "enum: [a, b, c]"), []change{{"one/first", "changed", 3, false, "schemas.provision.properties.kind.enum"}, {"one/second", "changed", 0, false, "schemas.provision.properties.kind.enum"}}},
		{"not bindable any more", "", edit("name: second, description: D.", "name: second, description: D., bindable: false"), []change{{"one/second", "changed", 0, true, "bindable"}}},
		{"asynchronous only", "synchronous platforms are refused", edit("name: second, description: D.", "name: second, description: D., async: {provision: required}"), []change{{"one/second", "changed", 0, true, "async"}}},
	}
	snapshot := func(text string) *core.Snapshot {
		return mustParse(t, map[string]string{"catalog/a.yaml": text}, catalog.Options{}).Snapshot(time.Time{}, nil)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []change
			changes := catalog.Diff(snapshot(diffBase), snapshot(tt.after), uses)
			breaking := false
			for _, c := range changes {
				what := c.Service
				if c.Plan != "" {
					what += "/" + c.Plan
				}
				if c.Text == "" {
					t.Errorf("a change without words: %+v", c)
				}
				got = append(got, change{what, c.Kind, c.Instances, c.Breaking, strings.Join(c.Fields, " ")})
				breaking = breaking || c.Breaking
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.why, diff)
			}
			if catalog.Breaking(changes) != breaking {
				t.Error("Breaking does not know")
			}
		})
	}
}

// The catalog compares its files with what is active, and changes nothing.
func TestCatalogDiff(t *testing.T) {
	dir, m := t.TempDir(), &memory{}
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": diffBase})
	c := catalog.New(m.config(dir))
	if err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := c.Snapshot()
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": strings.Replace(diffBase, "id: p2, name: second", "id: p2, name: renamed", 1)})
	changes, problems, err := c.Diff(context.Background())
	if err != nil || len(problems) != 0 || c.Snapshot() != before {
		t.Fatal(err, problems)
	}
	raw, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"service":"one","service_id":"s1","plan":"renamed","plan_id":"p2","kind":"changed","text":"name","fields":["name"],"instances":0,"breaking":true}]`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Error(diff)
	}
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": "x: ["})
	if changes, problems, err := c.Diff(context.Background()); err != nil || changes != nil || !catalog.Refused(problems) {
		t.Errorf("broken files: %v %v %v", changes, problems, err)
	}
	remove(t, dir, "catalog/a.yaml")
	if _, problems, err := c.Diff(context.Background()); err != nil || !catalog.Refused(problems) {
		t.Errorf("an empty directory would be refused by a reload, but not by diff: %v %v", problems, err)
	}
}
