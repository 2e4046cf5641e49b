package lab

import (
	"cmp"
	"errors"
	"fmt"
)

// ErrNeedsLinux is wrapped by whatever needs a lab on another system: a lab is made of
// Linux' namespaces.
var ErrNeedsLinux = errors.New("the lab needs Linux")

// systems are the names that people use for what Go calls otherwise.
var systems = map[string]string{"darwin": "macOS", "windows": "Windows"}

// possibleOn is nil for Linux, and says of any other system what works there instead.
func possibleOn(system string) error {
	if system == "linux" {
		return nil
	}
	return fmt.Errorf("%w, and this is %s: `tightrope run`, `verify` and `doctor` work here with --cluster kind or --cluster current",
		ErrNeedsLinux, cmp.Or(systems[system], system))
}
