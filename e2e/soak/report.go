package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/chandler-broker/chandler/e2e/soak/record"
)

// counts are the figures of a run.
type counts struct {
	requests, unanswered, refused, unavailable atomic.Int64
	kills, stops, freezes                      atomic.Int64
	uses, lost, operations, takeOvers          atomic.Int64
	violations                                 atomic.Int64

	mu   sync.Mutex
	list []*violation
	// kinds counts the answers by request and meaning.
	kinds map[string]int
}

// kind counts an answer to a request that may change something.
func (c *counts) kind(q record.Request, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kinds == nil {
		c.kinds = map[string]int{}
	}
	c.kinds[fmt.Sprintf("%s async=%t %d %s", q.Verb, q.Async, a.status, a.body.Error)]++
}

// printKinds shows what the clients met, so that nobody trusts a run that met nothing.
func (c *counts) printKinds() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		fmt.Printf("soak: %6d %s\n", c.kinds[kind], kind)
	}
}

// answer counts an answer.
func (c *counts) answer(status int) {
	c.requests.Add(1)
	switch status {
	case http.StatusTooManyRequests:
		c.refused.Add(1)
	case http.StatusInternalServerError:
		c.unavailable.Add(1)
	}
}

// String is the one line of figures.
func (c *counts) String() string {
	return fmt.Sprintf("operations=%d requests=%d unanswered=%d refused=%d errors=%d kills=%d stops=%d freezes=%d take-overs=%d credentials-tried=%d given-up=%d violations=%d",
		c.operations.Load(), c.requests.Load(), c.unanswered.Load(), c.refused.Load(), c.unavailable.Load(), c.kills.Load(),
		c.stops.Load(), c.freezes.Load(), c.takeOvers.Load(), c.uses.Load(), c.lost.Load(), c.violations.Load())
}

// report counts a violation that concerns no group.
func (w *world) report(v *violation) {
	w.counts.violations.Add(1)
	w.counts.mu.Lock()
	defer w.counts.mu.Unlock()
	w.counts.list = append(w.counts.list, v)
}

func (w *world) violated() int64 {
	if w == nil {
		return 0
	}
	return w.counts.violations.Load()
}

// print prints the violations, and writes the histories of their groups beside the logs.
func (w *world) print(groups []*group) {
	w.counts.mu.Lock()
	for _, v := range w.counts.list {
		fmt.Println("soak: VIOLATION:", v.text)
	}
	w.counts.list = nil
	w.counts.mu.Unlock()
	for _, g := range groups {
		g.mu.Lock()
		for _, v := range g.violations {
			fmt.Printf("soak: VIOLATION: %s: %s\n", g.id, v.text)
		}
		if len(g.violations) > 0 {
			g.writeHistory()
		}
		g.violations = nil
		g.mu.Unlock()
	}
}

// writeHistory keeps the history of a group in the run's directory.
func (g *group) writeHistory() {
	name := filepath.Join(g.w.o.dir, "history-"+g.id+".txt")
	f, err := os.Create(name)
	if err != nil {
		fmt.Println("soak: the history cannot be kept:", err)
		return
	}
	defer f.Close()
	for _, line := range g.history {
		fmt.Fprintln(f, line)
	}
	fmt.Printf("soak: the history of %s is in %s; it ends:\n", g.id, name)
	for _, line := range g.history[max(0, len(g.history)-25):] {
		fmt.Println("   ", line)
	}
}

// countOperations counts what the journal has, for the figures.
func (w *world) countOperations(ctx context.Context) error {
	total := int64(0)
	for before := ""; ; {
		var page struct {
			Operations []struct{ ID string }
			Next       string
		}
		path := "/admin/v1/operations?limit=1000"
		if before != "" {
			path += "&before=" + url.QueryEscape(before)
		}
		if err := send(ctx, w.replica[0].Broker, "GET", path, nil).decode(&page); err != nil {
			return fmt.Errorf("count the operations: %w", err)
		}
		total += int64(len(page.Operations))
		if before = page.Next; before == "" {
			w.counts.operations.Store(total)
			return nil
		}
	}
}

// forget deletes the store between two processes of the broker.
func (w *world) forget(ctx context.Context) error {
	r := w.replica[0]
	process := w.down(r)
	r.Kill()
	w.buried(process)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(r.ConfigFile), "state", "*.db*"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("find the store's files: %v %w", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return w.restart(ctx, r)
}

// claimed is the line of a broker's log that tells of a take-over.
var claimed = regexp.MustCompile(`"msg":"operations claimed".*?"instances":(\d+)`)

// countTakeOvers counts the instances whose unfinished operations another replica (or the
// next process of the same one) took over, from the brokers' logs.
func (w *world) countTakeOvers() error {
	total := 0
	for _, r := range w.replica {
		if r.Broker == nil {
			continue
		}
		raw, err := os.ReadFile(r.LogFile)
		if err != nil {
			return fmt.Errorf("count the take-overs: %w", err)
		}
		for _, m := range claimed.FindAllSubmatch(raw, -1) {
			n, _ := strconv.Atoi(string(m[1])) // digits
			total += n
		}
	}
	w.counts.takeOvers.Store(int64(total))
	return nil
}
