package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleFile is how long a configuration file must be quiet before it is read.
const settleFile = 100 * time.Millisecond

// watchFile tells when a file changes, also by rename or by a Kubernetes symlink
// swap: it watches the directory. A file that cannot be watched is only reloaded on SIGHUP.
// loaded is the content in use.
func watchFile(file string, loaded []byte, log *slog.Logger) (<-chan struct{}, func()) {
	changed := make(chan struct{}, 1)
	if file == "" {
		return changed, func() {}
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(filepath.Dir(file))
	}
	if err != nil {
		log.Warn("the configuration file cannot be watched; send SIGHUP after a change", "error", err)
		return changed, func() {}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		quiet := time.NewTimer(settleFile) // it may have changed since it was loaded
		defer quiet.Stop()
		before := loaded
		for {
			select {
			case event, ok := <-watcher.Events:
				if !ok {
					return
				}
				if concerns(file, event.Name) {
					quiet.Reset(settleFile)
				}
			case _, ok := <-watcher.Errors: // an overflow: look at the file
				if !ok {
					return
				}
				quiet.Reset(settleFile)
			case <-quiet.C:
				now, err := os.ReadFile(file)
				if err != nil || string(now) == string(before) {
					continue
				}
				before = now
				select {
				case changed <- struct{}{}:
				default: // a reload is due already
				}
			}
		}
	}()
	return changed, func() {
		_ = watcher.Close()
		<-ended
	}
}

// concerns tells whether an event is about the file: its own, or that of Kubernetes'
// ..data. A log beside the file would otherwise never let it be quiet.
func concerns(file, event string) bool {
	name := filepath.Base(event)
	return name == filepath.Base(file) || strings.HasPrefix(name, "..")
}
