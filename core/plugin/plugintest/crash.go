package plugintest

import (
	"context"
	"encoding/json"
	"syscall"
	"time"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// moment is when a call is disturbed.
type moment struct {
	when string
	wait func(r *running)
}

// moments are: before the plugin has read the request, probably; while it works, if
// it says so with progress, or when it has just told how it ended; and in between.
func moments() []moment {
	return []moment{
		{"at once", func(*running) {}},
		{"soon after", func(r *running) {
			select {
			case <-r.first:
			case <-time.After(5 * time.Millisecond):
			}
		}},
		{"at the first event", func(r *running) { <-r.first }},
	}
}

// subject is a verb that is to be disturbed, and what must be true when it is over.
type subject struct {
	verb    string
	prepare func(p *process) (o *operation, after func(p *process, outputs json.RawMessage, when string))
}

// subjects are the verbs that the configuration has inputs for, each on an instance of its own.
func (t *trial) subjects() []subject {
	provision := func(*process) (*operation, func(*process, json.RawMessage, string)) {
		i := t.newInstance()
		o := i.provisionOperation()
		return o, func(p *process, first json.RawMessage, when string) {
			i.count(1, when)
			i.applied = t.applied(o.inputs, first)
			if second := t.must(p, o.again(), when+" and once more"); !sameJSON(first, second) {
				t.errorf("provision %s, and once more, gives other outputs: %s", when, difference(first, second))
			}
		}
	}
	update := func(p *process) (*operation, func(*process, json.RawMessage, string)) {
		i := t.newInstance()
		i.provision(p)
		return i.operation("update", i.inputs(t.config.Update)), func(_ *process, _ json.RawMessage, when string) { i.count(1, when) }
	}
	deprovision := func(p *process) (*operation, func(*process, json.RawMessage, string)) {
		i := t.newInstance()
		i.provision(p)
		return i.operation("deprovision", i.lastInputs()), func(_ *process, _ json.RawMessage, when string) { i.count(0, when) }
	}
	bind := func(p *process) (*operation, func(*process, json.RawMessage, string)) {
		i := t.newInstance()
		i.provision(p)
		b := i.newBinding()
		return b.operation("bind"), func(_ *process, outputs json.RawMessage, when string) { b.live(outputs, true, when) }
	}
	unbind := func(p *process) (*operation, func(*process, json.RawMessage, string)) {
		i := t.newInstance()
		i.provision(p)
		b := i.newBinding()
		outputs := b.bind(p)
		return b.operation("unbind"), func(_ *process, _ json.RawMessage, when string) { b.live(outputs, false, when) }
	}
	all := []subject{{"provision", provision}, {"deprovision", deprovision}}
	if len(t.config.Update) > 0 {
		all = append(all, subject{"update", update})
	}
	if len(t.config.Bind) > 0 {
		all = append(all, subject{"bind", bind}, subject{"unbind", unbind})
	}
	return all
}

func checkCancel(t *trial) {
	for _, s := range t.subjects() {
		for _, m := range moments() {
			p := t.plugin()
			o, after := s.prepare(p)
			r := t.begin(p, o)
			m.wait(r)
			if out := r.cancel(); out.pending != nil {
				o.handle = out.pending.GetHandle()
			}
			when := "after it was cancelled " + m.when
			after(p, t.must(t.plugin(), o, when), when)
		}
	}
	// A call that is not running (any more) is no error.
	ctx, end := context.WithTimeout(t.ctx, t.config.CancelWithin)
	defer end()
	if _, err := t.plugin().rpc.Cancel(ctx, &pluginpb.CancelRequest{CallId: "plugintest-unknown"}); err != nil {
		t.errorf("Cancel of a call that does not run: %v", err)
	}
}

func checkKill(t *trial) {
	for _, s := range t.subjects() {
		for _, m := range moments() {
			p := t.fresh()
			o, after := s.prepare(p)
			r := t.begin(p, o)
			m.wait(r)
			p.kill()
			if out := r.finish(); out.pending != nil {
				o.handle = out.pending.GetHandle()
			}
			when := "after kill -9 " + m.when
			next := t.plugin()
			after(next, t.must(next, o, when), when)
		}
	}
}

func checkKillThenRemove(t *trial) {
	for _, m := range moments() {
		p := t.fresh()
		i := t.newInstance()
		o := i.provisionOperation()
		r := t.begin(p, o)
		m.wait(r)
		p.kill()
		if out := r.finish(); out.pending != nil {
			o.handle = out.pending.GetHandle()
		}
		i.attempted = []*pluginpb.Attempt{o.attempt()}
		t.must(t.plugin(), i.operation("deprovision", o.inputs), "after provision was killed "+m.when)
		i.count(0, "after provision was killed "+m.when+" and the instance deprovisioned")
		i.attempted = nil
		if len(t.config.Bind) > 0 {
			t.killBindThenUnbind(i, m)
		}
	}
}

func (t *trial) killBindThenUnbind(i *instance, m moment) {
	p := t.fresh()
	i.provision(p)
	b := i.newBinding()
	o := b.operation("bind")
	r := t.begin(p, o)
	m.wait(r)
	p.kill()
	out := r.finish()
	if out.pending != nil {
		o.handle = out.pending.GetHandle()
	}
	unbind := b.operation("unbind")
	unbind.attempted = []*pluginpb.Attempt{o.attempt()}
	t.must(t.plugin(), unbind, "after bind was killed "+m.when)
	if out.done != nil {
		b.live(out.done.GetOutputs(), false, "after bind was killed "+m.when+" and then unbound")
	}
}

func checkLostHandle(t *trial) {
	pending := false
	for _, s := range t.subjects() {
		p := t.plugin()
		o, after := s.prepare(p)
		out := t.call(p, o)
		if out.pending == nil {
			if out.done == nil {
				t.errorf("%s: expected done or pending, got %s", s.verb, out)
			}
			continue
		}
		pending = true
		when := "again without the handle that was lost"
		after(p, t.must(p, o, when), when) // o.handle is still empty
	}
	if !pending {
		t.skipf("no verb ends with pending")
	}
}

func checkInterrupt(t *trial) {
	p := t.fresh()
	_ = syscall.Kill(p.pid, syscall.SIGINT)
	for range 5 { // a signal takes its time
		time.Sleep(20 * time.Millisecond)
		if !p.alive() {
			t.fatalf("it ended")
		}
		t.health(p)
	}
}

func checkTerminate(t *trial) {
	p := t.fresh()
	_ = syscall.Kill(p.pid, syscall.SIGTERM)
	if err := p.endOfGroup(t.ctx, t.config.EndWithin); err != nil {
		t.errorf("%v", err)
	}
}

func checkNoOrphans(t *trial) {
	idle := t.fresh()
	_ = idle.lifeline.Close()
	if err := idle.endOfGroup(t.ctx, t.config.EndWithin); err != nil {
		t.errorf("idle: %v", err)
	}
	busy := t.fresh()
	i := t.newInstance()
	r := t.begin(busy, i.provisionOperation())
	_ = busy.lifeline.Close()
	err := busy.endOfGroup(t.ctx, t.config.EndWithin)
	if err != nil {
		t.errorf("while it provisions: %v", err)
		busy.kill()
	}
	r.finish()
}
