package catalog

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Times of the watcher. A change is read when the files were quiet for settle, and at
// the latest after settleLimit, so that it shows within two seconds.
const (
	settle      = 150 * time.Millisecond
	settleLimit = 700 * time.Millisecond
	// lookEvery finds what no notification tells, as on network file systems;
	// lookOften is used where notifications cannot be had at all.
	lookEvery = 5 * time.Second
	lookOften = time.Second
	// maxWatches bounds the directories that are watched.
	maxWatches = 500
)

// watch reloads when the files are not those of the fingerprint seen, and follows a
// shared store's active revision, until ctx ends. ready is closed when it notices every later change.
func (c *Catalog) watch(ctx context.Context, w *watcher, seen uint64, ready chan<- struct{}) {
	var events <-chan fsnotify.Event
	var lost <-chan error
	every := lookEvery
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		c.cfg.Log.Warn("file notifications are not available; the catalog's files are looked at every second", "error", err)
		every = lookOften
	} else {
		defer notify.Close()
		w.notify, events, lost = notify, notify.Events, notify.Errors
	}
	w.renew()
	close(ready)

	look := time.NewTicker(every)
	defer look.Stop()
	quiet := time.NewTimer(settle)
	if w.fingerprint() == seen {
		quiet.Stop()
	} // else something changed between the first load and here
	var first time.Time // the first event that was not read yet
	again := false      // the last load failed for a reason that is not in the files
	var follow <-chan time.Time
	if c.cfg.Shared {
		ticker := time.NewTicker(c.cfg.FollowEvery)
		defer ticker.Stop()
		follow = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if !w.concerns(e.Name) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(min(settle, max(0, settleLimit-time.Since(first))))
			continue
		case <-lost: // the queue ran over: anything can have changed
			quiet.Reset(settle)
			continue
		case <-look.C:
			if now := w.fingerprint(); now == seen && !again {
				continue
			}
		case <-follow:
			_ = c.Follow(ctx) // is in the status and in the log
			continue
		case <-c.heard:
			_ = c.Follow(ctx)
			continue
		case <-c.wake:
		case <-quiet.C:
		}
		first = time.Time{}
		w.renew() // before reading, so that no change falls between
		seen = w.fingerprint()
		var invalid *InvalidError
		err := c.changed(ctx)
		again = err != nil && !errors.As(err, &invalid)
	}
}

// watcher knows which directories to watch for the catalog's and the templates' files.
type watcher struct {
	notify  *fsnotify.Watcher // nil where there are no notifications
	dirs    []string          // absolute
	links   []string          // symlinks on the way to dirs
	watched []string
}

// newWatcher makes a watcher of the two directories, which need not exist.
func newWatcher(dir, templatesDir string) *watcher {
	w := &watcher{dirs: []string{absolute(dir)}}
	if templatesDir != "" {
		w.dirs = append(w.dirs, absolute(templatesDir))
	}
	return w
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// concerns tells whether an event's path is one of ours: below a directory, the
// directory itself, or something on the way to it.
func (w *watcher) concerns(name string) bool {
	for _, dir := range append(slices.Clone(w.dirs), w.links...) {
		if name == dir || strings.HasPrefix(name, dir+string(filepath.Separator)) || strings.HasPrefix(dir, name+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// renew watches everything afresh. Watches follow inodes and not paths: after a
// rename or a swapped symlink the old ones look at what is not ours any more.
func (w *watcher) renew() {
	if w.notify == nil {
		return
	}
	for _, dir := range w.watched {
		_ = w.notify.Remove(dir) // it may be gone already
	}
	w.watched, w.links = nil, nil
	for i, dir := range w.dirs {
		w.way(dir, 0)
		w.tree(dir, i > 0, 0)
	}
}

func (w *watcher) add(dir string) {
	if len(w.watched) < maxWatches && !slices.Contains(w.watched, dir) && w.notify.Add(dir) == nil {
		w.watched = append(w.watched, dir)
	}
}

// way watches what leads to dir: its parent, or the nearest directory above that
// exists, and the parent of every symlink in the path.
func (w *watcher) way(dir string, depth int) {
	parent := filepath.Dir(dir)
	for parent != filepath.Dir(parent) {
		if _, err := os.Stat(parent); err == nil {
			break
		}
		parent = filepath.Dir(parent)
	}
	w.add(parent)
	for p := dir; p != filepath.Dir(p); p = filepath.Dir(p) {
		target, err := os.Readlink(p)
		if err != nil || depth > 20 {
			continue
		}
		w.links = append(w.links, p)
		w.add(filepath.Dir(p))
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(p), target)
		}
		w.way(target, depth+1)
		if p != dir { // the rest of the path goes on below the target
			rest, _ := filepath.Rel(p, dir)
			w.links = append(w.links, filepath.Join(target, rest))
		}
	}
}

// tree watches a directory and, if deep, those in it, through symlinks too.
func (w *watcher) tree(dir string, deep bool, depth int) {
	w.add(dir)
	if !deep || depth > 8 {
		return
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			w.tree(path, true, depth+1)
		}
	}
}

// fingerprint tells by names, sizes and times whether any file changed; links are followed.
func (w *watcher) fingerprint() uint64 {
	h := fnv.New64a()
	for i, dir := range w.dirs {
		look(h, dir, i > 0, 0)
	}
	return h.Sum64()
}

func look(h interface{ Write([]byte) (int, error) }, dir string, deep bool, depth int) {
	entries, err := os.ReadDir(dir)
	fmt.Fprintf(h, "%s:%v\n", dir, errors.Is(err, fs.ErrNotExist))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil:
			fmt.Fprintf(h, "%s!\n", path)
		case info.IsDir():
			if deep && depth < 8 {
				look(h, path, deep, depth+1)
			}
		case isYAML(path):
			fmt.Fprintf(h, "%s %d %d %o\n", path, info.Size(), info.ModTime().UnixNano(), info.Mode())
		}
	}
}
