package pluginhost_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/pluginhost"
)

func TestAnInstalledPluginIsABackend(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{Version: "1.2.3"})
	b.start()
	got := b.ask("test", do{Text: "hello"})
	if diff := cmp.Diff(outputs{Version: "1.2.3", Backend: "test", Text: "hello", Peak: 1, Pid: got.Pid}, got); diff != "" {
		t.Error(diff)
	}
	s := b.status("test")
	if s.State != pluginhost.StateRunning || s.Version != "1.2.3" || s.Pid != got.Pid || s.Listed {
		t.Errorf("status %+v", s)
	}
	if d, ok := b.host.Describe("test"); !ok || !d.ChecksDeprovision || d.Version != "1.2.3" {
		t.Errorf("description %+v, %v", d, ok)
	}
}
