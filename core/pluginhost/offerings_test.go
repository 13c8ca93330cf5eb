package pluginhost_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// brings is what the host gives, as texts.
func (b *bed) brings() map[string]string {
	out := map[string]string{}
	for name, yaml := range b.host.Offerings() {
		out[name] = string(yaml)
	}
	return out
}

// wantBrings waits until the host gives exactly that.
func (b *bed) wantBrings(want map[string]string) {
	b.Helper()
	until(b, "the offerings are those of the new process", func() bool { return cmp.Equal(want, b.brings()) })
}

func offers(version string, files map[string]string) variant {
	return variant{Version: version, Offers: true, Offerings: files}
}

// What plugins bring is named by backend, follows the process that serves, and ends with the backend.
func TestOfferings(t *testing.T) {
	var told, approved atomic.Int64
	b := newBed(t, func(cfg *pluginhost.Config) {
		cfg.OnChange = func(string) { told.Add(1) }
		cfg.Approve = func(_ string, d core.Description) error {
			approved.Add(int64(len(d.Offerings)))
			if d.Version == "9.0.0" {
				return errors.New("it takes a service away")
			}
			return nil
		}
	})
	b.install("test", offers("1.0.0", map[string]string{"a.yaml": "id: 1\n"}))
	b.install("silent", variant{Name: "silent"})
	b.start(pluginhost.BackendConfig{Name: "second", Plugin: "test"})
	both := map[string]string{"test/a.yaml": "id: 1\n", "second/a.yaml": "id: 1\n"}
	b.wantBrings(both)
	if approved.Load() != 2 {
		t.Errorf("Approve saw %d offerings", approved.Load())
	}
	if d, _ := b.host.Describe("test"); len(d.Offerings) != 1 {
		t.Errorf("the description lacks them: %+v", d)
	}

	b.install("test", offers("9.0.0", nil))
	until(t, "the refused one is told", func() bool { return strings.Contains(b.status("test").Error, "takes a service away") })
	if diff := cmp.Diff(both, b.brings()); diff != "" {
		t.Errorf("a process that was refused changed what is brought:\n%s", diff)
	}

	before := told.Load()
	b.install("test", offers("2.0.0", map[string]string{"a.yaml": "id: 2\n", "b.yml": ""}))
	b.set()
	b.wantBrings(map[string]string{"test/a.yaml": "id: 2\n", "test/b.yml": ""})
	if told.Load() == before {
		t.Error("nobody was told")
	}
	b.install("test", variant{Version: "3.0.0"}) // does not announce the capability any more
	b.wantBrings(map[string]string{})
}

// A process whose offerings cannot be had is like one that does not describe itself.
func TestOfferingsThatFail(t *testing.T) {
	for _, c := range []struct {
		name, why string
		v         variant
		text      string
	}{
		{"an error", "the operator reads the plugin's words", variant{Offers: true, OfferingsFail: "the disk is gone"}, "answered Offerings with the disk is gone"},
		{"no answer", "it would block the start", variant{Offers: true, HangInOfferings: true}, "did not answer Offerings in time"},
		{"a path as name", "names become names of files in problems", offers("2.0.0", map[string]string{"../a.yaml": ""}), `"../a.yaml"`},
		{"too large", "files of the catalog have this limit", offers("2.0.0", map[string]string{"a.yaml": strings.Repeat("#", 1<<20+1)}), "at most 1048576"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, func(cfg *pluginhost.Config) { cfg.Timing.Describe = time.Second })
			b.install("test", c.v)
			b.start()
			until(t, "the status says why", func() bool { return strings.Contains(b.status("test").Error, c.text) })
			if _, described := b.host.Describe("test"); described || len(b.brings()) != 0 {
				t.Errorf("it counts as described; %s", c.why)
			}
			want := map[string]string{"test/a.yaml": "id: 1\n"}
			b.install("test", offers("1.0.0", map[string]string{"a.yaml": "id: 1\n"}))
			b.wantBrings(want)
			pid := b.ask("test", do{}).Pid
			b.install("test", c.v)
			until(t, "the status says why again", func() bool { return strings.Contains(b.status("test").Error, c.text) })
			if s := b.status("test"); s.Pid != pid || s.State != pluginhost.StateRunning || !cmp.Equal(want, b.brings()) {
				t.Errorf("the old process and its offerings do not go on: %+v; %s", s, c.why)
			}
		})
	}
}

// A plugin that is broken at a start does not take its services away, and neither does one whose backend is away.
func TestOfferingsSurviveARestart(t *testing.T) {
	want := map[string]string{"test/a.yaml": "id: 1\n"}
	for _, c := range []struct {
		name, why string
		v         variant
		backends  []pluginhost.BackendConfig
	}{
		{"broken", "its operations wait", variant{Die: "broken"}, nil},
		{"not reachable", "Offerings comes after Configure", offers("1.0.0", map[string]string{"a.yaml": "id: 2\n"}),
			[]pluginhost.BackendConfig{{Name: "test", Config: []byte(`{"needs":"/nowhere"}`)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kept := cache{}
			b := newBed(t, func(cfg *pluginhost.Config) { cfg.Descriptions = kept })
			b.install("test", offers("1.0.0", map[string]string{"a.yaml": "id: 1\n"}))
			b.start()
			b.wantBrings(want)
			_ = b.host.Close(context.Background())

			b = newBed(t, func(cfg *pluginhost.Config) { cfg.Descriptions = kept })
			b.install("test", c.v)
			b.start(c.backends...)
			if s := b.status("test"); s.State == pluginhost.StateRunning {
				t.Fatalf("it runs: %+v", s)
			}
			if diff := cmp.Diff(want, b.brings()); diff != "" {
				t.Errorf("%s:\n%s", c.why, diff)
			}
		})
	}
}

// Without a configuration a plugin only describes itself; with one it says what it brings, too.
func TestValidateGivesOfferings(t *testing.T) {
	b := newBed(t)
	b.install("test", offers("1.0.0", map[string]string{"a.yaml": "id: 1\n"}))
	for configure, want := range map[bool]int{false: 0, true: 1} {
		d, err := b.host.Validate(t.Context(), pluginhost.BackendConfig{Name: "test"}, configure)
		if err != nil || len(d.Offerings) != want {
			t.Errorf("configure %v: %d offerings, %v", configure, len(d.Offerings), err)
		}
	}
}
