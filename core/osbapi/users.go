package osbapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// Role is what a user may do.
type Role string

// The roles.
const (
	RolePlatform Role = "platform" // the OSB API
	RoleOperator Role = "operator" // /admin/v1, and /metrics
	RoleMetrics  Role = "metrics"  // /metrics only
)

// Principal is a user whom an Authenticator knows.
type Principal struct {
	Name  string
	Roles []Role
}

// May tells whether the principal has one of the roles.
func (p Principal) May(roles ...Role) bool {
	return slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(p.Roles, r) })
}

// Authenticator says who sent a request; ok is false for nobody that it knows. It
// is asked for every request, never for a connection. Safe for concurrent use.
type Authenticator interface {
	Authenticate(*http.Request) (p Principal, ok bool)
}

// User is one user of the broker and the ways to prove to be it.
type User struct {
	// Name is the user name of basic authentication, and what logs and the journal
	// say; not empty, without a colon, unique.
	Name string
	// Roles default to RolePlatform.
	Roles []Role
	// Passwords are all valid at the same time, so that one can be exchanged
	// without downtime: add the new one, change the clients, remove the old one.
	// Each is given in clear or as "sha256:" and 64 hexadecimal digits.
	Passwords []string
	// Tokens are bearer tokens, in the same two forms; they are unique over all users.
	Tokens []string
	// Certificates are verified client certificates that stand for the user: "cn:"
	// and the common name, "dns:" or "uri:" and a subject alternative name, or
	// "subject:" and the whole distinguished name as RFC 2253 writes it.
	Certificates []string
}

// Users authenticates by HTTP basic authentication, bearer tokens and client
// certificates. Its list can be replaced while it serves.
type Users struct{ list atomic.Pointer[[]account] }

// digest is the SHA-256 of a name or secret: of equal length for all, so that the
// time of a comparison tells nothing about them.
type digest [sha256.Size]byte

type account struct {
	principal    Principal
	name         digest
	passwords    []digest
	tokens       []digest
	certificates []string
}

// NewUsers makes an Authenticator of the list; the error names everything wrong with it.
func NewUsers(list []User) (*Users, error) {
	u := &Users{}
	if err := u.Replace(list); err != nil {
		return nil, err
	}
	return u, nil
}

