package store

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
)

const (
	// A notification has less than 8000 bytes.
	maxNotification = 7000
	// sendHints is not part of the transaction that it speaks of: the server lets
	// transactions that notify commit one after the other only. Nobody waits for the
	// disk on its account either.
	sendHints = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`
	// quiet is how long a listener hears nothing before it asks whether the
	// connection still stands.
	quiet = 10 * time.Second
)

// notifier sends hints to other processes through the database, and hears theirs.
type notifier struct {
	pool    *pgxpool.Pool
	connect *pgx.ConnConfig
	log     *slog.Logger
	timeout time.Duration
	self    string // tells this store's hints from others'

	mu      sync.Mutex
	waiting []core.Hint
	wake    chan struct{} // holds one
}

// notification is what is sent.
type notification struct {
	From  string      `json:"from"`
	Hints []core.Hint `json:"hints"`
}

func newNotifier(pool *pgxpool.Pool, connect *pgx.ConnConfig, config PostgresConfig) *notifier {
	return &notifier{pool: pool, connect: connect, log: config.Log, timeout: config.Timeout,
		self: fmt.Sprintf("%016x", rand.Uint64()), wake: make(chan struct{}, 1)}
}

// add takes hints for the next notification. Where they are too many, the listeners
// are told that they missed some.
func (n *notifier) add(hints []core.Hint) {
	n.mu.Lock()
	if len(n.waiting)+len(hints) > maxHints {
		n.waiting = []core.Hint{{Kind: core.HintMissed}}
	} else if len(n.waiting) != 1 || n.waiting[0].Kind != core.HintMissed { // which stands for all
		n.waiting = append(n.waiting, hints...)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// loop sends what waits until ctx ends, and then what is left. While one
// notification is on its way, the next one gathers.
func (n *notifier) loop(ctx context.Context) {
	for {
		select {
		case <-n.wake:
			n.send()
		case <-ctx.Done():
			n.send()
			return
		}
	}
}

// send sends everything that waits, each hint once.
func (n *notifier) send() {
	n.mu.Lock()
	waiting := n.waiting
	n.waiting = nil
	n.mu.Unlock()
	seen := map[core.Hint]bool{}
	var some []core.Hint
	size := 0
	for _, h := range waiting {
		if seen[h] {
			continue
		}
		seen[h] = true
		b, err := json.Marshal(h)
		if err != nil || len(b) > maxNotification {
			continue
		}
		if size+len(b) > maxNotification {
			n.notify(some)
			some, size = nil, 0
		}
		some, size = append(some, h), size+len(b)+1
	}
	n.notify(some)
}

func (n *notifier) notify(hints []core.Hint) {
	if len(hints) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), n.timeout)
	defer cancel()
	text, err := json.Marshal(notification{From: n.self, Hints: hints})
	if err == nil {
		_, err = n.pool.Exec(ctx, sendHints, channel(n.connect), string(text))
	}
	if err != nil {
		n.log.Debug("a hint to the other replicas was not sent", "error", err)
	}
}

// channel names the notifications of one store: those of a database are common to
// all its schemas.
func channel(connect *pgx.ConnConfig) string {
	h := fnv.New64a()
	h.Write([]byte(connect.RuntimeParams["search_path"]))
	return fmt.Sprintf("chandler_%016x", h.Sum64())
}

// listen implements core.Leases. What the database sends is taken at once, however
// long heard takes.
func (n *notifier) listen(ctx context.Context, heard func(core.Hint)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var receiver sync.WaitGroup
	defer receiver.Wait()
	defer cancel()
	l := &hearer{wake: make(chan struct{}, 1)}
	receiver.Go(func() { n.receive(ctx, l) })
	return l.hear(ctx, heard)
}

// receive connects again and again until ctx ends.
func (n *notifier) receive(ctx context.Context, l *hearer) {
	failures := 0
	for first := true; ctx.Err() == nil; first = false {
		began := time.Now()
		err := n.receiveFrom(ctx, l, first)
		if ctx.Err() != nil {
			return
		}
		if failures++; time.Since(began) > quiet {
			failures = 1
		}
		n.log.Warn("the connection for hints of other replicas is lost; connecting again", "error", err)
		most := min(100*time.Millisecond<<min(failures-1, 6), 3*time.Second)
		pause(ctx, most/2+time.Duration(rand.Int64N(int64(most/2))))
	}
}

// receiveFrom passes hints on from one connection until it breaks.
func (n *notifier) receiveFrom(ctx context.Context, l *hearer, first bool) error {
	opening, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	c, err := pgx.ConnectConfig(opening, n.connect)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(closing)
	}()
	if _, err := c.Exec(opening, "LISTEN "+channel(n.connect)); err != nil {
		return err
	}
	if !first {
		l.add([]core.Hint{{Kind: core.HintMissed}})
	}
	for {
		waiting, cancel := context.WithTimeout(ctx, quiet)
		note, err := c.WaitForNotification(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			n.pass(note.Payload, l)
		case waiting.Err() != nil && !c.IsClosed():
			if err := n.alive(ctx, c); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// alive asks the server for an answer, so that a connection that is dead without
// a word is noticed.
func (n *notifier) alive(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, quiet/2)
	defer cancel()
	return c.Ping(ctx)
}

func (n *notifier) pass(payload string, l *hearer) {
	var note notification
	if err := json.Unmarshal([]byte(payload), &note); err != nil || note.From == n.self {
		return // another program's, or our own
	}
	l.add(note.Hints)
}
