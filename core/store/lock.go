package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/chandler-broker/chandler/core"
)

// fileLock is an exclusive lock of the operating system on a file beside the
// database. The kernel releases it when the process ends, however it ends, so a
// lock file that is left behind means nothing. The file stays when the lock is
// released: removing it would let two processes lock two files of one name.
type fileLock struct{ file *os.File }

// lockFile takes the lock at once or fails with an error that names the file and
// the process that holds it.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := lockHolder(f)
		f.Close()
		return nil, core.Errorf(core.CodeConflict, "The store is in use: %s is locked by %s.", path, holder).
			WithHint("Only one chandler serve may use a SQLite store; stop the other one, or talk to it through its admin API.")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := writeHolder(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the lock file %s: %w", path, err)
	}
	return &fileLock{file: f}, nil
}

// lockHolder reads who wrote the lock file last. The holder writes it right
// after it got the lock, so for a moment the file may be empty.
func lockHolder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || convErr != nil {
		return "another process"
	}
	if pid == os.Getpid() {
		return fmt.Sprintf("this process (pid %d)", pid)
	}
	return fmt.Sprintf("the process with pid %d", pid)
}

// writeHolder leaves our process id for lockHolder.
func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// release frees the lock. The process id stays in the file; only the lock counts.
func (l *fileLock) release() error { return l.file.Close() }
