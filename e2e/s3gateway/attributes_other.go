//go:build !linux

package main

// keepsAttributes is false where we do not know: files beside the buckets work everywhere.
func keepsAttributes(string) bool { return false }
