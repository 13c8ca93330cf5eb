package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// options are the flags.
type options struct {
	bin      string
	dir      string
	store    string
	replicas int
	duration time.Duration
	round    time.Duration
	seed     uint64
	workers  int
	groups   int
	freeze   time.Duration
	// forget makes the broker lose its store at the first rest: a check of the check.
	forget bool
}

// The stores.
const (
	storeSQLite   = "sqlite"
	storePostgres = "postgres"
)

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "directory with chandler, the plugins and s3gateway")
	flag.StringVar(&o.dir, "dir", "", "directory to work in; default a temporary one, which is removed after a clean run")
	flag.StringVar(&o.store, "store", "sqlite", "sqlite or postgres")
	flag.IntVar(&o.replicas, "replicas", 1, "broker processes; more than one needs -store postgres")
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long to go on, roughly")
	flag.DurationVar(&o.round, "round", 20*time.Second, "how long processes are harmed between two looks at what is left")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of all random choices")
	flag.IntVar(&o.workers, "workers", 4, "clients at once")
	flag.IntVar(&o.groups, "groups", 24, "service instances at once")
	flag.DurationVar(&o.freeze, "freeze", 0, "the longest time for which a broker is stopped; default 2s, and longer than a lease with -store postgres")
	flag.BoolVar(&o.forget, "forget", false, "lose the store once: the run must then report violations")
	flag.Parse()
	if o.store != storePostgres && (o.store != storeSQLite || o.replicas != 1) {
		fmt.Fprintln(os.Stderr, "soak: -store is sqlite, with one replica, or postgres")
		os.Exit(2)
	}
	if o.freeze == 0 {
		o.freeze = map[string]time.Duration{storeSQLite: 2 * time.Second, storePostgres: 15 * time.Second}[o.store]
	}
	signal.Ignore(syscall.SIGPIPE) // whatever becomes of our output, our processes are ended in order
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// run does the soak. Its error says how it failed; violations were printed before.
func run(ctx context.Context, o options) (err error) {
	temporary := o.dir == ""
	if temporary {
		if o.dir, err = os.MkdirTemp("", "chandler-soak-"); err != nil {
			return err
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	fmt.Printf("soak: seed %d, store %s, replicas %d, directory %s\n", o.seed, o.store, o.replicas, o.dir)
	w, err := newWorld(ctx, o, o.dir)
	if err == nil {
		err = w.soak(ctx)
	}
	if errors.Is(err, postgres.ErrNotInstalled) {
		fmt.Println("soak: skipped:", err)
		return nil
	}
	if w != nil {
		err = errors.Join(err, w.close())
		w.counts.printKinds()
		fmt.Println("soak:", w.counts.String())
	}
	if n := w.violated(); err == nil && n > 0 {
		err = fmt.Errorf("%d violations; seed %d; everything is kept in %s", n, o.seed, o.dir)
	}
	if err != nil {
		return err
	}
	if temporary {
		return os.RemoveAll(o.dir)
	}
	return nil
}

// soak goes round after round until the time is over or something is violated.
func (w *world) soak(ctx context.Context) error {
	if err := w.makeTaken(ctx); err != nil {
		return err
	}
	var groups []*group
	for n := range w.o.groups {
		groups = append(groups, newGroup(w, n, "soak"))
	}
	w.died = func(process int) {
		for _, g := range groups {
			g.mu.Lock()
			g.Died(process)
			g.mu.Unlock()
		}
	}
	end := time.Now().Add(w.o.duration)
	for round := 0; ctx.Err() == nil && time.Now().Before(end); round++ {
		err := w.round(ctx, groups, uint64(round), min(w.o.round, max(time.Second, time.Until(end))))
		if err == nil && w.o.forget && round == 0 {
			err = w.forget(ctx)
		}
		if err == nil {
			err = w.rest(context.WithoutCancel(ctx), groups)
		}
		err = w.failed(err)
		w.print(groups)
		fmt.Printf("soak: round %d: %s\n", round, w.counts.String())
		if err != nil {
			return err
		}
		if w.violated() > 0 {
			return nil
		}
	}
	ctx = context.WithoutCancel(ctx)
	err := w.failed(w.clean(ctx, groups))
	w.print(groups)
	return errors.Join(err, w.countOperations(ctx), w.countTakeOvers())
}

// failed turns a violation that ends the run into one that is counted.
func (w *world) failed(err error) error {
	var v *violation
	if errors.As(err, &v) {
		w.report(v)
		return nil
	}
	return err
}

// round lets clients work while everything is harmed.
func (w *world) round(ctx context.Context, groups []*group, round uint64, length time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for i, m := range w.menaces() {
		rng := rand.New(rand.NewPCG(w.o.seed+round, uint64(1000+i)))
		wg.Go(func() {
			if err := w.harm(ctx, m, rng); err != nil {
				errs <- err
				cancel()
			}
		})
	}
	for i := range w.o.workers {
		var own []*group
		for n := i; n < len(groups); n += w.o.workers {
			own = append(own, groups[n])
		}
		rng := rand.New(rand.NewPCG(w.o.seed+round, uint64(i)))
		wg.Go(func() { work(ctx, own, rng) })
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
