package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chandler-broker/chandler/core/plugin"
)

func do(t *testing.T, method, uri, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(raw))
}

// Credentials open their own instance, and nothing else, until unbind.
func TestData(t *testing.T) {
	d, _ := configured(t, `{}`)
	for _, id := range []string{"a", "b"} {
		r, err := d.Provision(t.Context(), instance(id, `{"size": 2}`))
		must(t, r, err)
	}
	rw, ro, other := mustBind(t, d, "a", "1", `{}`), mustBind(t, d, "a", "2", `{"access": "read-only"}`), mustBind(t, d, "b", "1", `{}`)
	elsewhere := strings.Replace(rw.URI, key("a"), key("b"), 1)
	for _, c := range []struct {
		why, method, uri, body string
		status                 int
		answer                 string
	}{
		{"a key is written", "PUT", rw.URI + "x", "hello", 204, ""},
		{"and read with the other credentials", "GET", ro.URI + "x", "", 200, "hello"},
		{"which cannot write", "PUT", ro.URI + "x", "bye", 403, "These credentials are read-only."},
		{"nor delete", "DELETE", ro.URI + "x", "", 403, "These credentials are read-only."},
		{"the list has it", "GET", rw.URI, "", 200, `["x"]`},
		{"a missing key", "GET", rw.URI + "y", "", 404, "There is no such key."},
		{"another instance does not open", "GET", elsewhere + "x", "", 401, "These credentials do not open this."},
		{"and has no such key", "GET", other.URI + "x", "", 404, "There is no such key."},
		{"no path leads out of the directory", "GET", strings.Replace(rw.URI, key("a"), "..%2Fport", 1), "", 401, "These credentials do not open this."},
		{"no other methods", "POST", rw.URI + "x", "", 405, "GET, PUT and DELETE of a key, or GET of the list, are possible."},
		{"a second key", "PUT", rw.URI + "y", "1", 204, ""},
		{"a third is over the size", "PUT", rw.URI + "z", "1", 507, "The instance is full."},
		{"a value over 64 KiB", "PUT", rw.URI + "x", strings.Repeat("x", maxValue+1), 413, "The value is too long."},
		{"delete", "DELETE", rw.URI + "y", "", 204, ""},
	} {
		if status, answer := do(t, c.method, c.uri, c.body); status != c.status || answer != c.answer {
			t.Errorf("%s: %s: got %d %q; expected %d %q", c.why, c.method, status, answer, c.status, c.answer)
		}
	}
	if _, err := d.Unbind(t.Context(), bind("a", "1", `{}`)); err != nil {
		t.Fatal(err)
	}
	if status, _ := do(t, "GET", rw.URI+"x", ""); status != 401 {
		t.Errorf("after unbind: %d", status)
	}
	if status, _ := do(t, "GET", ro.URI+"x", ""); status != 200 {
		t.Errorf("the other binding after unbind: %d", status)
	}
}

// The port survives a new process, and a stranger on it is no reason to fail.
func TestPort(t *testing.T) {
	d, dir := configured(t, `{}`)
	again := &demo{} // the new process, while the old one runs
	t.Cleanup(again.close)
	req := &plugin.ConfigureRequest{Config: plugin.JSON(`{}`), DataDirectory: dir}
	if err := again.Configure(t.Context(), req); err != nil || again.address != d.address {
		t.Errorf("got %v, %v; expected %v", again.address, err, d.address)
	}
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = http.Serve(stranger, http.NotFoundHandler()) })
	defer serving.Wait()
	defer stranger.Close()
	taken := stranger.Addr().(*net.TCPAddr).Port
	if err := d.store.setPort(taken); err != nil {
		t.Fatal(err)
	}
	if err := again.Configure(t.Context(), req); err != nil || again.address.port == taken {
		t.Errorf("got %v, %v", again.address, err)
	}
	fixed := &plugin.ConfigureRequest{Config: plugin.JSON(`{"listen": "127.0.0.1:` + strconv.Itoa(taken) + `"}`), DataDirectory: t.TempDir()}
	if err := again.Configure(t.Context(), fixed); plugin.CodeOf(err) != plugin.CodeUnavailable {
		t.Errorf("a configured port that is taken: %v", err)
	}
	for _, listen := range []string{"8080", ":8080"} {
		wrong := &plugin.ConfigureRequest{Config: plugin.JSON(map[string]string{"listen": listen}), DataDirectory: t.TempDir()}
		if err := again.Configure(t.Context(), wrong); plugin.CodeOf(err) != plugin.CodeInvalidInput {
			t.Errorf("listen %q: %v", listen, err)
		}
	}
	if err := again.Configure(t.Context(), &plugin.ConfigureRequest{Config: plugin.JSON(`{}`)}); plugin.CodeOf(err) != plugin.CodeInvalidInput {
		t.Errorf("without any directory: %v", err)
	}
}
