package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// catalogServices is how many services the measured catalog has.
const catalogServices = 200

// catalogWorkers load the catalog: few, since a full machine measures its scheduler.
const catalogWorkers = 8

// catalog measures GET /v2/catalog and its 304, in turn with a bare handler of the same
// router that writes the same bytes in a process of its own.
func (s settings) catalog(ctx context.Context, r *report) (err error) {
	t, err := s.openWith(ctx, manyServices)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	c, err := t.connect()
	if err != nil {
		return err
	}
	defer c.close()
	answer := bareAnswer{Header: map[int]http.Header{}}
	tag := ""
	for _, want := range []int{http.StatusOK, http.StatusNotModified} {
		status, body, err := c.do(ctx, http.MethodGet, "/v2/catalog", tag, nil)
		if err == nil && status != want {
			err = fmt.Errorf("GET /v2/catalog: status %d, not %d", status, want)
		}
		if err != nil {
			return err
		}
		answer.Header[want] = c.answered
		if want == http.StatusOK {
			answer.Body, tag = body, "If-None-Match: "+c.answered.Get("Etag")+"\r\n"
		}
	}
	bare, err := startBare(ctx, t.dir, answer)
	if err != nil {
		return err
	}
	defer bare.stop()
	for _, m := range []struct {
		name, extra string
		want        int
	}{{"catalog", "", http.StatusOK}, {"catalog 304", tag, http.StatusNotModified}} {
		turn := func(ctx context.Context, s *session) error {
			return s.measure("GET", func() error { return s.expect(ctx, http.MethodGet, "/v2/catalog", m.extra, nil, m.want) })
		}
		ratio, err := s.against(ctx, r, t, bare, m.name, turn)
		if err != nil {
			return err
		}
		r.least(fmt.Sprintf("GET /v2/catalog (%d services, %d) / bare handler", catalogServices, m.want), ratio, 0.9)
	}
	return nil
}

// takeTurns is how often the bare server and the broker take turns: what else the machine
// does then hits both.
const takeTurns = 10

// shortestTurn is enough for a catalog to arrive on a busy machine.
const shortestTurn = 250 * time.Millisecond

// against runs turn in slices against the bare server and the broker, with the same requests, and gives
// the broker's rate over the bare one's.
func (s settings) against(ctx context.Context, r *report, t *target, bare *bareServer, name string, turn func(context.Context, *session) error) (float64, error) {
	type side struct {
		name, url        string
		pid              int
		rate, cpu, turns float64
	}
	sides := []side{{name: name + ": bare handler", url: "http://" + bare.address, pid: bare.cmd.Process.Pid}, {name: name, url: t.url}}
	if t.broker != nil {
		sides[1].pid = t.broker.PID()
	}
	for range takeTurns {
		for i := range sides {
			side := &sides[i]
			l := loop{workers: min(s.workers, catalogWorkers), warmup: s.warmup / (2 * takeTurns), duration: max(s.duration/(2*takeTurns), shortestTurn),
				turn: turn, meter: func() usage { return meter(side.pid) }, connect: func() (*client, error) { return newClient(side.url, t.user, t.password) }}
			res, err := l.run(ctx)
			if err != nil {
				return 0, err
			}
			r.Loops[side.name] = res // the last slice's, for its latencies
			side.rate += res.PerSec / takeTurns
			side.turns += float64(res.Turns)
			side.cpu += res.CPU["broker"] * float64(res.Turns)
		}
	}
	for _, side := range sides {
		r.Values[side.name+": requests per second"] = side.rate
		if side.cpu > 0 {
			r.Values[side.name+": server's µs of processor time per request"] = side.cpu / side.turns
		}
	}
	if sides[0].rate == 0 {
		return 0, errors.New("the bare handler answered nothing")
	}
	return sides[1].rate / sides[0].rate, nil
}

// ids matches the ids of services and plans.
var ids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// manyServices writes catalogServices copies of the demo service, each with ids and a name of its own.
func manyServices(dir string, service []byte) error {
	for i := range catalogServices - 1 {
		copied := service
		for _, id := range ids.FindAll(service, -1) {
			copied = bytes.ReplaceAll(copied, id, []byte(uuid.NewString()))
		}
		name := fmt.Sprintf("demo-service-%d", i)
		copied = bytes.Replace(copied, []byte("name: demo-service\n"), []byte("name: "+name+"\n"), 1)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), copied, 0o600); err != nil {
			return err
		}
	}
	return nil
}
