package core_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// TestPluginProcessDies: the plugin's process ends in the middle of a provision and of
// a bind, once before and once after its work. All end in a succeeded operation and
// one instance. The process is the point here, so it is a real one: plugins/demo.
func TestPluginProcessDies(t *testing.T) {
	dir := t.TempDir()
	plugins, state := filepath.Join(dir, "plugins"), filepath.Join(dir, "state")
	build := exec.Command("go", "build", "-o", filepath.Join(plugins, "chandler-plugin-demo"), "../plugins/demo")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo plugin: %v\n%s", err, out)
	}
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]string{"directory": data})
	if err != nil {
		t.Fatal(err)
	}
	host, err := pluginhost.New(pluginhost.Config{Dir: plugins, StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	for _, err := range []error{host.SetBackends(ctx, []pluginhost.BackendConfig{{Name: "demo", Plugin: "demo", Config: config}}),
		host.Start(ctx), host.AwaitSettled(ctx)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := host.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r := newRig(t, func(r *rig) {
		r.config.Backends, r.service.Backend = host, "demo"
		p := r.service.Plans[0]
		crash := func(verb string, after bool) any {
			return map[string]any{"verb": verb, "code": "crash", "times": int64(1), "after": after}
		}
		p.Provision = form(func(core.TemplateData) (any, error) {
			return map[string]any{"name": "photos", "fail": []any{crash("provision", false), crash("provision", true)}}, nil
		})
		p.Bind = form(func(core.TemplateData) (any, error) {
			return map[string]any{"access": "read-only", "fail": []any{crash("bind", false), crash("bind", true)}}, nil
		})
		p.Credentials = form(func(d core.TemplateData) (any, error) {
			return map[string]any{"password": d.Binding.Outputs["password"]}, nil
		})
	})
	count := func() int {
		files, err := filepath.Glob(filepath.Join(data, "instances", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	r.must("created", put("i", false))
	r.must("created", bind("i", "b", false))
	if n := count(); n != 1 {
		t.Errorf("%d instances", n)
	}
	for _, row := range []*core.Operation{r.latest("i", ""), r.latest("i", "b")} {
		if row.Calls < 3 {
			t.Errorf("the %s took %d calls, so the process did not die twice", row.Verb, row.Calls)
		}
	}
	r.must("done", unbind("i", "b", false))
	r.must("done", del("i", false))
	if n := count(); n != 0 {
		t.Errorf("%d instances are left", n)
	}
}
