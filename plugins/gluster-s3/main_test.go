package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// gatewayBinary is the S3 gateway that the tests run against, built once for the
// package; errNoGateway says why there is none.
var (
	gatewayBinary string
	errNoGateway  error
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gluster-s3")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	gatewayBinary = filepath.Join(dir, "s3gateway")
	if err := build(filepath.Join("..", "..", "e2e", "s3gateway"), gatewayBinary); err != nil {
		if !errors.Is(err, errNoModules) {
			fmt.Fprintln(os.Stderr, "build e2e/s3gateway:", err)
			return 1
		}
		errNoGateway = err
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// errNoModules is a build that failed because modules could not be downloaded: the
// only reason to skip tests of this package.
var errNoModules = errors.New("the modules of the S3 gateway cannot be downloaded")

// build builds the main package in dir, which may be of another module.
func build(dir, out string) error {
	cmd := exec.Command("go", "build", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	for _, sign := range []string{"dial tcp", "no such host", "module lookup disabled", "connection refused", "i/o timeout", "403 Forbidden", "502 Bad Gateway", "503 Service"} {
		if bytes.Contains(output, []byte(sign)) {
			return fmt.Errorf("%w: %s", errNoModules, strings.TrimSpace(string(output)))
		}
	}
	return fmt.Errorf("%w\n%s", err, output)
}
