// Package gate holds back. A component that needs what is not there yet starts all
// the same, so that its binary is initialised meanwhile, and waits for one byte on
// a pipe.
package gate

import (
	"fmt"
	"os"
)

// Descriptor is where a component that waits has the pipe.
const Descriptor = 3

// Wait returns when the gate is opened. An error means that it never will be.
func Wait() error {
	pipe := os.NewFile(Descriptor, "gate")
	defer pipe.Close()
	if n, err := pipe.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("the supervisor gave up before this component could begin: %w", err)
	}
	return nil
}

// Open lets the component at the other end of the pipe go, and closes the pipe.
func Open(pipe *os.File) error {
	defer pipe.Close()
	if _, err := pipe.Write([]byte{1}); err != nil {
		return fmt.Errorf("let a component go: %w", err)
	}
	return nil
}
