// Command soak lets clients of a broker do random things while everything around them is
// killed and frozen again and again, and then compares what exists with what the clients were
// told: `make soak SOAK=30m`. docs/reliability.md says what it proves.
//
// The broker, the plugins and the gateway are real processes (e2e/stack). What clients were
// told is kept by package record, which knows the rules and not the broker.
package main
