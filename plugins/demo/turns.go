package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// turns lets one caller after the other change the directory, of this process and of
// others. Those who wait while a batch is brought to the disk make the next batch: its
// files are synced side by side, and the directory once for all.
type turns struct {
	lock     *os.File // flock: against other processes
	unsynced bool     // the operator does without what a crash of the machine needs

	mu      sync.Mutex
	waiting []*turn
	leading bool // somebody runs a batch
}

// turn is one caller's exclusive use of the directory. It sees what those before it
// in the batch have written; what it writes itself lasts when locked returns.
type turn struct {
	s        *store
	f        func(*turn) error
	batch    *batch
	own      batch         // what f wrote; dropped if f fails
	err      error         // of f or of the batch
	panicked any           // of f
	over     chan struct{} // closed when err is final
	lead     chan struct{} // closed if the caller has to run the next batch
}

// batch is what is to be written: content by path, nil to remove the file.
type batch struct {
	content map[string][]byte
	order   []string // paths as they first came
}

func (b *batch) put(path string, content []byte) {
	if b.content == nil {
		b.content = map[string][]byte{}
	}
	if _, ok := b.content[path]; !ok {
		b.order = append(b.order, path)
	}
	b.content[path] = content
}

// locked runs f while no other process and no other goroutine changes the directory.
// What f wrote is on the disk when locked returns nil, and nowhere if f fails.
func (s *store) locked(f func(*turn) error) error {
	t := &turn{s: s, f: f, over: make(chan struct{}), lead: make(chan struct{})}
	s.turns.mu.Lock()
	s.turns.waiting = append(s.turns.waiting, t)
	lead := !s.turns.leading
	s.turns.leading = true
	s.turns.mu.Unlock()
	if !lead {
		select {
		case <-t.lead:
			lead = true
		case <-t.over:
		}
	}
	if lead {
		s.runBatch()
		<-t.over
	}
	if t.panicked != nil {
		panic(t.panicked)
	}
	return t.err
}

// runBatch runs everybody who waits and lets the first of those who came meanwhile go on.
func (s *store) runBatch() {
	s.turns.mu.Lock()
	members := s.turns.waiting
	s.turns.waiting = nil
	s.turns.mu.Unlock()

	err := s.flock(syscall.LOCK_EX)
	var b batch
	if err == nil {
		for _, t := range members {
			t.run(&b)
		}
		err = errors.Join(b.commit(!s.turns.unsynced), s.flock(syscall.LOCK_UN))
	}
	for _, t := range members {
		if t.err == nil {
			t.err = err
		}
		close(t.over)
	}

	s.turns.mu.Lock()
	defer s.turns.mu.Unlock()
	if len(s.turns.waiting) == 0 {
		s.turns.leading = false
		return
	}
	close(s.turns.waiting[0].lead)
}

func (s *store) flock(how int) error {
	for {
		err := syscall.Flock(int(s.turns.lock.Fd()), how)
		if err == nil {
			return nil
		}
		if err != syscall.EINTR {
			return fmt.Errorf("lock %s: %w", s.turns.lock.Name(), err)
		}
	}
}

// run runs f, on the goroutine of whoever leads; a panic goes back to f's own.
func (t *turn) run(b *batch) {
	defer func() { t.panicked = recover() }()
	t.batch = b
	t.err = errors.New("the change panicked")
	if t.err = t.f(t); t.err != nil {
		return
	}
	for _, path := range t.own.order {
		b.put(path, t.own.content[path])
	}
}

// file is the content of a file as this turn sees it.
func (t *turn) file(path string) ([]byte, error) {
	for _, b := range []*batch{&t.own, t.batch} {
		if content, ok := b.content[path]; ok {
			if content == nil {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return content, nil
		}
	}
	return os.ReadFile(path)
}

// replace writes a file: whole or not at all.
func (t *turn) replace(path string, content []byte) { t.own.put(path, content) }

// remove takes a file away; it is fine if there is none.
func (t *turn) remove(path string) { t.own.put(path, nil) }

// commit brings the batch to the disk, one directory after the other, so that what is
// removed elsewhere goes after what took its place.
func (b *batch) commit(synced bool) error {
	var directories []string
	paths := map[string][]string{}
	for _, path := range b.order {
		dir := filepath.Dir(path)
		if paths[dir] == nil {
			directories = append(directories, dir)
		}
		paths[dir] = append(paths[dir], path)
	}
	for _, dir := range directories {
		if err := b.commitDir(dir, paths[dir], synced); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) commitDir(dir string, paths []string, synced bool) error {
	if err := b.write(paths, synced); err != nil {
		return err
	}
	for _, path := range paths {
		var err error
		if b.content[path] != nil {
			err = os.Rename(path+".tmp", path)
		} else if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if !synced {
		return nil
	}
	return syncDir(dir)
}

// write writes the files under the names that they have before they are there; those that
// must last are synced side by side.
func (b *batch) write(paths []string, synced bool) error {
	failed := make([]error, len(paths))
	var wg sync.WaitGroup
	for i, path := range paths {
		content := b.content[path]
		switch {
		case content == nil:
		case synced:
			wg.Go(func() { failed[i] = writeSynced(path+".tmp", content) })
		default:
			failed[i] = os.WriteFile(path+".tmp", content, 0o600)
		}
	}
	wg.Wait()
	return errors.Join(failed...)
}

// writeSynced writes a file that lasts. The turns are locked: nobody else has its name.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
