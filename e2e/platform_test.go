package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// demoRecords reads the demo plugin's directory: one file for each instance that exists there.
func (w *world) demoRecords() []map[string]any {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(w.broker.ConfigFile), "state", "plugins", "data", "demo", "instances", "*.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	var records []map[string]any
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // deleted meanwhile
		}
		var r map[string]any
		if err := json.Unmarshal(raw, &r); err != nil {
			w.t.Fatalf("%s: %v", f, err)
		}
		records = append(records, r)
	}
	return records
}

// A platform that keeps no operation re-sends its PUT and DELETE before every
// poll: the same operation goes on and is never restarted.
func TestPlatformThatResendsBeforeEveryPoll(t *testing.T) {
	w := newWorld(t, "timing: {fastAnswer: 10ms}\n")
	const id = "korifi"
	body := slowPlan.body(nil)
	drive := func(send func() answer, done int) {
		first := w.want(send(), "first", 202)
		resent := 0
		w.until("the operation", func() bool {
			again := send()
			if again.Status == done {
				return true
			}
			w.want(again, "the same again", 202)
			resent++
			if again.text("operation") != first.text("operation") {
				t.Errorf("the operation was restarted: %s, then %s", first.text("operation"), again.text("operation"))
			}
			w.want(w.send(http.MethodGet, instance(id)+"/last_operation?operation="+again.text("operation"), nil), "poll", 200)
			return false
		})
		if resent == 0 {
			t.Error("the operation ended before anything was re-sent: nothing is shown")
		}
	}
	drive(func() answer { return w.send(http.MethodPut, instance(id)+async, body) }, 200)
	if n := len(w.demoRecords()); n != 1 {
		t.Errorf("%d instances at the backend, want 1", n)
	}
	drive(func() answer { return w.send(http.MethodDelete, instance(id)+slowPlan.query(), nil) }, 410)
	if n := len(w.demoRecords()); n != 0 {
		t.Errorf("%d instances at the backend after DELETE", n)
	}
}

// A platform that never polls finds everything done.
func TestPlatformThatNeverPolls(t *testing.T) {
	w := newWorld(t, "timing: {fastAnswer: 10ms}\n")
	w.want(w.send(http.MethodPut, instance("i")+async, slowPlan.body(nil)), "provision", 202)
	w.want(w.send(http.MethodPut, binding("i", "b")+async, slowPlan.body(nil)), "bind, queued behind it", 202)
	w.until("the binding", func() bool { return w.send(http.MethodGet, binding("i", "b"), nil).Status == 200 })
	w.want(w.send(http.MethodGet, instance("i"), nil), "fetch the instance", 200)
}

// A platform that hangs up: the work belongs to the journal, not to the request.
func TestPlatformThatHangsUp(t *testing.T) {
	w := newWorld(t, "")
	ctx, hangUp := context.WithTimeout(w.ctx, 200*time.Millisecond)
	defer hangUp()
	_, err := w.try(ctx, http.MethodPut, instance("i"), slowPlan.body(nil)) // synchronous: would wait
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the request was answered before the client hung up: %v", err)
	}
	w.until("the instance", func() bool { return w.send(http.MethodGet, instance("i"), nil).Status == 200 })
	w.want(w.send(http.MethodPut, instance("i"), slowPlan.body(nil)), "the same PUT again", 200)
	if n := len(w.demoRecords()); n != 1 {
		t.Errorf("%d instances at the backend, want 1", n)
	}
}

// DELETE while everything else runs: what runs is cancelled, nothing is left, and
// the id can be used again.
func TestDeleteWhileEverythingRuns(t *testing.T) {
	w := newWorld(t, "timing: {fastAnswer: 10ms}\n")
	for round, provisioned := range []bool{false, true, true} {
		id := "i" // the same id every time
		provision := w.want(w.send(http.MethodPut, instance(id)+async, slowPlan.body(nil)), "provision", 201, 202)
		if provisioned {
			if state := w.settled(instance(id), provision); state != "succeeded" {
				t.Fatalf("round %d: the provision %s", round, state)
			}
		}
		if round == 2 {
			w.want(w.send(http.MethodPatch, instance(id)+async, map[string]any{"service_id": slowPlan.service, "parameters": map[string]any{"size": 5}}), "update", 202)
		}
		binds := map[string]answer{}
		for n := range 3 {
			b := fmt.Sprintf("b%d", n)
			binds[b] = w.want(w.send(http.MethodPut, binding(id, b)+async, slowPlan.body(nil)), "bind", 202)
		}
		deprovision := w.want(w.send(http.MethodDelete, instance(id)+slowPlan.query(), nil), "deprovision", 202)
		again := w.want(w.send(http.MethodDelete, instance(id)+slowPlan.query(), nil), "the same DELETE again", 202)
		if deprovision.text("operation") != again.text("operation") {
			t.Errorf("round %d: a second DELETE started a second operation", round)
		}
		if state := w.settled(instance(id), deprovision); state != "succeeded" {
			t.Fatalf("round %d: the deprovision %s", round, state)
		}
		for b, a := range binds {
			if state := w.settled(binding(id, b), a); state != "failed" {
				t.Errorf("round %d: bind %s that the DELETE cancelled: %s", round, b, state)
			}
		}
		if !provisioned {
			if state := w.settled(instance(id), provision); state != "failed" {
				t.Errorf("round %d: the provision that the DELETE cancelled: %s", round, state)
			}
		}
		w.want(w.send(http.MethodDelete, instance(id)+slowPlan.query(), nil), "DELETE of what is gone", 410)
		if n := len(w.demoRecords()); n != 0 {
			t.Errorf("round %d: %d instances at the backend", round, n)
		}
	}
}

// After kill -9 of broker and plugin, nothing that we started is left: no plugin, no child of one.
func TestNothingOutlivesTheBroker(t *testing.T) {
	w := newWorld(t, "")
	pids := []int{w.pluginPID("demo"), w.pluginPID("gluster-s3")}
	for _, pid := range pids {
		if pid == 0 {
			t.Fatal("a plugin does not run")
		}
	}
	w.broker.Kill()
	w.until("the plugins to end", func() bool {
		for _, pid := range pids {
			if running(pid) {
				return false
			}
		}
		return true
	})
	if err := w.broker.Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
}

// running tells whether a process exists and is no zombie.
func running(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(raw) > 0
}
