package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/chandler-broker/chandler/e2e/soak/record"
)

// settleTime bounds how long operations may go on once nothing is harmed any more. It
// is generous: it tells stuck from slow.
const settleTime = 3 * time.Minute

// numbers are those of the credentials, in the order in which they were told.
func (g *group) numbers() []uint16 { return slices.Sorted(maps.Keys(g.credentials)) }

// seen is what exists, read from the backends and the store at rest.
type seen struct {
	demo     map[string]demoRecord
	buckets  map[string]string
	accounts map[string]bool
	// rows are the store's instances, with the readiness of their bindings.
	rows map[string]map[string]bool
}

// rest lets everything come to rest and compares it with what the clients were told.
func (w *world) rest(ctx context.Context, groups []*group) error {
	if err := w.restartAll(ctx); err != nil { // what went unanswered takes effect before this, or never
		return err
	}
	if err := w.settled(ctx); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(w.o.seed, 77))
	for _, g := range groups {
		if err := g.readAll(ctx, rng); err != nil {
			return err
		}
	}
	s, err := w.look(ctx)
	if err != nil {
		return err
	}
	for _, g := range groups {
		g.mu.Lock()
		g.compare(s)
		g.mu.Unlock()
	}
	w.strangers(groups, s)
	if err := w.takenIntact(ctx); err != nil {
		w.report(&violation{text: "the stranger's bucket was touched: " + err.Error()})
	}
	return nil
}

