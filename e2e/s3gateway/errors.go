package main

import (
	"errors"
	"fmt"
	"syscall"
)

// portTaken makes err recognisable as errPortTaken if that is what it says.
func portTaken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return err
}
