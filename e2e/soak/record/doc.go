// Package record keeps what clients of a broker were told about one service instance and
// its bindings, and says whether it can be true. It is a second, independent statement of the
// rules of docs/osb-conformance.md and docs/reliability.md: a machine whose states are what
// may be the case. A request that nobody answered, or an operation that nobody saw the end
// of, leaves several possible states; each later answer strikes out those that it contradicts.
// An answer that no possible state allows is a violation.
//
// It knows the rules only: no HTTP, no processes, no clock, and nothing of the broker's packages.
package record
