package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The test's own executable is the gateway when this variable is set.
const beGateway = "S3GATEWAY_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(beGateway) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs a gateway; end closes its standard input.
func start(t *testing.T, args ...string) (r Ready, cmd *exec.Cmd, end func()) {
	t.Helper()
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), beGateway+"=1", envAccessKey+"=root", envSecretKey+"=a-secret-of-tests")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("it did not start: %v", err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return r, cmd, func() { stdin.Close() }
}

func TestServes(t *testing.T) {
	cases := []struct {
		why  string
		args []string
		ok   func(Ready) bool
	}{
		{"the admin API is the default", nil, func(r Ready) bool { return r.AdminEndpoint != "" && r.IAMEndpoint == "" }},
		{"the AWS-style IAM API", []string{"-iam", "standalone"}, func(r Ready) bool { return r.IAMEndpoint != "" && r.AdminEndpoint == "" }},
		{"TLS on both APIs", []string{"-tls"}, func(r Ready) bool {
			return strings.HasPrefix(r.Endpoint, "https://") && strings.HasPrefix(r.AdminEndpoint, "https://") && r.CACertificate != ""
		}},
		{"another region", []string{"-region", "eu-north-1"}, func(r Ready) bool { return r.Region == "eu-north-1" }},
	}
	for _, c := range cases {
		r, cmd, end := start(t, append(c.args, "-dir", t.TempDir())...)
		if !c.ok(r) || !strings.Contains(r.Endpoint, "//127.0.0.1:") || r.PID != cmd.Process.Pid {
			t.Errorf("%s: %+v", c.why, r)
		}
		end()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: after its standard input was closed: %v", c.why, err)
		}
		if strings.HasPrefix(r.Endpoint, "http://") {
			if resp, err := http.Get(r.Endpoint + healthPath); err == nil {
				resp.Body.Close()
				t.Errorf("%s: it still serves", c.why)
			}
		}
	}
}

func TestSignals(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		_, cmd, _ := start(t, "-dir", t.TempDir())
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", s, err)
		}
	}
}

// TestStartsAgain: what is in the directory is there after a restart, on the same
// port and with the same certificate.
func TestStartsAgain(t *testing.T) {
	dir := t.TempDir()
	first, cmd, end := start(t, "-dir", dir, "-tls")
	before, err := os.ReadFile(first.CACertificate)
	if err != nil {
		t.Fatal(err)
	}
	end()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	port := first.Endpoint[strings.LastIndexByte(first.Endpoint, ':')+1:]
	again, _, _ := start(t, "-dir", dir, "-tls", "-port", port)
	after, err := os.ReadFile(again.CACertificate)
	if err != nil {
		t.Fatal(err)
	}
	if again.Endpoint != first.Endpoint || string(before) != string(after) {
		t.Errorf("started again: %+v, then %+v; same certificate: %v", first, again, string(before) == string(after))
	}
}

// TestWithoutAttributes: where a file system has no user attributes, metadata goes to files.
func TestWithoutAttributes(t *testing.T) {
	if keepsAttributes(filepath.Join(t.TempDir(), "absent")) {
		t.Error("a directory that does not exist keeps attributes")
	}
	// sysfs and procfs cannot hold a directory of ours; a ramfs needs root.
	dir := t.TempDir()
	if err := mountRAM(dir); err != nil {
		t.Skipf("no file system without attributes here: %v", err)
	}
	t.Cleanup(func() { unmount(dir) })
	r, cmd, end := start(t, "-dir", filepath.Join(dir, "gateway"))
	if r.Metadata != "sidecar" {
		t.Errorf("%+v", r)
	}
	end()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	t.Setenv(envAccessKey, "root")
	t.Setenv(envSecretKey, "secret")
	for _, c := range []struct {
		why  string
		args []string
	}{
		{"no directory", nil},
		{"an unknown kind of accounts", []string{"-dir", "x", "-iam", "magic"}},
		{"arguments", []string{"-dir", "x", "y"}},
		{"no number", []string{"-dir", "x", "-port", "y"}},
	} {
		if _, err := parse(c.args); err == nil {
			t.Errorf("%s: no error", c.why)
		}
	}
	t.Setenv(envSecretKey, "")
	if _, err := parse([]string{"-dir", "x"}); err == nil || !strings.Contains(err.Error(), envSecretKey) {
		t.Errorf("without keys: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	r, _, _ := start(t, "-dir", t.TempDir())
	port := r.Endpoint[strings.LastIndexByte(r.Endpoint, ':')+1:]
	o := options{dir: t.TempDir(), accessKey: "root", secretKey: "secret", region: "us-east-1"}
	var err error
	if o.port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context(), o, func(Ready) error { return errors.New("ready") }); !errors.Is(err, errPortTaken) {
		t.Errorf("on a port that another gateway has: %v", err)
	}
}
