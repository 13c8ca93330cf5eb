// Package osbapi serves the Open Service Broker API 2.17 over HTTP (with
// httprouter), the operators' API under /admin/v1, and /healthz and /readyz. It
// translates: bytes into core requests, core answers and errors into bytes. It
// decides nothing about instances, and must not know SQL, YAML, gRPC or plugins.
package osbapi
