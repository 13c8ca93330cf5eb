// Package core is the domain of Chandler: services and plans, instances and
// bindings, the operations that change them, and the Broker that accepts a
// request, journals it, calls a plugin and answers.
//
// It defines the interfaces that it needs (Catalog, Templates, Store, Leases,
// Keyring, Backends) beside the types that they speak about; packages below core/
// implement them and cmd/ wires them together. core must not know HTTP, SQL, YAML or gRPC: a rule
// that a test of the import graph enforces.
//
// Data flows one way: handler → Broker → (Store, Backends) → handler. Time, ids
// and randomness come in through Config, so that every decision can be replayed.
package core
