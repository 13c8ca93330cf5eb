package osbapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// fixedExport writes body, or its beginning and then fails.
type fixedExport struct {
	body  string
	err   error
	wait  time.Duration
	final core.FinalExport // as it would be noted
	moved core.FinalExport
}

func (x *fixedExport) Export(_ context.Context, _ core.Caller, _ string, w io.Writer) error {
	if x.body != "" {
		_, _ = io.WriteString(w, x.body)
	}
	return x.err
}

func (x *fixedExport) FinalExport(ctx context.Context, by core.Caller, id string, wait time.Duration, w io.Writer, digest func() string) error {
	err := x.Export(ctx, by, id, w)
	x.wait, x.final = wait, core.FinalExport{ID: id, Digest: digest()}
	return err
}

func (x *fixedExport) Moved(_ context.Context, _ core.Caller, export core.FinalExport) error {
	x.moved = export
	return x.err
}

// Only an export that came to its end has a digest.
func TestExportBody(t *testing.T) {
	const digest = "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603" // of "ab"
	for _, c := range []struct {
		why    string
		export fixedExport
		query  string
		status int
		digest string
	}{
		{"complete", fixedExport{body: "ab"}, "", 200, digest},
		{"final", fixedExport{body: "ab"}, "?final=true&wait=90s", 200, digest},
		{"broken off", fixedExport{body: "ab", err: errors.New("the database is away")}, "", 200, ""},
		{"refused", fixedExport{err: core.Errorf(core.CodeConflict, "no master key")}, "", 409, ""},
		{"a wait that is none", fixedExport{}, "?final=true&wait=soon", 400, ""},
		{"a misspelt parameter", fixedExport{body: "ab"}, "?finale=true", 400, ""},
		{"final by halves", fixedExport{body: "ab"}, "?final=perhaps", 400, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			server := httptest.NewServer(serve(t, adminRecorder(), func(cfg *Config) { cfg.ExportAdmin = &c.export }))
			defer server.Close()
			resp, err := http.Post(server.URL+"/admin/v1/export"+c.query, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || resp.StatusCode == 200 && string(body) != c.export.body {
				t.Errorf("status %d, %q, %v", resp.StatusCode, body, err)
			}
			if got := resp.Trailer.Get(headerDigest); got != c.digest {
				t.Errorf("digest %q, want %q", got, c.digest)
			}
			if strings.Contains(c.query, "wait=90s") && (c.export.wait != 90*time.Second || c.export.final.Digest != digest || c.export.final.ID != resp.Header.Get(headerExport)) {
				t.Errorf("final export: %+v, header %q", c.export, resp.Header.Get(headerExport))
			}
		})
	}
}

func TestDispatcherAPI(t *testing.T) {
	x := &fixedExport{}
	h := serve(t, adminRecorder(), func(cfg *Config) { cfg.ExportAdmin = x })
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/dispatcher", 200, `"paused":false`},
		{"POST", "/dispatcher/pause?why=cleaning", 200, `"why":"cleaning"`},
		{"POST", "/dispatcher/pause?reason=cleaning", 400, "reason"},
		{"POST", "/dispatcher/resume", 200, `"paused":false`},
		{"POST", "/export/moved?id=i&digest=d", 200, `"moved":true`},
		{"POST", "/export/moved?id=i", 400, "digest"},
	} {
		if a := send(t, h, c.method, "/admin/v1"+c.path, ""); a.status != c.status || !strings.Contains(string(a.raw), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.status, a.raw)
		}
	}
	if x.moved != (core.FinalExport{ID: "i", Digest: "d"}) {
		t.Errorf("moved: %+v", x.moved)
	}
}
