package pluginhost_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core/pluginhost"
)

// A state directory whose path is too long for sockets gets a temporary one; what a
// killed broker left there is removed at the next start, and nothing else is.
func TestTemporarySocketDirectory(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	config := pluginhost.Config{Dir: t.TempDir(), StateDir: filepath.Join(t.TempDir(), strings.Repeat("long", 20))}
	left := filepath.Join(tmp, "chandler-left")
	strangers := filepath.Join(tmp, "chandler-stranger")
	for _, dir := range []string{left, strangers, filepath.Join(left, "plugin-dir1"), config.StateDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// As a killed broker leaves it.
	if err := os.WriteFile(filepath.Join(config.StateDir, "sockets"), []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	host, err := pluginhost.New(config)
	if err != nil {
		t.Fatal(err)
	}
	entries := func() string {
		found, err := filepath.Glob(filepath.Join(tmp, "chandler-*"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(found, " ")
	}
	if got := entries(); strings.Contains(got, left) || !strings.Contains(got, strangers) || strings.Count(got, "chandler-") != 2 {
		t.Errorf("temporary directories after the start: %s", got)
	}
	if err := host.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := entries(); got != strangers {
		t.Errorf("temporary directories after the end: %s", got)
	}
}
