package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
)

// victims are what a test kills with SIGKILL in the middle of an operation.
var victims = map[string]func(*world){
	"plugin": func(w *world) {
		if pid := w.pluginPID("gluster-s3"); pid > 0 {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				w.t.Errorf("kill the plugin: %v", err)
			}
		}
	},
	"broker": func(w *world) {
		w.broker.Kill()
		if err := w.broker.Restart(w.ctx); err != nil {
			w.t.Fatal(err)
		}
	},
	"gateway": func(w *world) {
		w.gateway.Kill()
		if err := w.gateway.Restart(w.ctx); err != nil {
			w.t.Fatal(err)
		}
	},
}

// halfway freezes the gateway, so that an operation that is begun now stays in its
// plugin call, kills the victim, and lets the gateway go on.
func (w *world) halfway(victim string, begin func()) {
	w.t.Helper()
	if err := w.gateway.Signal(syscall.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
	begin()
	if victim == "gateway" { // a stopped process dies of SIGKILL, too
		victims[victim](w)
		return
	}
	// The broker starts with the gateway frozen as well: it must not depend on it.
	victims[victim](w)
	if err := w.gateway.Signal(syscall.SIGCONT); err != nil {
		w.t.Fatal(err)
	}
}

// A kill -9 in the middle of a provision and of a bind ends in success, one bucket,
// one account, and no leftovers.
func TestKillInTheMiddle(t *testing.T) {
	for victim := range victims {
		t.Run(victim, func(t *testing.T) {
			w := newWorld(t, "timing: {fastAnswer: 50ms, backoffMin: 50ms, backoffMax: 500ms}\n")
			const id, bind = "killed/in the middle", "b%2F1"
			provision := bucketPlan.body(map[string]any{"bucketName": "survivor"})
			w.halfway(victim, func() { w.want(w.send(http.MethodPut, instance(id)+async, provision), "provision", 202) })
			if state := w.settled(instance(id), answer{}); state != "succeeded" {
				t.Fatalf("the provision %s", state)
			}
			if got := w.buckets(); !slices.Equal(got, []string{"survivor"}) {
				t.Errorf("buckets after the kill: %v", got)
			}

			body := bucketPlan.body(nil)
			w.halfway(victim, func() { w.want(w.send(http.MethodPut, binding(id, bind)+async, body), "bind", 202) })
			if state := w.settled(binding(id, bind), answer{}); state != "succeeded" {
				t.Fatalf("the bind %s", state)
			}
			bound := w.want(w.send(http.MethodGet, binding(id, bind), nil), "fetch", 200)
			if !w.works(bound.Body) {
				t.Errorf("the credentials do not work")
			}
			if got := w.accounts(); len(got) != 1 {
				t.Errorf("accounts after the kill: %v, want one", got)
			}

			w.halfway(victim, func() {
				w.want(w.send(http.MethodDelete, binding(id, bind)+bucketPlan.query(), nil), "unbind", 202)
			})
			if state := w.settled(binding(id, bind), answer{}); state != "succeeded" {
				t.Fatalf("the unbind %s", state)
			}
			if w.works(bound.Body) {
				t.Errorf("the credentials still work after unbind")
			}
			w.halfway(victim, func() {
				w.want(w.send(http.MethodDelete, instance(id)+bucketPlan.query(), nil), "deprovision", 202)
			})
			if state := w.settled(instance(id), answer{}); state != "succeeded" {
				t.Fatalf("the deprovision %s", state)
			}
			if left := append(w.buckets(), w.accounts()...); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Kills at many different moments, not only where the gateway is asked.
func TestKillAtAnyMoment(t *testing.T) {
	w := newWorld(t, "timing: {fastAnswer: 1ms, backoffMin: 20ms, backoffMax: 200ms}\n")
	const rounds = 12
	for i := range rounds {
		victim := []string{"plugin", "broker"}[i%2]
		id := fmt.Sprintf("i-%d", i)
		name := fmt.Sprintf("bucket-%d", i)
		body := bucketPlan.body(map[string]any{"bucketName": name})
		// The delay differs by what was sent before the kill, not by a clock.
		path := instance(id)
		a := w.send(http.MethodPut, path+async, body)
		for range i / 2 {
			w.send(http.MethodGet, path+"/last_operation", nil)
		}
		victims[victim](w)
		w.want(a, "provision", 201, 202)
		if state := w.settled(path, answer{}); state != "succeeded" {
			t.Fatalf("%s killed in round %d: the provision %s", victim, i, state)
		}
		w.want(w.send(http.MethodPut, path+async, body), "the same PUT again", 200)
	}
	if got := w.buckets(); len(got) != rounds {
		t.Errorf("%d buckets for %d instances: %v", len(got), rounds, got)
	}
}

// A taken name is refused; the DELETE that a platform sends afterwards leaves the
// stranger's bucket alone, also when the broker was killed in between and the plan purges.
func TestStrangersBucketIsLeftAlone(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed=%v", killed), func(t *testing.T) {
			w := newWorld(t, "timing: {fastAnswer: 50ms, backoffMin: 50ms, backoffMax: 500ms}\n")
			stranger := w.s3As(w.gateway.AccessKey, w.gateway.SecretKey)
			if _, err := stranger.CreateBucketWithContext(w.ctx, createBucket("precious")); err != nil {
				t.Fatal(err)
			}
			if _, err := stranger.PutObjectWithContext(w.ctx, putObject("precious", "deed", "mine")); err != nil {
				t.Fatal(err)
			}
			purge := plan{bucketPlan.service, purgePlanID(t)}
			body := purge.body(map[string]any{"bucketName": "precious"})
			if killed {
				w.halfway("broker", func() { w.want(w.send(http.MethodPut, instance("thief")+async, body), "provision", 202) })
				if state := w.settled(instance("thief"), answer{}); state != "failed" {
					t.Fatalf("the provision %s", state)
				}
			} else {
				w.want(w.send(http.MethodPut, instance("thief"), body), "provision", 400)
			}
			a := w.send(http.MethodDelete, instance("thief")+purge.query(), nil)
			w.want(a, "deprovision", 200, 202, 410)
			if a.Status == 202 {
				w.settled(instance("thief"), a)
			}
			out, err := stranger.GetObjectWithContext(w.ctx, getObject("precious", "deed"))
			if err != nil {
				t.Fatalf("the stranger's object is gone: %v", err)
			}
			_ = out.Body.Close()
			if got := w.buckets(); !slices.Equal(got, []string{"precious"}) {
				t.Errorf("buckets: %v", got)
			}
		})
	}
}
