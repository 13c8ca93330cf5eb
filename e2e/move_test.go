package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/e2e/stack"
)

var quickPlan = plan{"a902fe73-8c98-4232-a752-a2f6a00e8242", "41ecaf2e-160d-4998-9fcf-0d515c372f87"}

// newPlainWorld is a world without a gateway, whose broker the test starts.
func newPlainWorld(t *testing.T) (w *world, options stack.BrokerOptions) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	templates, err := filepath.Abs("../templates")
	if err != nil {
		t.Fatal(err)
	}
	w = &world{t: t, ctx: ctx, client: &http.Client{}}
	t.Cleanup(w.client.CloseIdleConnections)
	return w, stack.BrokerOptions{Bin: bin, Dir: filepath.Join(t.TempDir(), "broker"), Catalog: "../catalog", Templates: templates,
		Config: "timing: {fastAnswer: 10ms}\n"}
}

// start starts a broker, which is the world's from then on.
func (w *world) start(o stack.BrokerOptions) {
	w.t.Helper()
	b, err := stack.StartBroker(w.ctx, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { b.Kill() }) // the process that it is then
	w.broker = b
}

func (w *world) stop() {
	w.t.Helper()
	w.client.CloseIdleConnections()
	if err := w.broker.Stop(time.Minute); err != nil {
		w.t.Fatal(err)
	}
}

