package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// record is one instance, and the content of its file <key>.json. README.md
// describes the format for tests that look into the directory.
type record struct {
	Format     int                      `json:"format"` // 1
	Plugin     string                   `json:"plugin"` // version that wrote it
	InstanceID string                   `json:"instance_id"`
	State      string                   `json:"state"` // creating or ready
	Inputs     json.RawMessage          `json:"inputs"`
	Name       string                   `json:"name,omitempty"` // of the inputs
	Created    mark                     `json:"created"`
	Fence      int64                    `json:"fence"` // of the last call that changed it
	Bindings   map[string]bindingRecord `json:"bindings"`
	Data       map[string]string        `json:"data"`
}

// bindingRecord is one live binding. The password itself is nowhere: it derives from the seed.
type bindingRecord struct {
	Username       string `json:"username"`
	PasswordSHA256 string `json:"password_sha256"`
	Access         string `json:"access"`
	Created        mark   `json:"created"`
}

// mark says which call made a thing.
type mark struct {
	OperationID string `json:"operation_id"`
	Fence       int64  `json:"fence"`
}

// The states of a record.
const (
	stateCreating = "creating"
	stateReady    = "ready"
)

// key is an id's name in the directory and at the service: ids may hold any character.
func key(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:12])
}

// store is the directory of all instances. Several processes may use it at once: a
// new process of a backend starts before the old one stops.
type store struct{ dir string }

// openStore makes the directory if it is missing.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "instances"), 0o700); err != nil {
		return nil, err
	}
	return &store{dir: dir}, nil
}

// locked runs f while no other process and no other goroutine does.
func (s *store) locked(f func() error) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // releases it
	for {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

func (s *store) path(key string) string { return filepath.Join(s.dir, "instances", key+".json") }

// read gives the instance's record, nil if there is none.
func (s *store) read(key string) (*record, error) {
	raw, err := os.ReadFile(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(key), err)
	}
	if r.Format != 1 {
		return nil, fmt.Errorf("%s: format %d; this version reads 1", s.path(key), r.Format)
	}
	return &r, nil
}

// write replaces the instance's record: whole or not at all, and lasting when it returns.
func (s *store) write(r *record) error {
	r.Format, r.Plugin = 1, version
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return s.replace(s.path(key(r.InstanceID)), append(raw, '\n'))
}

func (s *store) replace(path string, content []byte) error {
	temporary := path + ".tmp" // the lock is held: nobody else has it
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// remove takes the record away; it is fine if there is none.
func (s *store) remove(key string) error {
	err := os.Remove(s.path(key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Join(s.dir, "instances"))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// named gives the instance that has that name, nil if there is none.
func (s *store) named(name string) (*record, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "instances"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		k, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		r, err := s.read(k)
		if err != nil {
			return nil, err
		}
		if r != nil && r.Name == name {
			return r, nil
		}
	}
	return nil, nil
}

// count raises the counter of that name by one, and gives its value; it lasts across processes.
func (s *store) count(name string) (n int, err error) {
	err = s.locked(func() error {
		path := filepath.Join(s.dir, "counters.json")
		counters := map[string]int{}
		raw, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(raw, &counters)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		counters[name]++
		n = counters[name]
		if raw, err = json.Marshal(counters); err != nil {
			return err
		}
		return s.replace(path, raw)
	})
	return n, err
}
