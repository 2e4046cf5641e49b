package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

func TestLabErrorsHaveTheirExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"a machine that forbids labs is no failed test", fmt.Errorf("x: %w", lab.ErrForbidden), exitUsage},
		{"bad options", fmt.Errorf("x: %w", lab.ErrRefused), exitUsage},
		{"no such lab", fmt.Errorf("x: %w", lab.ErrNotUp), exitUsage},
		{"no labd", fmt.Errorf("x: %w", lab.ErrNoLabd), exitUsage},
		{"a lab that broke proves nothing", errors.New("etcd ended"), exitInconclusive},
		{"no error", nil, exitOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(labError(tt.err)); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

func TestABrokenLabsLogComesBeforeItsError(t *testing.T) {
	var log strings.Builder
	err := logFirst(errors.New("etcd of the lab ended; the end of its log:\none\n\x1b[31mtwo"), &log)
	if err.Error() != "etcd of the lab ended; the end of its log is above" {
		t.Errorf("error: %v", err)
	}
	if !strings.Contains(log.String(), "| one\n") || strings.Contains(log.String(), "\x1b") {
		t.Errorf("log: %q", log.String())
	}
}
