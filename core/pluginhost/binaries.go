package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// binary is a plugin's executable as a private copy.
type binary struct {
	plugin string
	digest string // lower-case hex SHA-256 of the content
	copy   string // path of the copy that is executed
}

// installed is what the plugin directory says about one plugin.
type installed struct {
	bin *binary // nil if it could not be copied yet
	err error   // why not; nil if it is fine
	// missing is since when the file is gone; zero while it is there.
	missing time.Time
}

// signature tells whether a file may have changed.
type signature struct {
	dev, inode   uint64
	size         int64
	mtime, ctime int64
	mode         fs.FileMode
}

// binaries reads the plugin directory and keeps the copies, one directory per digest.
type binaries struct {
	dir  string // the plugin directory
	root string // the copies
	now  func() time.Time

	mu     sync.Mutex
	seen   map[string]signature // by plugin: what the last look found
	copied map[string]signature // by plugin: what the copy was made of
	known  map[string]installed // by plugin
}

func newBinaries(dir, root string, now func() time.Time) *binaries {
	return &binaries{dir: dir, root: root, now: now,
		seen: map[string]signature{}, copied: map[string]signature{}, known: map[string]installed{}}
}

// scan looks at the plugin directory and copies what is new. settled is false if a
// file changed since the last look: it may still be written, so it is left alone until
// another look finds it the same.
func (b *binaries) scan() (plugins map[string]installed, settled bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return maps.Clone(b.known), true // a directory that cannot be read says nothing about its files
	}
	present := map[string]bool{}
	settled = true
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), Prefix)
		if !ok || !nameRule.MatchString(name) {
			continue
		}
		if info, err := os.Stat(filepath.Join(b.dir, e.Name())); err != nil || info.IsDir() {
			continue // a dangling link is an absent file
		}
		present[name] = true
		settled = b.look(name) && settled
	}
	for name, i := range b.known {
		if !present[name] && i.missing.IsZero() {
			i.missing = b.now()
			b.known[name] = i
			delete(b.seen, name)
			delete(b.copied, name)
		}
	}
	return maps.Clone(b.known), settled
}

// look takes in one file; false if it must be looked at again soon.
func (b *binaries) look(name string) bool {
	path := filepath.Join(b.dir, Prefix+name)
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	sig := signatureOf(info)
	old := b.known[name]
	old.missing = time.Time{}
	b.known[name] = old
	if b.copied[name] == sig {
		return true
	}
	if b.seen[name] != sig {
		b.seen[name] = sig
		return false
	}
	if info.Mode()&0o111 == 0 {
		b.known[name] = installed{bin: old.bin, err: fmt.Errorf("%s is not executable", path)}
		return true
	}
	bin, err := b.take(name, path, sig)
	if errors.Is(err, errChanging) {
		delete(b.seen, name)
		return false
	}
	if err != nil {
		b.known[name] = installed{bin: old.bin, err: fmt.Errorf("%s could not be taken: %w", path, err)}
		return true // the next scan tries again
	}
	b.copied[name] = sig
	b.known[name] = installed{bin: bin}
	return true
}

// errChanging says that a file changed while it was copied.
var errChanging = errors.New("the file is being written")

// take copies the file and hashes what it copies, so that what is executed is what was hashed.
func (b *binaries) take(name, path string, sig signature) (*binary, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if info, err := src.Stat(); err != nil || signatureOf(info) != sig || !info.Mode().IsRegular() {
		return nil, errChanging
	}
	tmp, err := os.CreateTemp(b.root, "incoming-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(tmp, hash), src); err != nil {
		return nil, err
	}
	if info, err := src.Stat(); err != nil || signatureOf(info) != sig {
		return nil, errChanging
	}
	bin := &binary{plugin: name, digest: hex.EncodeToString(hash.Sum(nil))}
	bin.copy = b.path(name, bin.digest)
	if err := errors.Join(tmp.Chmod(0o500), tmp.Sync(), tmp.Close()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(bin.copy), 0o700); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp.Name(), bin.copy); err != nil {
		return nil, err
	}
	return bin, syncDir(filepath.Dir(bin.copy))
}

func (b *binaries) path(plugin, digest string) string {
	return filepath.Join(b.root, digest, Prefix+plugin)
}

// kept gives the copy of a digest, nil if there is none or it is not what it was.
func (b *binaries) kept(plugin, digest string) *binary {
	bin := &binary{plugin: plugin, digest: digest, copy: b.path(plugin, digest)}
	f, err := os.Open(bin.copy)
	if err != nil {
		return nil
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil || hex.EncodeToString(hash.Sum(nil)) != digest {
		return nil
	}
	return bin
}

// clean removes copies whose digests are not in use, and what an unfinished copy left.
func (b *binaries) clean(inUse map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.known {
		if i.bin != nil {
			inUse[i.bin.digest] = true
		}
	}
	entries, err := os.ReadDir(b.root)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !inUse[e.Name()] {
			_ = os.RemoveAll(filepath.Join(b.root, e.Name()))
		}
	}
}

func signatureOf(info fs.FileInfo) signature {
	s := signature{size: info.Size(), mtime: info.ModTime().UnixNano(), mode: info.Mode()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.inode, s.ctime = uint64(st.Dev), st.Ino, changeTime(st)
	}
	return s
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkPins says whether the backend may use the binary; the error names both sides.
func checkPins(cfg BackendConfig, bin *binary) error {
	if len(cfg.SHA256) == 0 || slices.Contains(cfg.SHA256, bin.digest) {
		return nil
	}
	return fmt.Errorf("the binary %s has SHA-256 %s, which backend %q does not allow (sha256: %s)",
		Prefix+bin.plugin, bin.digest, cfg.Name, strings.Join(cfg.SHA256, ", "))
}

// find gives the plugin's current binary, waiting a while for a file that is being written.
func (b *binaries) find(ctx context.Context, plugin string, pause time.Duration) (*binary, error) {
	for {
		plugins, settled := b.scan()
		i := plugins[plugin]
		switch {
		case i.err != nil:
			return nil, i.err
		case i.bin != nil && i.missing.IsZero():
			return i.bin, nil
		case settled:
			return nil, fmt.Errorf("there is no %s in %s", Prefix+plugin, b.dir)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is still being written: %w", Prefix+plugin, ctx.Err())
		case <-time.After(pause):
		}
	}
}
