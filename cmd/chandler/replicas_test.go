package main

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// database starts a PostgreSQL server for the test.
func database(t *testing.T) *postgres.Server {
	t.Helper()
	server, err := postgres.Start("", "fsync=off")
	if errors.Is(err, postgres.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// sharing is what rigs add to their configurations to share a database, its master
// key and the demo service's directory.
func sharing(t *testing.T, server *postgres.Server) string {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "master.key")
	if got := chandler(t.Context(), "keys", "create", key); got.status != exitOK {
		t.Fatal(got.err)
	}
	return fmt.Sprintf("store: {driver: postgres, dsn: %q}\nencryption: {masterKeys: ['${file:%s}']}\nbackends:\n  demo: {plugin: demo, config: {directory: %q}}\n",
		server.DSN(), key, filepath.Join(dir, "demo"))
}

// Replicas answer for each other, share their catalog, and go on when one ends.
func TestReplicas(t *testing.T) {
	t.Parallel()
	both := sharing(t, database(t))
	a, b := newRig(t, both), newRig(t, both)

	a.ok("provision", "rig", "quick", "i")
	if got := b.object("bind", "i", "b"); got["credentials"] == nil {
		t.Errorf("a binding of the other's instance: %v", got)
	}
	list := b.object("replica", "list")["replicas"].([]any)
	selves := 0
	for _, r := range list {
		if r := r.(map[string]any); r["self"] == true && r["holder"] != "" && r["name"] != "" {
			selves++
		}
	}
	if len(list) != 2 || selves != 1 {
		t.Errorf("replica list: %v", list)
	}

	a.copy("../../catalog/demo.yaml", "catalog/demo.yaml")
	b.until("the other's catalog", func() bool { return strings.Contains(b.ok("marketplace"), "demo-service") })
	if got := b.ok("catalog", "status"); !strings.Contains(got, "2, proposed by ") || !strings.Contains(got, "differs from the revision") {
		t.Errorf("the status of an adopted revision:\n%s", got)
	}
	if got := a.ok("catalog", "status"); !strings.Contains(got, "2, proposed by ") || !strings.Contains(got, "holds the revision") {
		t.Errorf("the status of the revision's own directory:\n%s", got)
	}

	b.end()
	b.start() // with the directory that was superseded while it ran
	if got := b.ok("marketplace"); !strings.Contains(got, "demo-service") {
		t.Errorf("a restart rolled the others' catalog back:\n%s", got)
	}
	a.end()
	if list := b.object("replica", "list")["replicas"].([]any); len(list) != 1 {
		t.Errorf("a replica that ended is listed: %v", list)
	}
	b.ok("deprovision", "i")
}

// A broker with SQLite is alone, and holds no lease.
func TestReplicaAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	list := r.object("replica", "list")["replicas"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["self"] != true || list[0].(map[string]any)["holder"] != nil {
		t.Errorf("replica list: %v", list)
	}
}

// Each replica has a state directory of its own.
func TestReplicasShareNoState(t *testing.T) {
	t.Parallel()
	r := newRig(t, sharing(t, database(t)))
	got := chandler(t.Context(), "serve", "--config", r.file)
	if got.status != exitFailed || !strings.Contains(got.err, "another broker uses the state directory") {
		t.Errorf("status %d: %s", got.status, got.err)
	}
	r.ok("marketplace")
}

// A broker starts while its database is away, and outlives its loss: it is alive, not
// ready, and refuses requests without effect until the database is back.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := database(t)
	r := newRig(t, sharing(t, server))
	r.ok("provision", "rig", "quick", "before")

	away := func(when string) {
		t.Helper()
		if status, _ := r.get("/healthz", ""); status != http.StatusOK {
			t.Errorf("%s: /healthz gives %d", when, status)
		}
		status, body := r.get("/readyz", "")
		if status != http.StatusServiceUnavailable || !strings.Contains(body, `"store"`) {
			t.Errorf("%s: /readyz gives %d %s", when, status, body)
		}
		if status, body := r.get("/admin/v1/instances", "operator"); status != http.StatusTooManyRequests {
			t.Errorf("%s: a request gets %d %s", when, status, body)
		}
	}
	kill := func() {
		t.Helper()
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	back := func() {
		t.Helper()
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		r.until("the broker to serve again", func() bool {
			status, _ := r.get("/readyz", "")
			return status == http.StatusOK
		})
	}
	kill()
	away("while it runs")
	back()
	r.until("work to go on", func() bool { return r.chandler("provision", "rig", "quick", "after").status == exitOK })

	r.end()
	kill()
	r.begin()
	r.awaitLog("the database is away; the start goes on when it is back", nil)
	away("at the start")
	r.end() // a shutdown while it waits is no failure
	r.begin()
	r.awaitLog("the database is away; the start goes on when it is back", nil)
	back()
	r.ok("instance", "show", "before")
}

// A password in the connection string is in no log line and no message.
func TestDatabasePasswordIsMasked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write1(t, dir, "chandler.yaml", fmt.Sprintf("listen: 127.0.0.1:0\nstate: %q\ncatalog: testdata/catalog\ntemplates: ../../templates\n"+
		"encryption: {disabled: true}\n"+
		"store: {driver: postgres, dsn: 'postgres://chandler:hunter-two@127.0.0.1:1/x?sslmode=sometimes'}\n", filepath.Join(dir, "state")))
	got := chandler(t.Context(), "serve", "--config", file)
	if got.status != exitFailed || strings.Contains(got.out+got.err, "hunter-two") {
		t.Errorf("status %d: %s", got.status, got.err)
	}
}
