package core_test

import (
	"context"
	"sync"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// A request that is on its way when the broker begins to close is journaled all the same,
// and carried out after the next start.
func TestRequestsWhileClosing(t *testing.T) {
	for _, async := range []bool{true, false} {
		r := newRig(t)
		r.stop()
		var once sync.Once
		closed := make(chan error, 1)
		r.config.Fault = func(p core.FaultPoint) {
			if p != core.FaultBeforeAccept {
				return
			}
			once.Do(func() {
				go func() { closed <- r.b.Close(context.Background()) }()
				<-core.Closing(r.b)
			})
		}
		r.startBroker()
		r.must(map[bool]string{true: "accepted", false: string(core.CodeStillRunning)}[async], put("i", async))
		if err := receive(t, closed); err != nil {
			t.Fatal(err)
		}
		r.config.Fault = nil
		r.startBroker()
		if v := r.settled("i", "", ""); v.State != "succeeded" {
			t.Errorf("async=%t: after the next start the provision %s: %s", async, v.State, v.Description)
		}
	}
}
