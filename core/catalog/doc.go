// Package catalog turns the YAML files of a catalog directory into core's
// services and plans, keeps one immutable snapshot of them and replaces it when
// the files change.
//
// Work goes one way: Sources (bytes of all files) → Parse (decode, merge, check,
// compile; every problem at once) → core.Snapshot. Catalog does this at start,
// when a file changes and when it is asked to, and keeps the last good state
// whatever the files say.
//
// It implements core.Catalog. It reaches the store, the plugins and the template
// language only through its Config, and it must not know HTTP, SQL or gRPC, nor
// how a request is served. The YAML library is used in decode.go only.
package catalog
