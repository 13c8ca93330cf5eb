package core_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// TestMainPath walks the main job, synchronously and with polls.
func TestMainPath(t *testing.T) {
	for _, async := range []bool{false, true} {
		name, ok := "synchronous PRO-02 BND-02 UNB-02 DEP-02", map[string]string{"put": "created", "bind": "created", "patch": "done", "unbind": "done", "del": "done"}
		change := func(*rig) {}
		if async {
			name, change = "asynchronous PRO-03 BND-03 UNB-03 DEP-03 ASY-04", slow
			for k := range ok {
				ok[k] = "accepted"
			}
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t, change)
			do := func(verb core.Verb, word string, request any) {
				if !async {
					r.must(ok[word], request)
					return
				}
				g := r.backend.hold(verb)
				op := r.must(ok[word], request)
				close(g.release)
				r.settles(op, "succeeded")
			}
			do(core.VerbProvision, "put", put("i", async))
			do(core.VerbBind, "bind", bind("i", "b", async))
			do(core.VerbUpdate, "patch", patch("i", async))
			view, err := r.b.Instance(context.Background(), "i")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(`{"size":"big"}`, string(view.Parameters)); diff != "" {
				t.Errorf("FI-01, FI-04: parameters (-want +got):\n%s", diff)
			}
			r.must("unchanged", bind("i", "b", async))
			do(core.VerbUnbind, "unbind", unbind("i", "b", async))
			do(core.VerbDeprovision, "del", del("i", async))
			r.must("gone", del("i", async))
			r.wantVerbs("provision", "bind", "update", "unbind", "deprovision")
			if op := r.latest("i", ""); op.Verb != core.VerbDeprovision || op.Wanted.Inputs != nil || op.Seed != nil {
				t.Errorf("the tombstone keeps %+v", op)
			}
		})
	}
}
