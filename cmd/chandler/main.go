// Command chandler is the broker and its command line: serve runs it, catalog and
// plugin check what operators and vendors write, instance and operation are the
// operator's verbs, and marketplace, provision, update, bind, unbind and
// deprovision are a client for any Open Service Broker.
//
// It wires packages together and holds no logic of the broker's own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
