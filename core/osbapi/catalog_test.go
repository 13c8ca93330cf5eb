package osbapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// TestCatalogDocument: every field of the specification, in a golden file.
// UPDATE_GOLDEN=1 writes it anew.
func TestCatalogDocument(t *testing.T) {
	a := send(t, serve(t, &recorder{snapshot: richSnapshot()}, nil), "GET", "/v2/catalog", "")
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, a.raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "catalog.golden.json")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, append(pretty.Bytes(), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()+"\n"); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSparseCatalog: what a plan does not have is left out, but free and bindable
// are always said, and an empty catalog is a catalog (CAT-02).
func TestSparseCatalog(t *testing.T) {
	s := &core.Service{ID: "s", Name: "n", Description: "d"}
	s.Plans = []*core.Plan{{Service: s, ID: "p", Name: "n", Description: "d", SchemaBind: fixedSchema("b")}}
	a := send(t, serve(t, &recorder{snapshot: core.NewSnapshot("r", time.Unix(0, 0), []*core.Service{s}, nil)}, nil), "GET", "/v2/catalog", "")
	want := `{"services":[{"allow_context_updates":false,"bindable":false,"bindings_retrievable":false,"description":"d","id":"s",` +
		`"instances_retrievable":false,"name":"n","plan_updateable":false,"plans":[{"bindable":false,"binding_rotatable":false,` +
		`"description":"d","free":false,"id":"p","name":"n","plan_updateable":false}]}]}`
	if diff := cmp.Diff(want, string(a.raw)); diff != "" {
		t.Errorf("CAT-25: no schema of bind for a plan that is not bindable; -want +got:\n%s", diff)
	}
	if a := send(t, serve(t, &recorder{}, nil), "GET", "/v2/catalog", ""); string(a.raw) != `{"services":[]}` {
		t.Errorf("CAT-02: got %s", a.raw)
	}
}

// TestCatalogCaching: CAT-30.
func TestCatalogCaching(t *testing.T) {
	r := &recorder{snapshot: richSnapshot()}
	h := serve(t, r, nil)
	get := func(headers ...string) answer { return send(t, h, "GET", "/v2/catalog", "", headers...) }

	first := get()
	tag, date := first.header.Get("ETag"), first.header.Get("Last-Modified")
	if first.status != 200 || !strings.HasPrefix(tag, `"`) || date != "Fri, 02 Jan 2026 03:04:05 GMT" {
		t.Fatalf("got %d, ETag %q, Last-Modified %q", first.status, tag, date)
	}
	if vary := first.header.Get("Vary"); vary != "X-Broker-API-Version, Accept-Encoding" {
		t.Errorf("Vary is %q", vary)
	}

	zipped := get("Accept-Encoding", "gzip")
	zr, err := gzip.NewReader(bytes.NewReader(zipped.raw))
	if err != nil || zipped.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("gzip: %v, %v", err, zipped.header)
	}
	if plain, err := io.ReadAll(zr); err != nil || !bytes.Equal(plain, first.raw) {
		t.Errorf("gzip: other bytes: %v", err)
	}
	zipTag := zipped.header.Get("ETag")
	if zipTag == tag {
		t.Error("both encodings have the same tag")
	}
	old := get(headerVersion, "2.13")
	if old.header.Get("ETag") == tag {
		t.Error("two minor versions have the same tag")
	}

	for _, tc := range []struct {
		headers []string
		want    int
		why     string
	}{
		{[]string{"If-None-Match", tag}, 304, "the same bytes"},
		{[]string{"If-None-Match", "W/" + tag}, 304, "compared weakly"},
		{[]string{"If-None-Match", `"x", ` + tag}, 304, "in a list"},
		{[]string{"If-None-Match", "*"}, 304, "anything"},
		{[]string{"If-None-Match", `"x"`}, 200, "something else"},
		{[]string{"If-None-Match", zipTag}, 200, "another encoding's bytes"},
		{[]string{"If-None-Match", zipTag, "Accept-Encoding", "gzip"}, 304, "of the encoding that would be sent"},
		{[]string{"If-None-Match", tag, headerVersion, "2.13"}, 200, "another version's bytes"},
		{[]string{"If-Modified-Since", date}, 304, "not newer"},
		{[]string{"If-Modified-Since", "Fri, 02 Jan 2026 03:04:04 GMT"}, 200, "newer"},
		{[]string{"If-Modified-Since", "yesterday"}, 200, "not a date"},
		{[]string{"If-None-Match", `"x"`, "If-Modified-Since", date}, 200, "the tag counts alone"},
	} {
		a := get(tc.headers...)
		if a.status != tc.want {
			t.Errorf("%q (%s): got %d, want %d", tc.headers, tc.why, a.status, tc.want)
		}
		if a.status == 304 && (len(a.raw) > 0 || a.header.Get("ETag") == "" || a.header.Get("Vary") == "" || a.header.Get("Content-Type") != "") {
			t.Errorf("%q: a 304 with %q and %v", tc.headers, a.raw, a.header)
		}
	}

	// A new revision within the same second: neither its tag nor its date are the old one's.
	r.snapshot = core.NewSnapshot("r2", r.snapshot.LoadedAt.Add(time.Millisecond), nil, nil)
	if a := get("If-None-Match", tag); a.status != 200 {
		t.Errorf("after a reload: got %d", a.status)
	}
	if a := get("If-Modified-Since", date); a.status != 200 {
		t.Errorf("after a reload within a second: got %d", a.status)
	}
}

func TestMatchesETag(t *testing.T) {
	for _, tc := range []struct {
		list string
		want bool
		why  string
	}{
		{`"a"`, true, "one"},
		{`W/"a"`, true, "weak"},
		{` "b" ,W/"a"`, true, "white space and commas"},
		{`"b","a"`, true, "no white space"},
		{`"b,\"a"`, false, "a tag may contain a comma and a backslash"},
		{`"b, "a"`, false, "the quotes pair differently"},
		{`*`, true, "anything"},
		{`"*"`, false, "the tag *"},
		{`a`, false, "no quotes"},
		{`"a`, false, "no end"},
		{`w/"a"`, false, "the W has its case"},
		{`x, "a"`, false, "malformed before"},
		{``, false, "nothing"},
		{`,,"a"`, true, "empty members"},
	} {
		if got := matchesETag(tc.list, `"a"`); got != tc.want {
			t.Errorf("%s (%s): got %v", tc.list, tc.why, got)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"*": true, "*;q=0": false, "gzip;q=0, *": false, "identity": false, "x-gzip": true, "gzip;q=nonsense": false, "deflate": false,
	} {
		if got := acceptsGzip(map[string][]string{"Accept-Encoding": {accept}}); got != want {
			t.Errorf("%q: got %v", accept, got)
		}
	}
}
