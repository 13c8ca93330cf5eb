package osbapi

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func testUsers(t testing.TB) *Users {
	t.Helper()
	u, err := NewUsers([]User{
		{Name: "cf", Passwords: []string{"old", hashed("new")}},
		{Name: "k8s", Passwords: []string{"other"}, Tokens: []string{"token-1", hashed("token-2")}, Certificates: []string{"cn:svc-cat", "uri:spiffe://x/y"}},
		{Name: "root", Roles: []Role{RoleOperator}, Passwords: []string{"op"}},
		{Name: "prometheus", Roles: []Role{RoleMetrics}, Tokens: []string{"scrape"}},
		{Name: "both", Roles: []Role{RolePlatform, RoleOperator}, Passwords: []string{"b:with:colons"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func basic(name, password string) string {
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

func TestAuthentication(t *testing.T) {
	h := serve(t, &recorder{}, func(c *Config) {
		c.Anonymous, c.Authenticator = false, testUsers(t)
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("{}"))
		})
		c.Prefixes = []Prefix{{Path: "/cf", Users: []string{"cf"}}, {Path: "/open"}}
	})
	const catalog, admin, metrics = "/v2/catalog", "/admin/v1/version", "/metrics"
	for _, tc := range []struct {
		target, authorization string
		want                  int
		why                   string
	}{
		{catalog, "", 401, "AUTH-01: nothing"},
		{catalog, basic("cf", "old"), 200, "AUTH-03: the old password of two"},
		{catalog, basic("cf", "new"), 200, "AUTH-03: the new one, given as its hash"},
		{catalog, basic("cf", "wrong"), 401, "AUTH-02: wrong password"},
		{catalog, basic("cf", ""), 401, "AUTH-02: no password"},
		{catalog, basic("", ""), 401, "AUTH-02: nobody"},
		{catalog, basic("nobody", "old"), 401, "AUTH-02: wrong user"},
		{catalog, basic("cf", "other"), 401, "AUTH-02: another user's password"},
		{catalog, basic("cf", hashed("new")), 401, "the hash is not the password"},
		{catalog, basic("both", "b:with:colons"), 200, "a password may contain colons"},
		{catalog, "Bearer token-1", 200, "a bearer token"},
		{catalog, "bearer token-2", 200, "the scheme has no case; the token is given as its hash"},
		{catalog, "Bearer wrong", 401, "AUTH-02: wrong token"},
		{catalog, "Bearer ", 401, "AUTH-02: no token"},
		{catalog, "Bearer old", 401, "a password is not a token"},
		{catalog, "Digest token-1", 401, "AUTH-02: wrong scheme"},
		{catalog, "Basic !!!", 401, "AUTH-02: malformed header"},
		{catalog, "token-1", 401, "AUTH-02: malformed header"},
		{catalog, basic("root", "op"), 403, "an operator is no platform"},
		{admin, "", 401, "the operators' API"},
		{admin, basic("root", "op"), 200, "the operators' API"},
		{admin, basic("cf", "old"), 403, "a platform is no operator"},
		{admin, basic("both", "b:with:colons"), 200, "one user with two roles"},
		{metrics, "", 401, "metrics show who uses what"},
		{metrics, "Bearer scrape", 200, "the role metrics"},
		{metrics, basic("root", "op"), 200, "operators see metrics too"},
		{metrics, basic("cf", "old"), 403, "platforms do not"},
		{"/cf/v2/catalog", basic("cf", "old"), 200, "AUTH-06: the user of the prefix"},
		{"/cf/v2/catalog", basic("k8s", "other"), 403, "AUTH-06: another platform's user"},
		{"/open/v2/catalog", basic("k8s", "other"), 200, "AUTH-06: a prefix for everybody"},
		{"/other/v2/catalog", basic("cf", "old"), 404, "no such prefix"},
		{"/healthz", "", 200, "probes have no credentials"},
		{"/readyz", "", 200, "probes have no credentials"},
	} {
		a := send(t, h, "GET", tc.target, "", "Authorization", tc.authorization)
		if a.status != tc.want {
			t.Errorf("%s as %q (%s): got %d %s, want %d", tc.target, tc.authorization, tc.why, a.status, a.raw, tc.want)
		}
		if challenge := a.header.Values("WWW-Authenticate"); (len(challenge) > 0) != (a.status == 401) {
			t.Errorf("%s as %q: WWW-Authenticate is %q with %d", tc.target, tc.authorization, challenge, a.status)
		}
	}
}

// TestAuthenticationFirst: A-17, C-2: no body, version or form is looked at before.
func TestAuthenticationFirst(t *testing.T) {
	r := &recorder{}
	h := serve(t, r, func(c *Config) { c.Anonymous, c.Authenticator = false, testUsers(t) })
	for verb, req := range verbRequests {
		if a := send(t, h, req.method, req.target, "{", headerVersion, "nonsense", "Authorization", basic("cf", "no")); a.status != 401 {
			t.Errorf("%s: got %d, want 401", verb, a.status)
		}
		a := send(t, h, req.method, req.target, "{", headerVersion, "nonsense", "Authorization", basic("cf", "old"), headerIdentity, "nonsense")
		if a.status != 412 || !strings.Contains(a.description(), "2.17") {
			t.Errorf("VER-02, C-1: %s: got %d %s, want 412 that names the version", verb, a.status, a.raw)
		}
	}
	if len(r.asked) != 0 {
		t.Errorf("AUTH-05: the broker was asked: %v", r.asked)
	}
}

func TestTwoAuthorizations(t *testing.T) {
	r := httptest.NewRequest("GET", "/v2/catalog", nil)
	r.Header["Authorization"] = []string{basic("cf", "old"), basic("cf", "old")}
	if p, ok := testUsers(t).Authenticate(r); ok {
		t.Errorf("two headers: got %v; a proxy may have judged by the other one", p)
	}
}

func TestCertificates(t *testing.T) {
	leaf := func(cn, uri string) *x509.Certificate {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: cn, Organization: []string{"O"}}}
		if uri != "" {
			u, err := url.Parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
		return c
	}
	for _, tc := range []struct {
		cert          *x509.Certificate
		verified      bool
		authorization string
		want          string
		why           string
	}{
		{leaf("svc-cat", ""), true, "", "k8s", "by common name"},
		{leaf("x", "spiffe://x/y"), true, "", "k8s", "by URI"},
		{leaf("svc-cat", ""), false, "", "", "a certificate that nobody verified proves nothing"},
		{leaf("other", ""), true, "", "", "somebody else"},
		{leaf("svc-cat", ""), true, basic("cf", "old"), "cf", "an Authorization header counts alone"},
		{leaf("svc-cat", ""), true, basic("cf", "no"), "", "also when it is wrong"},
	} {
		r := httptest.NewRequest("GET", "/v2/catalog", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{tc.cert}}
		if tc.verified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{tc.cert}}
		}
		if tc.authorization != "" {
			r.Header.Set("Authorization", tc.authorization)
		}
		if p, ok := testUsers(t).Authenticate(r); ok != (tc.want != "") || p.Name != tc.want {
			t.Errorf("%s (%s): got %v, %v", tc.cert.Subject, tc.why, p, ok)
		}
	}
}

