package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	a.cert = &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.key = a.issue(name, a.cert)
	return a
}

// issue writes NAME.crt and NAME.key.
func (a *authority) issue(name string, template *x509.Certificate) *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	write1(a.t, a.dir, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write1(a.t, a.dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})))
	return key
}

func (a *authority) server(name string) {
	a.issue(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
}

func (a *authority) client(name string) {
	a.issue(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// HTTPS with the operator's own authority, client certificates instead of passwords,
// and a certificate that is replaced while the broker runs.
func TestTLS(t *testing.T) { // not parallel: it sends SIGHUP
	dir := t.TempDir()
	ours, other := newAuthority(t, dir, "ours"), newAuthority(t, dir, "other")
	ours.server("server")
	ours.client("oncall")
	ours.client("stranger")
	other.client("forged")
	file := func(name string) string { return filepath.Join(dir, name) }
	r := newRig(t, fmt.Sprintf("tls: {certificate: %q, key: %q, clientCA: %q}\nusers:\n- {name: oncall, certificates: ['cn:oncall'], role: operator}\n"+
		"- {name: operator, passwords: ['${file:operator}'], role: operator}\n", file("server.crt"), file("server.key"), file("ours.crt")))
	if !strings.HasPrefix(r.url, "https://") {
		t.Fatalf("serves %s", r.url)
	}
	for _, c := range []struct {
		why    string
		args   []string
		status int
		want   string
	}{
		{"the authority is not known", r.client, exitFailed, "certificate signed by unknown authority"},
		{"the authority is known", append([]string{"--ca", file("ours.crt")}, r.client...), exitOK, ""},
		{"another authority", append([]string{"--ca", file("other.crt")}, r.client...), exitFailed, "certificate"},
		{"a certificate instead of a password", []string{"--url", r.url, "--ca", file("ours.crt"), "--cert", file("oncall.crt"), "--key", file("oncall.key")}, exitOK, ""},
		{"a certificate of no user", []string{"--url", r.url, "--ca", file("ours.crt"), "--cert", file("stranger.crt"), "--key", file("stranger.key")}, exitFailed, "401"},
		{"a certificate of another authority", []string{"--url", r.url, "--ca", file("ours.crt"), "--cert", file("forged.crt"), "--key", file("forged.key")}, exitFailed, ""},
		{"no certificate", []string{"--url", r.url, "--ca", file("ours.crt")}, exitFailed, "401"},
		{"plain HTTP", []string{"--url", strings.Replace(r.url, "https", "http", 1)}, exitFailed, "HTTP request to an HTTPS server"},
	} {
		got := chandler(t.Context(), append([]string{"instance", "list"}, c.args...)...)
		if got.status != c.status || !strings.Contains(got.err, c.want) {
			t.Errorf("%s: status %d, want %d with %q: %s", c.why, got.status, c.status, c.want, got.err)
		}
	}
	other.server("server") // renewed, by another authority so that it can be told apart
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.awaitLog("the configuration was reloaded", nil)
	if got := chandler(t.Context(), append([]string{"instance", "list", "--ca", file("other.crt")}, r.client...)...); got.status != exitOK {
		t.Errorf("the renewed certificate is not served: %s", got.err)
	}
	write1(t, dir, "server.key", "broken")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.awaitLog("the configuration was not reloaded; everything stays as it was", nil)
	if got := chandler(t.Context(), append([]string{"instance", "list", "--ca", file("other.crt")}, r.client...)...); got.status != exitOK {
		t.Errorf("a broken key took the good one away: %s", got.err)
	}
}
