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
