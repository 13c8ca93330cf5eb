package main

import "golang.org/x/sys/unix"

func mountRAM(dir string) error { return unix.Mount("none", dir, "ramfs", 0, "") }
func unmount(dir string)        { _ = unix.Unmount(dir, unix.MNT_DETACH) }
