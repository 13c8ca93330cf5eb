//go:build !linux

package main

import "errors"

func mountRAM(string) error { return errors.New("only on Linux") }
func unmount(string)        {}
