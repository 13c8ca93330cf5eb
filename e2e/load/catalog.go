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
	status, body, err := c.do(ctx, http.MethodGet, "/v2/catalog", "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET /v2/catalog: status %d", status)
	}
	if err != nil {
		return err
	}
	bare, err := startBare(ctx, t.dir, body)
	if err != nil {
		return err
	}
	defer bare.stop()
	tag := "If-None-Match: " + c.etag + "\r\n"
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

// against runs turn against the bare server, the broker, the broker and the bare server
// again, and gives the broker's rate over the bare one's.
func (s settings) against(ctx context.Context, r *report, t *target, bare *bareServer, name string, turn func(context.Context, *session) error) (float64, error) {
	run := func(connect func() (*client, error)) (result, error) {
		l := loop{workers: min(s.workers, catalogWorkers), warmup: s.warmup / 4, duration: s.duration / 4, turn: turn, connect: connect}
		return l.run(ctx)
	}
	var rates [2]float64
	for _, broker := range []bool{false, true, true, false} {
		connect, i, label := bare.connect, 0, name+": bare handler"
		if broker {
			connect, i, label = t.connect, 1, name
		}
		res, err := run(connect)
		if err != nil {
			return 0, err
		}
		r.Loops[label] = res
		rates[i] += res.PerSec
	}
	if rates[0] == 0 {
		return 0, errors.New("the bare handler answered nothing")
	}
	return rates[1] / rates[0], nil
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
