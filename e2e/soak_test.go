package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// soak builds and runs e2e/soak with the executables of TestMain. The seed is fixed; what
// meets what still differs from run to run.
func soak(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "soak")
	build := exec.Command("go", "build", "-o", program, "./soak")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the soak: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"-bin", bin, "-dir", t.TempDir()}, args...)...)
	raw, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("run the soak: %v", err)
	}
	return string(raw), cmd.ProcessState.ExitCode()
}

// A short soak: everything is killed again and again, and nothing that clients were told is untrue.
func TestSoak(t *testing.T) {
	t.Parallel()
	out, status := soak(t, "-duration", "25s", "-round", "12s", "-seed", "1")
	t.Log(out)
	if status != 0 || !strings.Contains(out, "violations=0") {
		t.Errorf("status %d", status)
	}
}

// The same with three replicas over one database, which is killed, too.
func TestSoakReplicas(t *testing.T) {
	t.Parallel()
	out, status := soak(t, "-store", "postgres", "-replicas", "3", "-duration", "25s", "-round", "25s", "-seed", "1")
	if strings.Contains(out, "soak: skipped") {
		t.Skip(out)
	}
	t.Log(out)
	if status != 0 || !strings.Contains(out, "violations=0") {
		t.Errorf("status %d", status)
	}
}

// The soak can fail: a broker that forgets everything once is reported.
func TestSoakReportsABrokerThatForgets(t *testing.T) {
	t.Parallel()
	out, status := soak(t, "-duration", "5s", "-round", "5s", "-seed", "2", "-forget")
	if status != 1 || !strings.Contains(out, "VIOLATION") || strings.Contains(out, "violations=0\n") {
		t.Errorf("status %d\n%s", status, out)
	}
	for _, found := range []string{"fetch of the instance was answered 404", "the store has the instance: false"} {
		if !strings.Contains(out, found) {
			t.Errorf("not reported: %s\n%s", found, out)
		}
	}
}
