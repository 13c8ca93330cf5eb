package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// longestSocketDir leaves room for go-plugin's names within 100 bytes.
const longestSocketDir = 61

func (h *Host) makeDirs() error {
	if h.cfg.Dir == "" || h.cfg.StateDir == "" {
		return errors.New("plugin host: the plugin directory and the state directory must be set")
	}
	for _, dir := range []*string{&h.cfg.Dir, &h.cfg.StateDir, &h.cfg.SocketDir} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	for _, sub := range []string{"", "bin", "data", "tmp", "good"} {
		if err := os.MkdirAll(filepath.Join(h.cfg.StateDir, sub), 0o700); err != nil {
			return fmt.Errorf("plugin host: state directory: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(h.cfg.StateDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("plugin host: state directory: %w", err)
	}
	h.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("plugin host: the state directory %s is used by another process", h.cfg.StateDir)
	}
	return h.makeSocketDir()
}

func (h *Host) makeSocketDir() (err error) {
	configured := h.cfg.SocketDir != ""
	if !configured {
		h.cfg.SocketDir = filepath.Join(h.cfg.StateDir, "s")
	}
	if len(h.cfg.SocketDir) > longestSocketDir {
		if configured {
			return fmt.Errorf("plugin host: the socket directory %s has %d bytes; at most %d are possible, since the paths of sockets are short",
				h.cfg.SocketDir, len(h.cfg.SocketDir), longestSocketDir)
		}
		if h.cfg.SocketDir, err = h.temporarySocketDir(); err != nil {
			return fmt.Errorf("plugin host: no socket directory was configured, the state directory's path is too long for sockets, and: %w", err)
		}
		h.ownSock = true
	}
	if err := os.MkdirAll(h.cfg.SocketDir, 0o700); err != nil {
		return fmt.Errorf("plugin host: socket directory: %w", err)
	}
	probe, err := os.MkdirTemp(h.cfg.SocketDir, "probe-")
	if err != nil {
		return fmt.Errorf("plugin host: socket directory: %w", err)
	}
	_ = os.Remove(probe)
	// What a killed broker left behind.
	for _, pattern := range []string{filepath.Join(h.cfg.SocketDir, "plugin-dir*"), filepath.Join(h.tmpDir(), "*")} {
		left, _ := filepath.Glob(pattern)
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
	return nil
}

// temporarySocketDir makes one and removes its predecessor, which a killed broker
// left behind: a file in the state directory, which is locked, remembers the path.
func (h *Host) temporarySocketDir() (string, error) {
	note := filepath.Join(h.cfg.StateDir, "sockets")
	if old, err := os.ReadFile(note); err == nil && filepath.Dir(string(old)) == filepath.Clean(os.TempDir()) {
		if info, err := os.Lstat(string(old)); err == nil && info.IsDir() && info.Mode().Perm() == 0o700 {
			_ = os.RemoveAll(string(old)) // what cannot be removed does no harm
		}
	}
	dir, err := os.MkdirTemp("", "chandler-")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(note, []byte(dir), 0o600); err != nil {
		_ = os.Remove(dir)
		return "", err
	}
	return dir, nil
}

func (h *Host) removeDirs() {
	if h.ownSock {
		_ = os.RemoveAll(h.cfg.SocketDir)
	}
	if h.lock != nil {
		_ = h.lock.Close()
	}
}

func (h *Host) tmpDir() string { return filepath.Join(h.cfg.StateDir, "tmp") }

// dataDir makes the directory that only this backend uses and that is kept.
func (h *Host) dataDir(backend string) (string, error) {
	dir := filepath.Join(h.cfg.StateDir, "data", backend)
	return dir, os.MkdirAll(dir, 0o700)
}
