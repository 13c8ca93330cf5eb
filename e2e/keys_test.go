package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// on gives a world of another broker of the test.
func (w *world) on(b *stack.Broker) *world {
	other := *w
	other.broker = b
	return &other
}

// The data key is replaced while two replicas serve, the command is killed in the middle,
// and a replica too: nothing is lost, and the old key is gone in the end.
func TestKeysRotateOverReplicas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	dsn, _ := stores["postgres"](t)
	dir := t.TempDir()
	templates, err := filepath.Abs("../templates")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: ctx, client: &http.Client{}}
	defer w.client.CloseIdleConnections()
	var brokers []*stack.Broker
	for i := range 2 {
		b, err := stack.StartBroker(ctx, stack.BrokerOptions{Bin: bin, Dir: filepath.Join(dir, fmt.Sprint(i)), Catalog: "../catalog", Templates: templates,
			DSN: dsn, MasterKey: filepath.Join(dir, "master.key"), Config: "timing: {fastAnswer: 30s}\n"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Kill() }) // the process that it is then
		brokers = append(brokers, b)
	}
	w.broker = brokers[0]
	demo := plan{"a902fe73-8c98-4232-a752-a2f6a00e8242", "41ecaf2e-160d-4998-9fcf-0d515c372f87"}
	passwords := map[string]string{}
	use := func(b *stack.Broker, id string) {
		t.Helper()
		o := w.on(b)
		o.want(o.send(http.MethodPut, instance(id)+async, demo.body(nil)), "provision", 201)
		bound := o.want(o.send(http.MethodPut, binding(id, "b")+async, demo.body(nil)), "bind", 201)
		passwords[id], _ = bound.Body["credentials"].(map[string]any)["password"].(string)
	}
	keyset := func() map[string]any {
		t.Helper()
		k, _ := w.want(w.send(http.MethodGet, "/admin/v1/keys", nil), "keys", 200).Body["keyset"].(map[string]any)
		return k
	}
	use(brokers[0], "first")
	use(brokers[1], "second")
	before := keyset()

	// Killed as soon as the new key seals; the second replica is killed, too, and comes back.
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "chandler"), "keys", "rotate")
	cmd.Env = append(cmd.Environ(), w.broker.ClientEnv(true)...)
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buf := make([]byte, 256)
	for !strings.Contains(said.String(), "the new key seals") {
		n, err := progress.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Fatalf("keys rotate ended: %v\n%s", err, said.String())
		}
	}
	_ = cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, progress)
	_ = cmd.Wait()
	if k := keyset(); k["phase"] != "promoted" || k["keys"] != 2.0 {
		t.Fatalf("after the interruption: %v", k)
	}
	use(brokers[0], "third")
	brokers[1].Kill()
	if err := brokers[1].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	use(brokers[1], "fourth")
	if out, status := w.chandler("keys", "rewrap"); status != 0 {
		t.Fatalf("keys rewrap: status %d\n%s", status, out)
	}
	after := keyset()
	if after["phase"] != "steady" || after["keys"] != 1.0 || after["primary"] == before["primary"] {
		t.Errorf("before %v, after %v", before, after)
	}
	use(brokers[1], "fifth")
	for _, b := range brokers { // nothing is remembered from before
		b.Kill()
		if err := b.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		for id, password := range passwords {
			o := w.on(b)
			got := o.want(o.send(http.MethodGet, binding(id, "b"), nil), "fetch", 200)
			if now, _ := got.Body["credentials"].(map[string]any)["password"].(string); now != password || now == "" {
				t.Errorf("%s: the password is another one", id)
			}
		}
	}
}
