package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// keepsAttributes tells whether user.* attributes can be written to files in dir.
// It writes one: some file systems answer to reads and refuse writes.
func keepsAttributes(dir string) bool {
	f, err := os.CreateTemp(dir, ".attributes")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return unix.Fsetxattr(int(f.Fd()), "user.chandler", []byte("1"), 0) == nil
}
