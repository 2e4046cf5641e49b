package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/probes"
)

func TestUsageErrorsExitWithTwo(t *testing.T) {
	for _, args := range [][]string{nil, {"--plan"}, {"--plan", "a", "b"}, {"--listen", "80"}} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), args, &stdout, &stderr); code != 2 || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: exit %d, %q on stderr, %q on stdout", args, code, &stderr, &stdout)
		}
	}
}

func TestAskedToStopItSaysItsLastWordAndExitsWithZero(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"--plan", filepath.Join(t.TempDir(), "plan.json")}, &stdout, &stderr)
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if _, err := probes.ParseLine([]byte(lines[len(lines)-1])); code != 0 || err != nil || stderr.Len() > 0 {
		t.Errorf("exit %d, %v, %q on stderr", code, err, &stderr)
	}
}
