package pluginhost

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watchDir takes in the plugin directory whenever it changes, and now and then.
func (h *Host) watchDir(watcher *fsnotify.Watcher) {
	var events chan fsnotify.Event
	var errs chan error
	if watcher != nil {
		defer watcher.Close()
		events, errs = watcher.Events, watcher.Errors
	}
	t := h.cfg.Timing
	soon := time.NewTimer(0) // when to look next
	defer soon.Stop()
	regular := time.NewTicker(min(t.Rescan, t.Vanish))
	defer regular.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-events:
			soon.Reset(t.Debounce)
			continue
		case err := <-errs:
			h.cfg.Log.Warn("watching the plugin directory", "error", err)
			soon.Reset(t.Debounce)
			continue
		case <-soon.C:
		case <-regular.C:
		}
		if watcher != nil {
			// Again each time: the directory may have come to exist or been replaced. Adding twice is no harm.
			_ = watcher.Add(h.cfg.Dir)
		}
		if !h.takeIn() {
			soon.Reset(t.Debounce)
		}
	}
}

// enoughLooks: a file that is being written for longer than that does not keep the others waiting at start.
const enoughLooks = 10

// takeIn scans the directory and tells the backends; false if it is to be scanned again soon.
func (h *Host) takeIn() bool {
	plugins, settled := h.bins.scan()
	h.mu.Lock()
	h.installed = plugins
	if h.looks++; settled || h.looks >= enoughLooks {
		select {
		case <-h.looked:
		default:
			close(h.looked)
		}
	}
	h.apply()
	h.mu.Unlock()
	h.cleanCopies()
	return settled
}

// apply gives each backend its target, begins new ones and ends those that are gone. h.mu is held.
func (h *Host) apply() {
	if !h.started || h.closed {
		return
	}
	select {
	case <-h.looked:
	default:
		return // the directory was not taken in yet; nothing is known to be missing
	}
	want := h.targets()
	for name, t := range want {
		b := h.backends[name]
		if b == nil {
			b = newBackend(h, name)
			h.backends[name] = b
			b.want = t
			ctx, cancel := context.WithCancel(h.ctx)
			b.cancel = cancel
			h.tasks.Go(func() { b.supervise(ctx, h.hard) })
			continue
		}
		b.setTarget(t)
	}
	for name, b := range h.backends {
		if _, ok := want[name]; !ok {
			b.cancel()
			delete(h.backends, name)
			h.tasks.Go(func() { <-b.ended; h.notify(b.name) })
		}
	}
}

// targets is what should run, by backend.
func (h *Host) targets() map[string]target {
	want := map[string]target{}
	for name, cfg := range h.listed {
		i, known := h.installed[cfg.Plugin]
		t := target{cfg: cfg, bin: i.bin, problem: i.err}
		if known && t.bin == nil && t.problem == nil && i.missing.IsZero() {
			t.problem = fmt.Errorf("%s in %s is still being written", Prefix+cfg.Plugin, h.cfg.Dir)
		} else if t.bin == nil && t.problem == nil {
			t.problem = fmt.Errorf("there is no %s in %s", Prefix+cfg.Plugin, h.cfg.Dir)
		}
		want[name] = t
	}
	for plugin, i := range h.installed {
		_, listed := h.listed[plugin]
		gone := !i.missing.IsZero() && h.cfg.Now().Sub(i.missing) >= h.cfg.Timing.Vanish
		if listed || gone || (i.bin == nil && i.err == nil) {
			continue
		}
		cfg, _ := BackendConfig{Name: plugin}.normalised() // names of plugins are names of backends
		want[plugin] = target{cfg: cfg, implicit: true, bin: i.bin, problem: i.err}
	}
	return want
}

// cleanCopies removes binaries that nothing needs any more.
func (h *Host) cleanCopies() {
	select {
	case <-h.looked:
	default:
		return // backends that may want their last good ones do not exist yet
	}
	h.mu.Lock()
	inUse := map[string]bool{}
	for p := range h.draining {
		inUse[p.want.bin.digest] = true
	}
	for _, b := range h.backends {
		b.mu.Lock()
		for _, d := range b.digests {
			inUse[d] = true
		}
		if b.want.bin != nil {
			inUse[b.want.bin.digest] = true
		}
		first := false
		select {
		case <-b.tried:
		default:
			first = true // it may still want its last good one
		}
		b.mu.Unlock()
		if first {
			h.mu.Unlock()
			return
		}
	}
	h.mu.Unlock()
	h.bins.clean(inUse)
}

// reapOrphans reaps what plugins orphaned, when the broker is process 1.
func (h *Host) reapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var r reaper
	for busy := true; ; {
		select {
		case <-h.ctx.Done():
			return
		case <-ended:
			busy = true
		case <-tick.C:
			if busy {
				r.reap(h.ownChild)
				busy = r.waiting()
			}
		}
	}
}

// ownChild tells whether Go waits for the process.
func (h *Host) ownChild(pid int) bool {
	return h.guard.id() == pid || h.guard.watches(pid)
}
