package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// menace is one kind of harm: done again and again, after pauses of about that length.
type menace struct {
	every time.Duration
	do    func(ctx context.Context, rng *rand.Rand) error
}

// menaces are those of this world.
func (w *world) menaces() []menace {
	list := []menace{
		{500 * time.Millisecond, w.harmPlugin},
		{2500 * time.Millisecond, w.harmGateway},
	}
	if w.database != nil {
		list = append(list, menace{10 * time.Second, w.harmDatabase})
	}
	every := time.Second
	if w.database != nil { // what the dead left waits for the end of its lease
		every = 5 * time.Second
	}
	for _, r := range w.replica {
		list = append(list, menace{every, func(ctx context.Context, rng *rand.Rand) error {
			return w.harmBroker(ctx, r, rng)
		}})
	}
	return list
}

// harm does a menace's harm until ctx ends. It leaves everything running.
func (w *world) harm(ctx context.Context, m menace, rng *rand.Rand) error {
	for sleep(ctx, upTo(rng, 2*m.every)) {
		if err := m.do(ctx, rng); err != nil {
			return err
		}
	}
	return nil
}

// upTo is a random duration.
func upTo(rng *rand.Rand, longest time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(longest) + 1))
}

// harmBroker kills, stops or freezes a broker.
func (w *world) harmBroker(ctx context.Context, r *replica, rng *rand.Rand) error {
	pause := upTo(rng, 500*time.Millisecond)
	switch n := rng.IntN(10); {
	case n < 7:
		return w.killBroker(ctx, r, false, pause)
	case n < 8:
		return w.killBroker(ctx, r, true, pause)
	}
	return w.freeze(ctx, r.PID(), upTo(rng, w.o.freeze))
}

// freeze stops a process for a while.
func (w *world) freeze(ctx context.Context, pid int, d time.Duration) error {
	if pid <= 0 || syscall.Kill(pid, syscall.SIGSTOP) != nil {
		return nil // it is gone already
	}
	w.counts.freezes.Add(1)
	sleep(ctx, d)
	_ = syscall.Kill(pid, syscall.SIGCONT) // if it is gone, so be it
	return nil
}

// harmPlugin kills or freezes a plugin process of a broker.
func (w *world) harmPlugin(ctx context.Context, rng *rand.Rand) error {
	r, _, ok := w.pick(rng)
	name := []string{"demo", "gluster-s3"}[rng.IntN(2)]
	frozen, length := rng.IntN(5) == 0, upTo(rng, 3*time.Second)
	if !ok {
		return nil
	}
	pid := w.pluginPID(ctx, r, name)
	if pid <= 0 {
		return nil
	}
	if frozen {
		return w.freeze(ctx, pid, length)
	}
	if syscall.Kill(pid, syscall.SIGKILL) == nil {
		w.counts.kills.Add(1)
	}
	return nil
}

// pluginPID asks the operators' API for the process of a backend; 0 if there is none.
func (w *world) pluginPID(ctx context.Context, r *replica, name string) int {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var list struct {
		Backends []struct {
			Name string
			PID  int
		}
	}
	if a := send(ctx, r.Broker, "GET", "/admin/v1/backends", nil); a.err != nil || a.decode(&list) != nil {
		return 0
	}
	for _, b := range list.Backends {
		if b.Name == name {
			return b.PID
		}
	}
	return 0
}

// harmGateway kills or freezes the gateway.
func (w *world) harmGateway(ctx context.Context, rng *rand.Rand) error {
	if rng.IntN(3) == 0 {
		return w.freeze(ctx, w.gateway.PID(), upTo(rng, 2*time.Second))
	}
	w.counts.kills.Add(1)
	w.gateway.Kill()
	sleep(ctx, upTo(rng, time.Second))
	return w.gateway.Restart(context.WithoutCancel(ctx))
}

// harmDatabase kills the database server.
func (w *world) harmDatabase(ctx context.Context, rng *rand.Rand) error {
	w.counts.kills.Add(1)
	if err := w.database.Kill(); err != nil {
		return err
	}
	sleep(ctx, upTo(rng, 2*time.Second))
	return w.database.Restart()
}