// tool runs a program with an environment that is added to the test's.
func (w *world) tool(env []string, name string, args ...string) (out string, status int) {
	w.t.Helper()
	cmd := exec.CommandContext(w.ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	_ = cmd.Run() // the status says it
	return both.String(), cmd.ProcessState.ExitCode()
}

// done is tool for what must succeed.
func (w *world) done(env []string, name string, args ...string) {
	w.t.Helper()
	if out, status := w.tool(env, name, args...); status != 0 {
		w.t.Fatalf("%s %v: status %d\n%s", name, args, status, out)
	}
}

// use makes an instance and a binding and gives the binding's password.
func (w *world) use(id string) (password string) {
	w.t.Helper()
	w.want(w.send(http.MethodPut, instance(id), quickPlan.body(nil)), "provision", 201)
	bound := w.want(w.send(http.MethodPut, binding(id, "b"), quickPlan.body(nil)), "bind", 201)
	return passwordOf(bound)
}

func passwordOf(a answer) string {
	credentials, _ := a.Body["credentials"].(map[string]any)
	password, _ := credentials["password"].(string)
	return password
}

// goes ends what use has made.
func (w *world) goes(id string) {
	w.t.Helper()
	query := strings.Replace(quickPlan.query(), "accepts_incomplete=true&", "", 1)
	w.want(w.send(http.MethodDelete, binding(id, "b")+query, nil), "unbind", 200)
	w.want(w.send(http.MethodDelete, instance(id)+query, nil), "deprovision", 200)
}

// isPaused looks whether the broker serves reads and refuses changes in a way that platforms repeat.
func (w *world) isPaused() {
	w.t.Helper()
	refused := w.want(w.send(http.MethodPut, instance("later")+async, quickPlan.body(nil)), "provision at a paused broker", 429)
	if refused.Header.Get("Retry-After") == "" {
		w.t.Error("no Retry-After")
	}
	w.want(w.send(http.MethodGet, "/v2/catalog", nil), "catalog of a paused broker", 200)
	out, status := w.chandler("dispatcher", "status")
	if status != 0 {
		w.t.Errorf("dispatcher status: %d\n%s", status, out)
	}
	w.contains(out, "true", "chandler dispatcher status")
}

func (w *world) resumes() {
	w.t.Helper()
	if out, status := w.chandler("dispatcher", "resume"); status != 0 {
		w.t.Fatalf("dispatcher resume: %d\n%s", status, out)
	}
}

// A store moves from SQLite to PostgreSQL and back in the middle of its work, to other
// keys; the source never starts again, and the target goes on when it is told to.
func TestMove(t *testing.T) {
	t.Parallel()
	w, o := newPlainWorld(t)
	dsn, _ := stores["postgres"](t)
	files := t.TempDir()
	w.start(o)
	password := w.use("kept")
	w.want(w.send(http.MethodPut, instance("early"), quickPlan.body(nil)), "provision", 201)
	slow := w.want(w.send(http.MethodPut, instance("slow")+async, slowPlan.body(nil)), "provision", 202)

	archive := filepath.Join(files, "one")
	if out, status := w.chandler("export", "-o", filepath.Join(files, "plain")); status != 0 {
		t.Fatalf("export: %d\n%s", status, out)
	}
	if out, status := w.chandler("export", "--final", "-o", archive); status != 0 {
		t.Fatalf("final export: %d\n%s", status, out)
	}
	w.isPaused()
	if out, status := w.chandler("dispatcher", "resume"); status == 0 {
		t.Errorf("a moved store was resumed: %s", out)
	}
	w.stop()
	source := w.broker
	if out, status := w.tool([]string{"STACK_PASSWORD=" + source.Password}, filepath.Join(bin, "chandler"), "serve", "--config", source.ConfigFile); status != 1 || !strings.Contains(out, "was moved") {
		t.Fatalf("the source starts again: %d\n%s", status, out)
	}

	// The same directory: the demo plugin's things are in it.
	old := filepath.Join(o.Dir, "master.key")
	o.DSN, o.MasterKey = dsn, filepath.Join(files, "new.key")
	w.start(o) // writes the configuration; a store that was only started on is empty
	w.stop()
	env := []string{"STACK_PASSWORD=" + w.broker.Password, "STACK_DSN=" + dsn}
	if out, status := w.tool(env, filepath.Join(bin, "chandler"), "import", "--config", w.broker.ConfigFile, archive); status != 1 || !strings.Contains(out, "--key-file") {
		t.Fatalf("import without the source's key: %d\n%s", status, out)
	}
	w.done(env, filepath.Join(bin, "chandler"), "import", "--config", w.broker.ConfigFile, "--key-file", old, archive)
	if err := w.broker.Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.isPaused()
	if got := passwordOf(w.want(w.send(http.MethodGet, binding("kept", "b"), nil), "fetch", 200)); got != password {
		t.Errorf("the credentials are %q, were %q", got, password)
	}
	w.want(w.send(http.MethodGet, instance("slow")+"/last_operation?operation="+slow.text("operation"), nil), "poll", 200)
	w.resumes()
	if state := w.settled(instance("slow"), slow); state != "succeeded" {
		t.Errorf("the operation of before the move: %s", state)
	}
	w.goes("kept")
	w.use("new")

	// And back, without a broker.
	w.stop()
	back := filepath.Join(files, "two")
	w.done(env, filepath.Join(bin, "chandler"), "export", "--final", "--config", w.broker.ConfigFile, "-o", back)
	if err := os.Rename(filepath.Join(o.Dir, "state", "chandler.db"), filepath.Join(files, "moved.db")); err != nil {
		t.Fatal(err)
	}
	o.DSN = ""
	w.start(o)
	w.stop()
	env = []string{"STACK_PASSWORD=" + w.broker.Password}
	w.done(env, filepath.Join(bin, "chandler"), "import", "--config", w.broker.ConfigFile, back)
	if err := w.broker.Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.isPaused()
	w.resumes()
	w.want(w.send(http.MethodGet, instance("early"), nil), "fetch", 200)
	w.want(w.send(http.MethodGet, instance("kept"), nil), "fetch of what was deleted", 404)
	w.goes("new")
	w.stop()
}

// The backups that docs/operations.md describes are good for a restore.
func TestRestore(t *testing.T) {
	t.Parallel()
	for kind, restore := range map[string]func(w *world, o *stack.BrokerOptions, files string) (again func()){
		"sqlite": func(w *world, o *stack.BrokerOptions, files string) func() {
			database := filepath.Join(o.Dir, "state", "chandler.db")
			backup := filepath.Join(files, "backup.db")
			w.done(nil, "sqlite3", database, ".backup "+backup)
			return func() {
				old, err := filepath.Glob(database + "*")
				if err != nil {
					w.t.Fatal(err)
				}
				for _, f := range old {
					if err := os.Remove(f); err != nil {
						w.t.Fatal(err)
					}
				}
				copyFile(w.t, backup, database)
			}
		},
		"postgres": func(w *world, o *stack.BrokerOptions, files string) func() {
			backup := filepath.Join(files, "backup.dump")
			w.done(nil, "pg_dump", "--format=custom", "--file="+backup, o.DSN)
			return func() {
				w.done(nil, "psql", "--quiet", "--command=CREATE DATABASE restored", o.DSN)
				o.DSN = strings.Replace(o.DSN, "/postgres?", "/restored?", 1)
				w.done(nil, "pg_restore", "--dbname="+o.DSN, backup)
			}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, name := range map[string][]string{"sqlite": {"sqlite3"}, "postgres": {"pg_dump", "pg_restore", "psql"}}[kind] {
				if _, err := exec.LookPath(name); err != nil {
					t.Skip(err)
				}
			}
			w, o := newPlainWorld(t)
			o.DSN, _ = stores[kind](t)
			w.start(o)
			password := w.use("kept")
			again := restore(w, &o, t.TempDir())
			w.use("lost")
			w.stop()
			again()
			o.Args = []string{"--paused"}
			w.start(o)
			w.isPaused()
			if got := passwordOf(w.want(w.send(http.MethodGet, binding("kept", "b"), nil), "fetch", 200)); got != password {
				t.Errorf("the credentials are %q, were %q", got, password)
			}
			w.want(w.send(http.MethodGet, instance("lost"), nil), "fetch of what came after the backup", 404)
			w.resumes()
			w.goes("kept")
			w.use("new")
			w.stop()
		})
	}
}