// TestReplaceUsers: a password is exchanged while requests are served.
func TestReplaceUsers(t *testing.T) {
	u := testUsers(t)
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth("cf", "newest")
	if _, ok := u.Authenticate(r); ok {
		t.Fatal("the password is known too early")
	}
	if err := u.Replace([]User{{Name: "cf", Passwords: []string{""}}}); err == nil {
		t.Fatal("an empty password was taken")
	}
	if err := u.Replace([]User{{Name: "cf", Passwords: []string{"newest"}}}); err != nil {
		t.Fatal(err)
	}
	if p, ok := u.Authenticate(r); !ok || p.Name != "cf" {
		t.Errorf("after the exchange: got %v, %v", p, ok)
	}
}

func TestBadUsers(t *testing.T) {
	for _, tc := range []struct {
		users []User
		want  string
		why   string
	}{
		{[]User{{Name: "", Passwords: []string{"p"}}}, "must not be empty", "nobody"},
		{[]User{{Name: "a:b", Passwords: []string{"p"}}}, "colon", "basic authentication could not say the name"},
		{[]User{{Name: "a"}}, "neither", "no way to be the user"},
		{[]User{{Name: "a", Passwords: []string{"p"}, Roles: []Role{"admin"}}}, `"admin"`, "unknown role"},
		{[]User{{Name: "a", Passwords: []string{"p"}}, {Name: "a", Passwords: []string{"p"}}}, "twice", "which one?"},
		{[]User{{Name: "a", Tokens: []string{"t"}}, {Name: "b", Tokens: []string{"t"}}}, "twice", "which one?"},
		{[]User{{Name: "a", Passwords: []string{"sha256:beef"}}}, "64 hexadecimal", "a hash that is none"},
		{[]User{{Name: "a", Certificates: []string{"svc-cat"}}}, "cn:", "a certificate's name needs its kind"},
	} {
		_, err := NewUsers(tc.users)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.why, err, tc.want)
		}
	}
	_, err := NewUsers([]User{{Name: "a", Tokens: []string{"tops3cret", "sha256:tops3cret"}, Roles: []Role{"x"}}})
	if err == nil || strings.Contains(err.Error(), "tops3cret") {
		t.Errorf("an error shows a secret: %v", err)
	}
}

var _ Broker = (*recorder)(nil)
var _ core.Schema = fixedSchema("")
