// Command load puts a broker under load as platforms do, over real HTTP, and says how
// fast it was: a closed loop of workers, each with a connection of its own, exact
// latency percentiles, the processor time that each process took, and, in the same
// run, what the machine can do without the broker, so that every figure is a ratio.
//
// It starts a broker with the demo plugin through e2e/stack, or takes the URL of one
// that runs. `make bench` runs all scenarios; docs/performance.md explains them.
//
// It knows OSB over HTTP, executables, and (for the bare commits that it compares
// with, and to fill a store) core/store. It must not know how the broker does its work.
package main
