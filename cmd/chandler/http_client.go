package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// connection says which broker to call and as whom. Passwords come from the
// environment or a file, never from the argument list, where every user can read them.
type connection struct {
	url, user, passwordFile, tokenFile string
	caFile, certFile, keyFile          string
	apiVersion                         string

	password, token string
	http            *http.Client
}

// flags adds the connection's flags to c and all its sub-commands.
func (k *connection) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&k.url, "url", "", "the broker's base `URL` (CHANDLER_URL; default http://127.0.0.1:8080)")
	f.StringVar(&k.user, "user", "", "basic auth user `name` (CHANDLER_USER); the password is read from CHANDLER_PASSWORD")
	f.StringVar(&k.passwordFile, "password-file", "", "`file` with the password instead (or CHANDLER_PASSWORD)")
	f.StringVar(&k.tokenFile, "token-file", "", "`file` with a bearer token; without it the token is read from CHANDLER_TOKEN")
	f.StringVar(&k.caFile, "ca", "", "PEM `file` of the authority that signed the broker's certificate (CHANDLER_CA)")
	f.StringVar(&k.certFile, "cert", "", "PEM `file` of a client certificate to show (CHANDLER_CERT)")
	f.StringVar(&k.keyFile, "key", "", "PEM `file` of its key (CHANDLER_KEY)")
	for _, name := range []string{"url", "user"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// open reads environment and files; it must run before the first call. Connections
// are kept between calls until ctx ends.
func (k *connection) open(ctx context.Context) error {
	pick := func(flag, env, otherwise string) string {
		if flag != "" {
			return flag
		}
		if v := os.Getenv(env); v != "" {
			return v
		}
		return otherwise
	}
	k.url = strings.TrimRight(pick(k.url, "CHANDLER_URL", "http://127.0.0.1:8080"), "/")
	if u, err := url.Parse(k.url); err != nil || u.Host == "" || u.User != nil {
		return exitf(exitUsage, "the broker's URL must be http(s)://host[:port][/prefix] without user and password")
	}
	named := k.user != "" // a flag wins over the environment's token
	k.user = pick(k.user, "CHANDLER_USER", "")
	k.caFile = pick(k.caFile, "CHANDLER_CA", "")
	k.certFile, k.keyFile = pick(k.certFile, "CHANDLER_CERT", ""), pick(k.keyFile, "CHANDLER_KEY", "")
	var err error
	if k.password, err = secretFrom(k.passwordFile, "CHANDLER_PASSWORD"); err != nil {
		return err
	}
	if k.token, err = secretFrom(k.tokenFile, "CHANDLER_TOKEN"); err != nil {
		return err
	}
	if named && k.tokenFile == "" {
		k.token = ""
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = k.tls(); err != nil {
		return err
	}
	// Longer than the 60 s that platforms give a broker: its own budget ends first.
	k.http = &http.Client{Transport: transport, Timeout: 70 * time.Second}
	context.AfterFunc(ctx, transport.CloseIdleConnections)
	return nil
}

// tls reads the authority's certificate and ours.
func (k *connection) tls() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if k.caFile != "" {
		pem, err := os.ReadFile(k.caFile)
		if err != nil {
			return nil, exitf(exitUsage, "read the authority's certificate: %v", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, exitf(exitUsage, "%s holds no PEM certificate", k.caFile)
		}
	}
	if k.certFile == "" && k.keyFile == "" {
		return out, nil
	}
	if k.certFile == "" || k.keyFile == "" {
		return nil, exitf(exitUsage, "--cert and --key belong together")
	}
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return nil, exitf(exitUsage, "read the client certificate: %v", err)
	}
	out.Certificates = []tls.Certificate{pair}
	return out, nil
}

func secretFrom(file, env string) (string, error) {
	if file == "" {
		return os.Getenv(env), nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", exitf(exitUsage, "read the secret: %v", err)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// answer is one HTTP answer with its whole body.
type answer struct {
	Status int
	Header http.Header
	Raw    []byte
}

// decode reads the body into v; a body that is not JSON is an error that shows its beginning.
func (a answer) decode(v any) error {
	if err := decodeJSON(a.Raw, v); err != nil {
		return fmt.Errorf("the broker's answer (status %d) is not the JSON that was expected: %.200s", a.Status, a.Raw)
	}
	return nil
}

// call sends one request; body nil sends none. It fails only if no answer came.
func (k *connection) call(ctx context.Context, method, path string, query url.Values, body any) (answer, error) {
	resp, err := k.send(ctx, k.http, method, path, query, body)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return answer{}, fmt.Errorf("read the broker's answer: %w", err)
	}
	return answer{Status: resp.StatusCode, Header: resp.Header, Raw: raw}, nil
}

// stream is call for an answer that takes as long as ctx lasts; the caller reads and closes it.
func (k *connection) stream(ctx context.Context, method, path string) (*http.Response, error) {
	endless := *k.http
	endless.Timeout = 0
	return k.send(ctx, &endless, method, path, nil, nil)
}

func (k *connection) send(ctx context.Context, client *http.Client, method, path string, query url.Values, body any) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		reader = bytes.NewReader(raw)
	}
	target := k.url + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("X-Broker-API-Version", k.version())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case k.token != "":
		req.Header.Set("Authorization", "Bearer "+k.token)
	case k.user != "":
		req.SetBasicAuth(k.user, k.password)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call the broker: %w", err)
	}
	return resp, nil
}

func (k *connection) version() string {
	if k.apiVersion == "" {
		return "2.17"
	}
	return k.apiVersion
}

// failure turns an answer that is no success into an error with the broker's own words.
func (a answer) failure(doing string) error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"description"`
	}
	_ = json.Unmarshal(a.Raw, &body) // a body that is no JSON is shown as it is
	text := body.Description
	if text == "" {
		text = strings.TrimSpace(fmt.Sprintf("%.300s", a.Raw))
	}
	if body.Error != "" && !strings.Contains(text, body.Error) {
		text = body.Error + ": " + text
	}
	if a.Status == http.StatusUnauthorized {
		text += "\nSay who you are with --user and CHANDLER_PASSWORD, with CHANDLER_TOKEN, or with --cert and --key."
	}
	status := exitFailed
	if a.Status == http.StatusNotFound || a.Status == http.StatusGone {
		status = exitNotFound
	}
	return exitf(status, "%s: the broker answered %d %s\n%s", doing, a.Status, http.StatusText(a.Status), strings.TrimSpace(text))
}