// settled waits until no operation is unfinished.
func (w *world) settled(ctx context.Context) error {
	deadline := time.Now().Add(settleTime)
	last := ""
	for time.Now().Before(deadline) {
		var list struct{ Operations []map[string]any }
		a := send(ctx, w.replica[0].Broker, "GET", "/admin/v1/operations?state=pending,cancelling", nil)
		if a.decode(&list) == nil && len(list.Operations) == 0 {
			return nil
		}
		last = string(a.raw)
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	return &violation{text: fmt.Sprintf("operations are stuck: %s", last)}
}

// readAll asks the broker for everything about the group; it must answer.
func (g *group) readAll(ctx context.Context, rng *rand.Rand) error {
	g.mu.Lock()
	if len(g.Rest()) == 0 && !g.Lost() {
		g.check(&violation{g, "nothing is possible any more"})
	}
	g.mu.Unlock()
	ok := g.poll(ctx, rng, -1, "", patience) != "in progress" && g.fetch(ctx, rng, patience)
	for b := range int8(record.Bindings) {
		ok = ok && g.poll(ctx, rng, b, "", patience) != "in progress" && g.fetchBinding(ctx, rng, b, patience)
	}
	if !ok {
		return &violation{g, "the broker does not answer although nothing harms it"}
	}
	return nil
}

// look reads the backends and the store.
func (w *world) look(ctx context.Context) (s seen, err error) {
	if s.demo, err = w.demoRecords(); err != nil {
		return s, &violation{text: err.Error()}
	}
	if s.buckets, err = w.buckets(ctx); err != nil {
		return s, err
	}
	if s.accounts, err = w.accounts(ctx); err != nil {
		return s, err
	}
	s.rows, err = w.rows(ctx)
	return s, err
}

// rows reads the store's instances through the operators' API.
func (w *world) rows(ctx context.Context) (map[string]map[string]bool, error) {
	all := map[string]map[string]bool{}
	for after := ""; ; {
		var page struct {
			Instances []struct{ ID string }
			Next      string
		}
		path := "/admin/v1/instances?limit=1000"
		if after != "" {
			path += "&after=" + url.QueryEscape(after)
		}
		if err := send(ctx, w.replica[0].Broker, "GET", path, nil).decode(&page); err != nil {
			return nil, fmt.Errorf("list the instances: %w", err)
		}
		for _, i := range page.Instances {
			var one struct {
				Bindings []struct {
					ID    string
					Ready bool
				}
			}
			if err := send(ctx, w.replica[0].Broker, "GET", "/admin/v1/instances/"+url.PathEscape(i.ID), nil).decode(&one); err != nil {
				return nil, fmt.Errorf("show the instance %s: %w", i.ID, err)
			}
			all[i.ID] = map[string]bool{}
			for _, b := range one.Bindings {
				all[i.ID][b.ID] = b.Ready
			}
		}
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// compare compares what is seen with what may be true of the group, which is locked.
func (g *group) compare(s seen) {
	if g.Lost() {
		g.w.counts.lost.Add(1)
		return
	}
	rows, listed := s.rows[g.id]
	g.check(g.Saw(fmt.Sprintf("the store has the instance: %t, bindings %v", listed, rows), func(t record.Truth) bool {
		if t.Row != listed {
			return false
		}
		for b, want := range t.Bindings {
			if ready, row := rows[g.bindingID(int8(b))]; row != want.Row || ready != want.Ready {
				return false
			}
		}
		return true
	}))
	if g.first.Plan >= planPurge {
		size, exists := s.buckets[g.bucket()]
		g.check(g.Saw(fmt.Sprintf("the gateway has the bucket: %t, size %q", exists, size), func(t record.Truth) bool {
			return g.bucketFits(t, s, exists, size)
		}))
		return
	}
	r, exists := s.demo[g.id]
	g.check(g.Saw(fmt.Sprintf("the demo backend has the instance: %t %+v", exists, r), func(t record.Truth) bool {
		return g.demoFits(t, exists, r)
	}))
}

// bucketFits tells whether the gateway has what a truth says.
func (g *group) bucketFits(t record.Truth, s seen, exists bool, size string) bool {
	switch {
	case !t.Row:
		return !exists
	case !t.Exists:
		return true // of a failed provision something may be left
	case !exists, !t.Changed && size != fmt.Sprintf("s%d", sizeOf(t.Is)):
		return false
	}
	for _, b := range t.Bindings {
		if b.Ready && !s.accounts[g.credentials[b.Credentials].Key] {
			return false
		}
	}
	return true
}

func sizeOf(a record.Attributes) int {
	if a.Parameters == parametersTaken {
		return 0
	}
	return size(a.Parameters)
}

// demoFits tells whether the demo plugin's directory has what a truth says.
func (g *group) demoFits(t record.Truth, exists bool, r demoRecord) bool {
	switch {
	case !t.Row:
		return !exists
	case !t.Exists:
		return true
	case !exists, r.State != "ready", !t.Changed && r.Inputs.Size != sizeOf(t.Is):
		return false
	}
	for b, want := range t.Bindings {
		entry, bound := r.Bindings[g.bindingID(int8(b))]
		sum := sha256.Sum256([]byte(g.credentials[want.Credentials].Password))
		switch {
		case want.Ready && (!bound || entry.PasswordSHA256 != hex.EncodeToString(sum[:])):
			return false
		case !want.Row && bound:
			return false
		}
	}
	return len(r.Bindings) <= record.Bindings
}

// clean deletes everything; then the backends and the store must be empty.
func (w *world) clean(ctx context.Context, groups []*group) error {
	rng := rand.New(rand.NewPCG(w.o.seed, 78))
	for _, g := range groups {
		g.empty(ctx)
		g.mu.Lock()
		q := record.Request{Verb: record.Deprovision, Wanted: g.believes, Async: true}
		for _, t := range g.Rest() {
			if t.Row {
				q.Wanted = t.Is
			}
		}
		g.mu.Unlock()
		g.ask(ctx, rng, q, patience)
	}
	if err := w.settled(ctx); err != nil {
		return err
	}
	s, err := w.look(ctx)
	if err != nil {
		return err
	}
	delete(s.buckets, takenBucket)
	if len(s.demo)+len(s.buckets)+len(s.accounts)+len(s.rows) > 0 {
		w.report(&violation{text: fmt.Sprintf("after everything was deleted there are left: demo %v, buckets %v, accounts %v, rows %v",
			slices.Collect(maps.Keys(s.demo)), s.buckets, s.accounts, s.rows)})
	}
	return nil
}
