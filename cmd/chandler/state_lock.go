package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockState keeps a second broker off a state directory: the plugins' copies and
// data in it belong to one process. SQLite has a lock of its own beside its file.
// Closing the file, or the end of the process, gives the lock back.
func lockState(dir string) (*os.File, error) {
	path := filepath.Join(dir, "chandler.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another broker uses the state directory %s: each replica needs one of its own", dir)
	}
	return nil, fmt.Errorf("lock the state directory %s: %w", path, err)
}
