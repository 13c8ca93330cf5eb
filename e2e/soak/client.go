package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// client opens a connection for each request, so that none is sent twice behind our back.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// answer is an answer of a broker, or the reason why there is none.
type answer struct {
	status int
	raw    []byte
	body   struct {
		Error, Description, Operation, State string
		Credentials                          json.RawMessage
		PlanID                               string `json:"plan_id"`
		Parameters                           map[string]any
	}
	err error
	// unsent: the broker cannot have seen the request.
	unsent bool
}

// decode reads the body of a 200.
func (a answer) decode(into any) error {
	if a.err != nil {
		return a.err
	}
	if a.status != http.StatusOK {
		return errors.New(string(a.raw))
	}
	return json.Unmarshal(a.raw, into)
}

// send makes one request as the operator, who may call OSB, too.
func send(ctx context.Context, b *stack.Broker, method, path string, body any) (a answer) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return answer{err: err, unsent: true}
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.URL+path, reader)
	if err != nil {
		return answer{err: err, unsent: true}
	}
	req.Header.Set("X-Broker-API-Version", "2.17")
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(b.Operator, b.Password)
	resp, err := client.Do(req)
	if err != nil {
		var op *net.OpError
		return answer{err: err, unsent: errors.As(err, &op) && op.Op == "dial"}
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	if a.raw, a.err = io.ReadAll(resp.Body); a.err == nil {
		a.err = json.Unmarshal(a.raw, &a.body)
	}
	return a
}
