package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

// change is one request that changes something, and what to do with its answer.
type change struct {
	doing, method, path string
	body                map[string]any // nil for DELETE
	which               ids
	flags               requestFlags
	deleting            bool
	fetch               bool           // the result of asynchronous work is fetched with GET
	shown               map[string]any // printed with the answer
}

// change sends the request, waits for its work and prints the result.
func (c *osbClient) change(ctx context.Context, ch change) error {
	result, err := c.perform(ctx, ch)
	if err != nil {
		return err
	}
	for k, v := range ch.shown {
		result[k] = v
	}
	return write(c.out, *ch.flags.outFormat, result, func(w io.Writer) { printObject(w, "", result) })
}

// perform sends the request, waits for its work and gives what the broker said.
func (c *osbClient) perform(ctx context.Context, ch change) (map[string]any, error) {
	query := ch.flags.query(nil)
	var body any
	if ch.body != nil {
		body = ch.body
	} else {
		query = ch.flags.query(ch.which.query())
	}
	a, err := c.call(ctx, ch.method, ch.path, query, body)
	if err != nil {
		return nil, err
	}
	if a.Status < 200 || a.Status >= 300 {
		return nil, a.failure(ch.doing)
	}
	result := map[string]any{}
	if len(bytes.TrimSpace(a.Raw)) > 0 { // some brokers leave {} out
		if err := a.decode(&result); err != nil {
			return nil, err
		}
	}
	if result == nil {
		result = map[string]any{}
	}
	if a.Status != http.StatusAccepted || ch.flags.noWait {
		return result, nil
	}
	return c.accepted(ctx, ch, result)
}

// errOutOfTime is why a context ended whose --timeout passed.
var errOutOfTime = errors.New("out of time")

// accepted waits for asynchronous work and gives the result to show.
func (c *osbClient) accepted(ctx context.Context, ch change, first map[string]any) (map[string]any, error) {
	operation, _ := first["operation"].(string)
	delete(first, "operation")
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if ch.flags.timeout > 0 {
		waiting, cancel = context.WithTimeoutCause(ctx, ch.flags.timeout, errOutOfTime)
	}
	defer cancel()
	err := c.finish(waiting, polling{doing: ch.doing, path: ch.path, operation: operation, which: ch.which, deleting: ch.deleting})
	if err != nil || !ch.fetch {
		return first, err
	}
	a, err := c.call(ctx, http.MethodGet, ch.path, nil, nil)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return nil, a.failure("fetch the binding")
	}
	result := map[string]any{}
	return result, a.decode(&result)
}
