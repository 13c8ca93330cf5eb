package osbapi

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// tellingKeys tells what it is given, and waits before its end for done.
type tellingKeys struct {
	tells []core.KeysProgress
	err   error
	done  chan struct{}
	asked *[]string
}

func (k tellingKeys) Status(context.Context) (core.KeysStatus, error) {
	return core.KeysStatus{Keyset: core.KeysetState{Revision: 3, Phase: core.KeysPromoted, Keys: 2, Primary: "0a", Masters: []string{"m"}, Master: "m"},
		Replicas: []core.Replica{{Holder: "h", Name: "a/1", Version: "v", Keys: 2}}}, k.err
}

func (k tellingKeys) run(verb string) func(context.Context, core.Caller, func(core.KeysProgress)) error {
	return func(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error {
		*k.asked = append(*k.asked, verb+" by "+by.User)
		for _, p := range k.tells {
			tell(p)
		}
		select {
		case <-k.done:
			return k.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (k tellingKeys) Rotate(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error {
	return k.run("rotate")(ctx, by, tell)
}
func (k tellingKeys) Rewrap(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error {
	return k.run("rewrap")(ctx, by, tell)
}
func (k tellingKeys) RotateMaster(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error {
	return k.run("rotate-master")(ctx, by, tell)
}

func TestKeysStream(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	refused := core.Errorf(core.CodeConflict, "No.").WithDetail("for the log only")
	step := []core.KeysProgress{{Text: "rewrapping", Rows: 2, Changed: 1}}
	for _, c := range []struct {
		why, method, path string
		keys              tellingKeys
		status            int
		body              string
	}{
		{"the state and who has confirmed it", "GET", "/keys", tellingKeys{}, 200,
			`{"keyset":{"revision":3,"phase":"promoted","primary":"0a","keys":2,"unsealed":false,"masters":["m"],"master":"m"},"replicas":[{"name":"a/1","version":"v","revision":2}]}`},
		{"lines, and an end", "POST", "/keys/rotate", tellingKeys{tells: step}, 200,
			"{\"text\":\"rewrapping\",\"rows\":2,\"changed\":1}\n{\"done\":true}\n"},
		{"nothing to tell", "POST", "/keys/rewrap", tellingKeys{}, 200, "{\"done\":true}\n"},
		{"refused before the first line: an ordinary error", "POST", "/keys/rotate-master", tellingKeys{err: refused}, 409, `{"description":"No. [request-1]","error":"Conflict"}`},
		{"failed in the middle, without the detail", "POST", "/keys/rotate", tellingKeys{tells: step, err: refused}, 200,
			"{\"text\":\"rewrapping\",\"rows\":2,\"changed\":1}\n{\"description\":\"No. ["},
	} {
		asked := []string{}
		c.keys.done, c.keys.asked = closed, &asked
		h := serve(t, adminRecorder(), func(cfg *Config) { cfg.KeysAdmin = c.keys })
		got := httptest.NewRecorder()
		h.ServeHTTP(got, httptest.NewRequest(c.method, "/admin/v1"+c.path, nil))
		if got.Code != c.status || !strings.HasPrefix(got.Body.String(), c.body) || strings.Contains(got.Body.String(), "for the log only") {
			t.Errorf("%s: got %d %s", c.why, got.Code, got.Body)
		}
		if c.method == "POST" && (len(asked) != 1 || !strings.HasPrefix(asked[0], strings.TrimPrefix(c.path, "/keys/")+" by ")) {
			t.Errorf("%s: asked %q", c.why, asked)
		}
	}
	if a := send(t, serve(t, adminRecorder(), nil), "POST", "/admin/v1/keys/rotate", ""); a.status != 404 {
		t.Errorf("a broker without keys: %d", a.status)
	}
}

// Each line is there at once, and a client that hangs up interrupts the work.
func TestKeysStreamOverHTTP(t *testing.T) {
	asked := []string{}
	ended := make(chan error, 1)
	keys := hangUp{tellingKeys{tells: []core.KeysProgress{{Text: "first"}}, asked: &asked}, ended}
	server := httptest.NewServer(serve(t, adminRecorder(), func(cfg *Config) { cfg.KeysAdmin = keys }))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/admin/v1/keys/rotate", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Broker-API-Version", "2.17")
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "{\"text\":\"first\"}\n" {
		t.Fatalf("the first line while the work goes on: %q, %v", line, err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the work went on without anybody")
	}
}

type hangUp struct {
	tellingKeys
	ended chan error
}

func (k hangUp) Rotate(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error {
	err := k.tellingKeys.Rotate(ctx, by, tell)
	k.ended <- err
	return err
}
