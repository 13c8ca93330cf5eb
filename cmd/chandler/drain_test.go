package main

import (
	"net/http"
	"testing"
	"time"
)

// A broker that is told to end says so before it stops taking requests, so that no load
// balancer sends one to a closed door; it does not wait for a server that has ended itself.
func TestDrain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(a *app, seen chan time.Time){
		"the time is over":     func(_ *app, seen chan time.Time) { seen <- time.Time{} },
		"the server has ended": func(a *app, _ chan time.Time) { a.served <- http.ErrServerClosed },
	} {
		a := &app{stopping: make(chan struct{}), served: make(chan error, 1)}
		seen, done := make(chan time.Time), make(chan struct{})
		go func() {
			defer close(done)
			a.drain(seen)
		}()
		<-a.stopping // while drain still waits: nobody has ended it yet
		select {
		case <-done:
			t.Errorf("%s: drain did not wait", name)
		default:
		}
		end(a, seen)
		<-done
	}
}
