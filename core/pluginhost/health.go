package pluginhost

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// gone waits a moment and tells whether the process has ended.
func (p *process) gone(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.child.exited:
		return true
	case <-timer.C:
		return false
	}
}

// watch asks for Health until the process ends; one that does not answer is killed, and
// so is one whose connection broke: nobody could tell any more whether its calls have returned.
func (p *process) watch() {
	defer p.cutCalls()
	t := p.host.cfg.Timing
	tick := time.NewTicker(t.HealthInterval)
	defer tick.Stop()
	for failures := 0; ; {
		select {
		case <-p.child.exited:
			return
		case <-p.connection.lost:
			p.slots.close()
			if !p.gone(time.Second) && !p.connection.closing.Load() {
				p.kill("its connection broke")
			}
			<-p.child.exited
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), t.HealthTimeout)
		_, err := p.rpc.Health(ctx, &pluginpb.HealthRequest{})
		cancel()
		if err == nil || status.Code(err) == codes.Unimplemented {
			failures = 0
			continue
		}
		if failures++; failures >= t.HealthFailures {
			p.kill(fmt.Sprintf("it did not answer Health %d times in a row", failures))
		}
	}
}

// cutCalls ends the streams of calls after the process's end. What it sent before is still on the
// way; only where something else holds its connection open do they not end by themselves.
func (p *process) cutCalls() {
	select {
	case <-p.slots.idle:
		return
	case <-time.After(2 * time.Second):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.calls {
		r.end()
	}
}
