package lab_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestCyclesLeaveNothing runs a few rounds of what hack/lab-cycles.sh does
// hundreds of.
func TestCyclesLeaveNothing(t *testing.T) {
	bin := binaries(t)
	cmd := exec.Command("../../hack/lab-cycles.sh", "2", "4", "1")
	cmd.Env = append(os.Environ(), "TIGHTROPE_BIN="+bin)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "cycles that left something 0") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Log(strings.TrimSpace(string(out)))
}
