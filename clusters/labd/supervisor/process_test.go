package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTailShowsTheLastLinesOfAnyLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := strings.Repeat("old\n", 20000) + strings.Repeat("x", 5000) + "\nthe cause\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(tail(path), "\n")
	if len(lines) != tailLines || lines[len(lines)-1] != "the cause" || len(lines[len(lines)-2]) != tailWidth {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

func TestALabdOfAnotherBuildIsRefused(t *testing.T) {
	err := sameBuild("v1", "v2")
	if err == nil || !strings.Contains(err.Error(), `"v1"`) || !strings.Contains(err.Error(), `"v2"`) || !strings.Contains(err.Error(), "make labd") {
		t.Errorf("error %v, want both builds and what to do", err)
	}
	if err := sameBuild("v1", "v1"); err != nil {
		t.Error(err)
	}
}
