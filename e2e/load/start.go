package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// start measures how long a broker needs from its exec until /readyz says so, over a
// store with many instances and operations that a crash left unfinished, and how long
// until it has ended them all.
func (s settings) start(ctx context.Context, r *report) (err error) {
	t, err := s.open(ctx)
	if err != nil {
		return err
	}
	if t.broker == nil {
		return errors.New("it needs a broker of its own, not one at -url")
	}
	defer func() { err = errors.Join(err, t.close()) }()
	id, err := s.seed(ctx, t)
	if err != nil {
		return err
	}
	if err := t.broker.Stop(time.Minute); err != nil {
		return err
	}
	if err := s.fill(ctx, t.dir, id); err != nil {
		return err
	}
	began := time.Now()
	if err := t.broker.Restart(ctx); err != nil {
		return err
	}
	ready := time.Since(began)
	if err := t.drained(ctx); err != nil {
		return err
	}
	resumed := time.Since(began)
	what := fmt.Sprintf("start with %d instances and %d unfinished operations: ", s.instances, s.unfinished)
	r.Values[what+"all of them ended after ms"] = float64(resumed.Milliseconds())
	r.most(what+"seconds to ready", ready.Seconds(), 3)
	return nil
}

// seed provisions the instance that the others are copies of, and gives its id.
func (s settings) seed(ctx context.Context, t *target) (id string, err error) {
	c, err := t.connect()
	if err != nil {
		return "", err
	}
	defer c.close()
	id = uuid.NewString()
	return id, c.expect(ctx, http.MethodPut, "/v2/service_instances/"+id, "", demoPlan.instanceBody(), http.StatusCreated)
}

// perTransaction is how many copies one transaction of fill makes.
const perTransaction = 500

// fill copies the instance in the store, so many times as it is, and so many times as it
// was while its first plugin call ran.
func (s settings) fill(ctx context.Context, dir, id string) (err error) {
	ring, err := masterKey(filepath.Join(dir, "master.key"))
	if err != nil {
		return err
	}
	db, err := store.OpenSQLite(ctx, store.SQLiteConfig{Path: filepath.Join(dir, "state", "chandler.db"), Cipher: ring})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var inst *core.Instance
	var op *core.Operation
	err = db.View(ctx, func(tx core.Tx) error {
		keys, err := tx.Get(core.KeysDocument)
		if err == nil {
			err = ring.Load(keys)
		}
		if err != nil {
			return err
		}
		if inst, err = tx.Instance(id); err != nil {
			return err
		}
		op, err = tx.Operation(inst.LastOperation)
		return err
	})
	if err != nil {
		return err
	}
	for made := 0; made < s.instances; made += perTransaction {
		n := min(perTransaction, s.instances-made)
		open := max(0, min(n, s.unfinished-made))
		if err := db.Update(ctx, func(tx core.Tx) error { return copies(tx, inst, op, n, open) }); err != nil {
			return err
		}
	}
	return nil
}

// masterKey gives the keyring of the broker that e2e/stack started.
func masterKey(file string) (*store.Keyring, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := store.ParseMasterKey(string(text))
	if err != nil {
		return nil, err
	}
	return store.NewKeyring(key)
}

// copies makes n copies of an instance and its provision; open of them are unfinished.
func copies(tx core.Tx, inst *core.Instance, op *core.Operation, n, open int) error {
	for i := range n {
		in, o := *inst, *op
		in.ID, o.ID = uuid.NewString(), uuid.NewString()
		o.InstanceID, in.LastOperation = in.ID, o.ID
		if i < open {
			in.Ready, in.Usable, in.Applied = false, false, core.Applied{}
			o.State, o.FinishedAt = core.OperationPending, time.Time{}
			o.Deadline = time.Now().Add(10 * time.Minute)
			o.Detached = true // nobody waits for it any more
		}
		if err := tx.PutInstance(&in); err != nil {
			return err
		}
		if err := tx.InsertOperation(&o); err != nil {
			return err
		}
		if _, err := tx.NextFence(in.ID); err != nil {
			return err
		}
	}
	return nil
}

// drained waits until the broker has no unfinished operations.
func (t *target) drained(ctx context.Context) error {
	c, err := newClient(t.url, t.broker.Operator, t.password)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		n, err := c.metric(ctx, "chandler_unfinished_operations")
		if err != nil || n == 0 {
			return err
		}
		if !sleepUntil(ctx, time.Now().Add(20*time.Millisecond)) {
			return fmt.Errorf("%.0f operations are still unfinished", n)
		}
	}
}

// metric gives the sum of a metric over its labels.
func (c *client) metric(ctx context.Context, name string) (sum float64, err error) {
	status, body, err := c.do(ctx, http.MethodGet, "/metrics", "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET /metrics: status %d", status)
	}
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		n, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
