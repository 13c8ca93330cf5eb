package main

import (
	"fmt"
	"os"

	"github.com/chandler-broker/chandler/core"
)

// processName tells operators which process it is: its host, which is the pod in
// Kubernetes, and its process id there.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// announce tells the other replicas that a document of the store has changed.
func (a *app) announce(document string) {
	if a.leases != nil {
		a.leases.Hint(core.Hint{Kind: core.HintDocument, ID: document})
	}
}

// documentChanged is told of documents that other replicas have changed; "" stands for any.
func (a *app) documentChanged(key string) {
	a.catalog.DocumentChanged(key)
	a.keys.Changed(key)
}
