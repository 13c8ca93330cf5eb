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
	"slices"
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
type store struct {
	dir   string
	turns turns
}

// openStore makes the directory if it is missing.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "instances"), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &store{dir: dir, turns: turns{lock: lock}}, nil
}

func (s *store) path(key string) string { return filepath.Join(s.dir, "instances", key+".json") }

// read gives the instance's record, nil if there is none.
func (s *store) read(key string) (*record, error) { return decodeRecord(s.path(key), os.ReadFile) }

// read gives the instance's record as this turn sees it, nil if there is none.
func (t *turn) read(key string) (*record, error) { return decodeRecord(t.s.path(key), t.file) }

func decodeRecord(path string, file func(string) ([]byte, error)) (*record, error) {
	raw, err := file(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Format != 1 {
		return nil, fmt.Errorf("%s: format %d; this version reads 1", path, r.Format)
	}
	return &r, nil
}

// write replaces the instance's record.
func (t *turn) write(r *record) error {
	r.Format, r.Plugin = 1, version
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	t.replace(t.s.path(key(r.InstanceID)), append(raw, '\n'))
	return nil
}

// named gives the instance that has that name, nil if there is none.
func (t *turn) named(name string) (*record, error) {
	entries, err := os.ReadDir(filepath.Join(t.s.dir, "instances"))
	if err != nil {
		return nil, err
	}
	paths := slices.Clone(t.batch.order)
	for _, e := range entries {
		paths = append(paths, filepath.Join(t.s.dir, "instances", e.Name()))
	}
	for _, path := range paths {
		if filepath.Ext(path) != ".json" || filepath.Base(filepath.Dir(path)) != "instances" {
			continue
		}
		r, err := decodeRecord(path, t.file)
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
	err = s.locked(func(t *turn) error {
		path := filepath.Join(s.dir, "counters.json")
		counters := map[string]int{}
		raw, err := t.file(path)
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
		t.replace(path, raw)
		return nil
	})
	return n, err
}
