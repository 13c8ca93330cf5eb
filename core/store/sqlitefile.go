package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// preparePath makes the directory and gives the path by which every process
// knows the file, so that two names of one file cannot mean two locks.
func preparePath(path string) (string, error) {
	if path == "" {
		return "", errors.New("no path is configured")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// writeAhead turns the write-ahead log on; the database remembers it.
func writeAhead(ctx context.Context, s *session) error {
	var mode string
	if err := s.value(ctx, "PRAGMA journal_mode = WAL", &mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("its file system does not allow a write-ahead log (journal mode is %s)", mode)
	}
	return nil
}

// createPrivate makes the database file if it is missing, readable for its owner
// only. SQLite gives its other files the same mode.
func createPrivate(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync() // the name of the new file must outlive a power cut, too
}

// makePrivate takes the rights of others on an existing database away.
func makePrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return os.Chmod(path, info.Mode().Perm()&0o700)
}

// dsn is the driver's name for the database with the settings of a connection.
func dsn(path string, config SQLiteConfig, reader bool) string {
	q := url.Values{"_dqs": {"0"}}
	cache := 32 << 10 // KiB; the kernel keeps the file's pages, too
	if reader {
		cache = 8 << 10 // each of several
	}
	for _, p := range []string{
		fmt.Sprintf("busy_timeout(%d)", config.BusyTimeout.Milliseconds()),
		"synchronous(FULL)",
		"foreign_keys(1)",
		"secure_delete(FAST)",          // deleted secrets do not linger in pages that are written anyway
		"journal_size_limit(67108864)", // a long View may grow the log; afterwards it shrinks to this
		"wal_autocheckpoint(8000)", fmt.Sprintf("cache_size(-%d)", cache),
		"temp_store(MEMORY)", // nothing secret in temporary files
	} {
		q.Add("_pragma", p)
	}
	if reader {
		q.Set("_query_only", "1")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}
