// Package stack starts the whole of Chandler on loopback as a user would: the real
// broker executable with real plugins and a real S3 gateway, each a process of its
// own, on directories that the caller gives. The demo and the end-to-end tests use it.
//
// It knows executables, files and HTTP addresses, and must not know the broker's packages.
package stack
