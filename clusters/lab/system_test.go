package lab

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

// Elsewhere the lab says in one sentence that it needs Linux, and what works there.
func TestTheLabNeedsLinux(t *testing.T) {
	if err := possibleOn("linux"); err != nil || runtime.GOOS != "linux" {
		t.Errorf("on Linux: %v; the tests run on %s", err, runtime.GOOS)
	}
	for system, name := range map[string]string{"darwin": "macOS", "windows": "Windows", "plan9": "plan9"} {
		err := possibleOn(system)
		if !errors.Is(err, ErrNeedsLinux) {
			t.Fatalf("%s: %v, want ErrNeedsLinux", system, err)
		}
		text := err.Error()
		for _, part := range []string{"the lab needs Linux", "this is " + name, "--cluster kind", "--cluster current"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q does not say %q", system, text, part)
			}
		}
		if strings.Contains(text, "\n") || strings.Contains(text, ". ") {
			t.Errorf("%s: %q is no single sentence", system, text)
		}
	}
}
