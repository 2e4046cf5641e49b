package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

func TestTheEnginesAgreeAndTheTableHasARowForEach(t *testing.T) {
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "bench", "verdict.md")
	if err := run(t.Context(), []string{"-each=50ms", "-changes=40", "-pods=100", "-o", file}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	written, err := os.ReadFile(file)
	if err != nil || string(written) != out.String() {
		t.Errorf("the file is not what was printed: %v", err)
	}
	for _, row := range []string{"| 9 × 0 | tightrope |", "| 100 × 50 | tightrope |", "baseline", "host-network pods"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no %q in\n%s", row, &out)
		}
	}
	if strings.Contains(out.String(), unexplained) {
		t.Errorf("the engines differ:\n%s", &out)
	}
}

func TestADifferenceIsOnlyExcusedForWhatIsKnown(t *testing.T) {
	a, b := verdict.Pod{Namespace: "x", Name: "a"}, verdict.Pod{Namespace: "x", Name: "b"}
	host := verdict.Pod{Namespace: "x", Name: "h", HostNetwork: true}
	for _, tt := range []struct {
		name     string
		ours     verdict.Decision
		theirs   bool
		from, to verdict.Pod
		excused  bool
	}{
		{"a pod to itself", verdict.Allow, false, a, a, true},
		{"a host-network pod", verdict.Unknown, true, a, host, true},
		{"not a wrong Allow", verdict.Allow, false, a, b, false},
		{"not a wrong Deny", verdict.Deny, true, a, host, false},
		{"not an Unknown between ordinary pods", verdict.Unknown, true, a, b, false},
	} {
		if got := difference(tt.ours, tt.theirs, tt.from, tt.to) != unexplained; got != tt.excused {
			t.Errorf("%s: excused is %v", tt.name, got)
		}
	}
}
