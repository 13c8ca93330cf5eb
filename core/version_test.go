package core_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// TestOutputsCarryTheirVersion: a plugin is told which version of it gave the outputs that it
// gets, so that a newer one can read what an older one wrote.
func TestOutputsCarryTheirVersion(t *testing.T) {
	r := newRig(t)
	// answers is a plugin of that version, from the next call on.
	answers := func(version string) {
		for _, verb := range []core.Verb{core.VerbProvision, core.VerbUpdate, core.VerbBind} {
			r.backend.every(verb, func(ctx context.Context, call core.Call, p func(core.Progress)) (core.Result, error) {
				result, err := r.backend.done(ctx, call, p)
				result.Version = version
				return result, err
			})
		}
	}
	last := func() []string {
		calls := r.backend.seen()
		c := calls[len(calls)-1]
		return []string{string(c.Verb), c.Instance.Version, c.Binding.Version}
	}
	told := func(why string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, last()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", why, diff)
		}
	}
	answers("1.0.0")
	r.must("created", put("i", false))
	told("nothing was there before", "provision", "", "")
	answers("1.1.0")
	r.must("created", bind("i", "b", false))
	told("the instance is of the older one", "bind", "1.0.0", "")
	r.must("done", patch("i", false))
	told("until it is updated", "update", "1.0.0", "")
	answers("1.2.0")
	r.must("created", bind("i", "b2", false))
	told("a done update gave new outputs", "bind", "1.1.0", "")
	r.restart()
	r.must("done", unbind("i", "b", false))
	told("they are stored", "unbind", "1.1.0", "1.1.0")

	// An update that is taken back gives outputs, too.
	r.backend.on(core.VerbUpdate, fails(core.CodeConflict, "taken"))
	q := patch("i", false)
	q.Parameters = []byte(`{"bucket":"another"}`)
	r.must("conflict", q)
	r.must("done", unbind("i", "b2", false))
	told("the undone update gave new outputs", "unbind", "1.2.0", "1.2.0")
}
