package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core/plugin"
)

// coded is the failure that an answer with this code and status is.
func coded(code string, status int) error { return &failure{status: status, code: code, text: code} }

// TestReasons has a gateway give each answer and the SDK read it: errors are made as
// they are in life, with and without bodies.
func TestReasons(t *testing.T) {
	xmlBody := func(code string) string {
		return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>m</Message></Error>"
	}
	var status int
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, body)
		}
	}))
	defer s.Close()
	client := newHTTPClient("")
	defer client.CloseIdleConnections()
	g := newS3Gateway(client, s.URL, defaultRegion, true, keys{"a", "b"})
	g.api.Config.WithMaxRetries(0)
	g.api.Retryer = noRetries

	cases := []struct {
		status     int
		code       string
		want, head reason // of GET, and of HEAD, which has no body
		verb       plugin.Code
		why        string
	}{
		{409, "BucketAlreadyExists", reasonTaken, reasonTaken, plugin.CodeFailed, "taken, by another account"},
		{409, "BucketAlreadyOwnedByYou", reasonTaken, reasonTaken, plugin.CodeFailed, "taken, perhaps by another instance of ours"},
		{400, "InvalidBucketName", reasonInvalidName, reasonInvalidName, plugin.CodeFailed, "the gateway knows more rules than we"},
		{400, "InvalidLocationConstraint", reasonBadRegion, reasonBadRegion, plugin.CodeUnavailable, "configured for another region"},
		{404, "NoSuchBucket", reasonAbsent, reasonAbsent, plugin.CodeFailed, "already gone"},
		{404, "NoSuchTagSet", reasonAbsent, reasonAbsent, plugin.CodeFailed, "a bucket without tags"},
		{404, "NoSuchBucketPolicy", reasonAbsent, reasonAbsent, plugin.CodeFailed, "a bucket without policy"},
		{409, "BucketNotEmpty", reasonNotEmpty, reasonNotEmpty, plugin.CodeFailed, "refuse or purge"},
		{403, "InvalidAccessKeyId", reasonBadKeys, reasonBadKeys, plugin.CodeUnavailable, "not the user's fault"},
		{403, "SignatureDoesNotMatch", reasonBadKeys, reasonBadKeys, plugin.CodeUnavailable, "not the user's fault"},
		{400, "AuthorizationHeaderMalformed", reasonBadRegion, reasonBadRegion, plugin.CodeUnavailable, "signed for another region"},
		{403, "AccessDenied", reasonDenied, reasonDenied, plugin.CodeFailed, "the account lacks rights"},
		{501, "NotImplemented", reasonNotImplemented, reasonNotImplemented, plugin.CodeFailed, "no such feature"},
		{501, "VersioningNotConfigured", reasonNotImplemented, reasonNotImplemented, plugin.CodeFailed, "VersityGW without a directory for versions"},
		{400, "MalformedXML", reasonMalformed, reasonMalformed, plugin.CodeFailed, "no such feature, Swift's way"},
		{400, "MalformedPolicy", reasonMalformed, reasonMalformed, plugin.CodeFailed, "a policy that names a user who is gone"},
		{500, "InternalError", reasonUnavailable, reasonUnavailable, plugin.CodeUnavailable, "bricks are down"},
		{500, "NoSuchBucket", reasonUnavailable, reasonUnavailable, plugin.CodeUnavailable, "5xx never means absent, whatever the code"},
		{503, "SlowDown", reasonUnavailable, reasonUnavailable, plugin.CodeUnavailable, "overload"},
		{502, "", reasonUnavailable, reasonUnavailable, plugin.CodeUnavailable, "a proxy's page without XML"},
		{404, "", reasonAbsent, reasonAbsent, plugin.CodeFailed, "a status without XML"},
		{403, "", reasonDenied, reasonDenied, plugin.CodeFailed, "Swift to anonymous requests: no XML"},
		{301, "PermanentRedirect", reasonElsewhere, reasonElsewhere, plugin.CodeUnavailable, "a bucket in another region"},
		{418, "Teapot", reasonOther, reasonOther, plugin.CodeFailed, "what nobody has thought of"},
		{403, "QuotaExceeded", reasonTooLarge, reasonTooLarge, plugin.CodeFailed, "Ceph's quotas"},
		{409, "OperationAborted", reasonBusy, reasonBusy, plugin.CodeUnavailable, "two creates at once"},
	}
	for _, c := range cases {
		status, body = c.status, xmlBody(c.code)
		if c.code == "" {
			body = "<html>nothing to see</html>"
		}
		_, err := g.tags(t.Context(), "photos")
		if got := reasonOf(err); got != c.want {
			t.Errorf("%d %s (%s): reason %d, want %d: %v", c.status, c.code, c.why, got, c.want, err)
		}
		if got := plugin.CodeOf(problem(err, "test")); got != c.verb {
			t.Errorf("%d %s (%s): %s, want %s", c.status, c.code, c.why, got, c.verb)
		}
		// HEAD carries no reason; exists asks again with GET.
		_, err = g.exists(t.Context(), "photos")
		wantHead := c.head
		switch c.status { // what the status alone says
		case 409:
			wantHead = reasonBusy
		case 404:
			wantHead = reasonAbsent
		case 501:
			wantHead = reasonNotImplemented
		}
		if got := reasonOf(err); got != wantHead {
			t.Errorf("HEAD %d %s (%s): reason %d, want %d: %v", c.status, c.code, c.why, got, wantHead, err)
		}
	}
}

// TestReasonsWithoutAnswer: when there is no answer, what counts is why.
func TestReasonsWithoutAnswer(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	encrypted := httptest.NewTLSServer(http.NotFoundHandler())
	defer encrypted.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			c.Close()
		}
	}))
	defer cut.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		why, url string
		ctx      context.Context
		want     reason
	}{
		{"nobody listens", "http://127.0.0.1:1", t.Context(), reasonUnavailable},
		{"the connection breaks", cut.URL, t.Context(), reasonUnavailable},
		{"an unknown authority does not become known by waiting", encrypted.URL, t.Context(), reasonUntrusted},
		{"https to a server without TLS", strings.Replace(plain.URL, "http:", "https:", 1), t.Context(), reasonUntrusted},
		{"our own context ended", plain.URL, ended, reasonCancelled},
	}
	for _, c := range cases {
		client := newHTTPClient("")
		g := newS3Gateway(client, c.url, defaultRegion, true, keys{"a", "b"})
		_, err := g.buckets(c.ctx)
		if got := reasonOf(err); got != c.want {
			t.Errorf("%s: reason %d, want %d: %v", c.why, got, c.want, err)
		}
		client.CloseIdleConnections()
	}
	if _, err := (page{truncated: true}).decode(); reasonOf(err) != reasonUnavailable {
		t.Errorf("an empty page with more to come is taken for reason %d: an empty bucket?", reasonOf(err))
	}
	if got := reasonOf(errors.New("what is this")); got != reasonOther {
		t.Errorf("a foreign error: reason %d", got)
	}
}
