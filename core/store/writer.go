package store

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// maxBatch is how many members share one commit at most. It bounds what a failed
// commit takes with it and how long the first member waits for its answer.
const maxBatch = 256

// writer owns the only connection that writes. Its goroutine gathers the calls
// of Update into batches: one transaction, one commit, one sync of the disk.
//
// The goroutine lends the connection to one member at a time; the member's fn
// runs on the goroutine of its caller, so that a panic or runtime.Goexit ends
// that caller, with its own stack, and nobody else.
type writer struct {
	session *session
	cipher  Cipher
	queue   chan *member
	quit    chan struct{} // closed by Close
	done    chan struct{} // closed when the goroutine has ended

	// failure is why the last commit failed; nil after one that succeeded.
	failure atomic.Pointer[core.Error]
}

// member is one call of Update.
type member struct {
	state atomic.Int32
	turn  chan *tx   // the connection is the member's until it writes to ended
	ended chan bool  // true: keep what fn wrote
	fate  chan error // how the batch ended; nil is committed (or, for a failed fn, nothing to wait for)
}

const (
	memberWaiting int32 = iota
	memberStarted
	memberWithdrawn
)

func newMember() *member {
	return &member{turn: make(chan *tx, 1), ended: make(chan bool, 1), fate: make(chan error, 1)}
}

// wait waits for the member's turn, runs fn and gives the outcome. A ctx that
// ends before the turn withdraws the member; after that it changes nothing.
func (m *member) wait(ctx context.Context, fn func(core.Tx) error) error {
	select {
	case t := <-m.turn:
		return m.run(t, fn)
	case err := <-m.fate:
		return err
	case <-ctx.Done():
		if m.state.CompareAndSwap(memberWaiting, memberWithdrawn) {
			return ctx.Err()
		}
	}
	select { // the turn came at the same moment
	case t := <-m.turn:
		return m.run(t, fn)
	case err := <-m.fate:
		return err
	}
}

func (m *member) run(t *tx, fn func(core.Tx) error) error {
	keep := false
	func() {
		defer func() { // also when fn panics
			t.over = true
			m.ended <- keep
		}()
		err := fn(t)
		if err == nil && t.broken != nil {
			err = t.broken
		}
		t.fnErr = err
		keep = err == nil
	}()
	// A failed fn waits, too: its error may rest on what the batch had written
	// before it, and that may not come to be.
	if err := <-m.fate; err != nil {
		return err
	}
	return t.fnErr
}

// loop runs batches until quit; members that still wait then are refused.
func (w *writer) loop() {
	defer close(w.done)
	for {
		select {
		case m := <-w.queue:
			if w.closing() { // select picks any of two that are ready
				m.refuse()
				continue
			}
			w.batch(m)
		case <-w.quit:
			w.refuse()
			return
		}
	}
}

func (w *writer) closing() bool {
	select {
	case <-w.quit:
		return true
	default:
		return false
	}
}

func (w *writer) refuse() {
	for {
		select {
		case m := <-w.queue:
			m.refuse()
		default:
			return
		}
	}
}

func (m *member) refuse() {
	if m.state.CompareAndSwap(memberWaiting, memberStarted) {
		m.fate <- errClosed
	}
}

// batch runs first and whoever waits behind it in one transaction.
func (w *writer) batch(first *member) {
	var b batch
	b.s = w.session
	for m, n := first, 1; m != nil; m, n = w.next(n), n+1 {
		if !m.state.CompareAndSwap(memberWaiting, memberStarted) {
			continue // withdrawn
		}
		if err := b.admit(); err != nil {
			w.fail(&b, m, "begin", err)
			return
		}
		m.turn <- &tx{ctx: context.Background(), s: w.session, cipher: w.cipher}
		if err := b.settle(m, <-m.ended); err != nil {
			w.fail(&b, nil, "rollback to savepoint", err)
			return
		}
	}
	if !b.begun {
		return
	}
	if _, err := b.s.exec("COMMIT"); err != nil {
		w.fail(&b, nil, "commit", err)
		return
	}
	w.failure.Store(nil)
	b.answer(nil)
}

// next takes another member if one waits, the batch has room and nobody closes the store.
func (w *writer) next(size int) *member {
	if size >= maxBatch || w.closing() {
		return nil
	}
	select {
	case m := <-w.queue:
		return m
	default:
		return nil
	}
}

// fail ends a batch without effect: everybody in it, and m if it is not nil, gets the error.
func (w *writer) fail(b *batch, m *member, what string, err error) {
	if b.begun {
		b.s.exec("ROLLBACK") // SQLite may have done it already
	}
	e := unavailable(what, err)
	w.failure.Store(e)
	if m != nil {
		m.fate <- e
	}
	b.answer(e)
}

// batch is one transaction of the writer.
type batch struct {
	s     *session
	begun bool
	kept  int       // members whose writes are in the transaction
	wait  []*member // members that wait for the commit
	point bool      // the running member has a savepoint
}

// admit opens the transaction for the first member and a savepoint for each
// later one: the first needs none, since there is nobody to protect from it.
func (b *batch) admit() error {
	if !b.begun {
		if _, err := b.s.exec("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		b.begun = true
	}
	b.point = b.kept > 0
	if !b.point {
		return nil
	}
	_, err := b.s.exec("SAVEPOINT member")
	return err
}

// settle keeps or takes back what the member wrote. An error means that SQLite
// has ended the transaction by itself (disk full, I/O), with everybody's writes.
func (b *batch) settle(m *member, keep bool) error {
	if !keep && !b.point {
		b.s.exec("ROLLBACK") // fails only if SQLite has done it already
		b.begun = false
		m.fate <- nil
		return nil
	}
	b.wait = append(b.wait, m)
	if keep {
		b.kept++
	}
	if !b.point {
		return nil
	}
	if !keep {
		if _, err := b.s.exec("ROLLBACK TO member"); err != nil {
			return err
		}
	}
	_, err := b.s.exec("RELEASE member")
	return err
}

func (b *batch) answer(err error) {
	for _, m := range b.wait {
		m.fate <- err
	}
}

var (
	errClosed = core.Errorf(core.CodeUnavailable, "The broker is shutting down.").
			WithHint("Try again in a moment.").WithDetail("the store is closed")
	errFull = &core.Error{Code: core.CodeOverloaded, Message: "Too many changes wait to be stored.",
		Hint: "Try again in a moment.", Detail: "the queue of updates is full", RetryAfter: time.Second}
)