// Replace changes the list for all requests that arrive from now on; on an error
// the old one stays.
func (u *Users) Replace(list []User) error {
	accounts := make([]account, 0, len(list))
	var problems []error
	names, secrets := map[string]bool{}, map[string]bool{}
	for i, user := range list {
		a, err := newAccount(user)
		if err != nil {
			problems = append(problems, fmt.Errorf("users[%d] %q: %w", i, user.Name, err))
		}
		if names[user.Name] {
			problems = append(problems, fmt.Errorf("users[%d]: the name %q is there twice", i, user.Name))
		}
		names[user.Name] = true
		// A token or certificate must say who it is: it comes without a name.
		for _, key := range bearers(a) {
			if secrets[key] {
				problems = append(problems, fmt.Errorf("users[%d] %q: a token or certificate is there twice", i, user.Name))
			}
			secrets[key] = true
		}
		accounts = append(accounts, a)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	u.list.Store(&accounts)
	return nil
}

func bearers(a account) []string {
	keys := slices.Clone(a.certificates)
	for _, t := range a.tokens {
		keys = append(keys, string(t[:]))
	}
	return keys
}

func newAccount(user User) (account, error) {
	a := account{principal: Principal{Name: user.Name, Roles: user.Roles}, name: sha256.Sum256([]byte(user.Name))}
	if len(a.principal.Roles) == 0 {
		a.principal.Roles = []Role{RolePlatform}
	}
	var problems []error
	if user.Name == "" || strings.Contains(user.Name, ":") {
		problems = append(problems, errors.New("a name must not be empty and not contain a colon"))
	}
	for _, r := range a.principal.Roles {
		if r != RolePlatform && r != RoleOperator && r != RoleMetrics {
			problems = append(problems, fmt.Errorf("unknown role %q; expected %s, %s or %s", r, RolePlatform, RoleOperator, RoleMetrics))
		}
	}
	if len(user.Passwords)+len(user.Tokens)+len(user.Certificates) == 0 {
		problems = append(problems, errors.New("has neither a password nor a token nor a certificate"))
	}
	a.passwords = secretDigests("passwords", user.Passwords, &problems)
	a.tokens = secretDigests("tokens", user.Tokens, &problems)
	for _, c := range user.Certificates {
		kind, value, ok := strings.Cut(c, ":")
		if !ok || value == "" || !slices.Contains([]string{"cn", "dns", "uri", "subject"}, kind) {
			problems = append(problems, fmt.Errorf("certificate %q: expected cn:, dns:, uri: or subject: and a value", c))
		}
		a.certificates = append(a.certificates, c)
	}
	return a, errors.Join(problems...)
}

// secretDigests never puts a secret into a problem.
func secretDigests(what string, secrets []string, problems *[]error) []digest {
	var digests []digest
	for i, s := range secrets {
		hexed, hashed := strings.CutPrefix(s, "sha256:")
		switch raw, err := hex.DecodeString(hexed); {
		case s == "":
			*problems = append(*problems, fmt.Errorf("%s[%d] is empty", what, i))
		case !hashed:
			digests = append(digests, sha256.Sum256([]byte(s)))
		case err != nil || len(raw) != sha256.Size:
			*problems = append(*problems, fmt.Errorf("%s[%d]: expected sha256: and 64 hexadecimal digits", what, i))
		default:
			digests = append(digests, digest(raw))
		}
	}
	return digests
}

// Authenticate implements Authenticator. A request with an Authorization header
// is judged by it alone, also when it came with a client certificate.
func (u *Users) Authenticate(r *http.Request) (Principal, bool) {
	accounts := *u.list.Load()
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return Principal{}, false
	case len(headers) == 0:
		return byCertificate(accounts, r)
	}
	if name, password, ok := r.BasicAuth(); ok {
		return byPassword(accounts, name, password)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimLeft(token, " "); strings.EqualFold(scheme, "Bearer") && token != "" {
		return byToken(accounts, token)
	}
	return Principal{}, false
}

// byPassword looks at every password of every user, so that the time it takes
// does not tell which names exist.
func byPassword(accounts []account, name, password string) (Principal, bool) {
	wantName, wantPassword := sha256.Sum256([]byte(name)), sha256.Sum256([]byte(password))
	found := -1
	for i := range accounts {
		sameName := subtle.ConstantTimeCompare(accounts[i].name[:], wantName[:])
		for j := range accounts[i].passwords {
			same := sameName & subtle.ConstantTimeCompare(accounts[i].passwords[j][:], wantPassword[:])
			found = subtle.ConstantTimeSelect(same, i, found)
		}
	}
	return principalAt(accounts, found)
}

func byToken(accounts []account, token string) (Principal, bool) {
	want := sha256.Sum256([]byte(token))
	found := -1
	for i := range accounts {
		for j := range accounts[i].tokens {
			found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(accounts[i].tokens[j][:], want[:]), i, found)
		}
	}
	return principalAt(accounts, found)
}

// byCertificate trusts only a chain that the TLS server verified.
func byCertificate(accounts []account, r *http.Request) (Principal, bool) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return Principal{}, false
	}
	names := certificateNames(r.TLS.VerifiedChains[0][0])
	for i := range accounts {
		if slices.ContainsFunc(accounts[i].certificates, func(c string) bool { return slices.Contains(names, c) }) {
			return principalAt(accounts, i)
		}
	}
	return Principal{}, false
}

func certificateNames(c *x509.Certificate) []string {
	names := []string{"subject:" + c.Subject.String()}
	if c.Subject.CommonName != "" {
		names = append(names, "cn:"+c.Subject.CommonName)
	}
	for _, d := range c.DNSNames {
		names = append(names, "dns:"+d)
	}
	for _, u := range c.URIs {
		names = append(names, "uri:"+u.String())
	}
	return names
}

func principalAt(accounts []account, i int) (Principal, bool) {
	if i < 0 {
		return Principal{}, false
	}
	return accounts[i].principal, true
}
