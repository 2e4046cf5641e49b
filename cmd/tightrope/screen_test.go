package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/scenarios"
)

func progressOf(phase v1alpha1.Phase, stage, message string) scenarios.Progress {
	return scenarios.Progress{Status: &v1alpha1.PolicyRolloutRunStatus{Phase: phase, Stage: stage, Message: message}}
}

func TestProgressIsALineForEachStep(t *testing.T) {
	for _, tt := range []struct {
		name   string
		show   func(*screen)
		plain  string // after the time
		colour string // where it differs
	}{
		{"the lab's steps", func(s *screen) { s.labStep(lab.Step{Name: "API server", Seconds: 1.2}) }, "lab       " + lab.Step{Name: "API server", Seconds: 1.2}.String(), ""},
		{"set-up", func(s *screen) { s.progress(scenarios.Progress{Step: "topology"}) }, "setup     the platform: waiting until every workload is ready", ""},
		{"a step nobody knows has a name", func(s *screen) { s.progress(scenarios.Progress{Step: "warm-up"}) }, "setup     warm-up", ""},
		{"a phase with its stage", func(s *screen) { s.progress(progressOf("Canary", "few", "1 of 11 pods")) }, "Canary (few)           1 of 11 pods", ""},
		{"preflight is no stage of its own", func(s *screen) { s.progress(progressOf("Preflight", "preflight", "planning")) }, "Preflight              planning", ""},
		{"a stage may be called commit", func(s *screen) { s.progress(progressOf("Canary", "commit", "1 of 11 pods")) }, "Canary (commit)        1 of 11 pods", ""},
		{"and then the commit is none", func(s *screen) { s.progress(progressOf("Committing", "(commit)", "at last")) }, "Committing             at last", ""},
		{"a rollback is red", func(s *screen) { s.progress(progressOf("RollingBack", "rollback", "cut")) },
			"RollingBack            cut", "RollingBack            \x1b[31mcut\x1b[0m"},
		{"the end is green", func(s *screen) { s.progress(progressOf("Committed", "commit", "done")) },
			"Committed              done", "Committed              \x1b[32mdone\x1b[0m"},
		{"a failed rollback is red", func(s *screen) { s.progress(progressOf("RollbackFailed", "rollback", "not back")) },
			"RollbackFailed         not back", "RollbackFailed         \x1b[31mnot back\x1b[0m"},
		{"without a message nothing trails", func(s *screen) { s.progress(progressOf("Observe", "observe", "")) }, "Observe (observe)", ""},
		{"hostile text is one line of text", func(s *screen) { s.progress(progressOf("Canary", "few\x1b[2J", "a\rb\x1b]0;x\x07\u202ec")) },
			"Canary (few\ufffd[2J)       a b\ufffd]0;x\ufffdc", ""},
		{"of a message with YAML, its first line", func(s *screen) { s.progress(progressOf("Refused", "", "it would be cut\nadd:\n- from:\n  - {}")) },
			"Refused                it would be cut …", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.colour == "" {
				tt.colour = tt.plain
			}
			for colour, want := range map[bool]string{false: tt.plain, true: tt.colour} {
				var out bytes.Buffer
				s := newScreen(&out)
				s.colour = colour
				tt.show(s)
				if got := timeless.ReplaceAllString(out.String(), ""); got != want+"\n" {
					t.Errorf("colour %v: %q, want %q", colour, got, want+"\n")
				}
			}
		})
	}
}

// timeless takes away when a line was written.
var timeless = regexp.MustCompile(`(?m)^ *\d+\.\ds  `)

func TestColourIsForTerminalsOnly(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	if newScreen(&bytes.Buffer{}).colour {
		t.Error("a buffer is no terminal")
	}
	plain, err := os.Create(file(t, "out", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if newScreen(plain).colour {
		t.Error("a file is no terminal")
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if newScreen(null).colour {
		t.Errorf("%s is a character device and no terminal", os.DevNull)
	}
	terminal := openTerminal(t)
	if !newScreen(terminal).colour {
		t.Error("a terminal has no colour")
	}
	t.Setenv("NO_COLOR", "1")
	if newScreen(terminal).colour {
		t.Error("NO_COLOR is set")
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if newScreen(terminal).colour {
		t.Error("a dumb terminal has no colours")
	}
}

// openTerminal is a pseudo-terminal's side that a program would write to.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestAScenarioIsAnnounced(t *testing.T) {
	s, err := scenarios.Load("gw-forgot-dns")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	newScreen(&out).scenario(s)
	if got, want := out.String(), "\ngw-forgot-dns — "+s.Spec.Title+"\n"; got != want || strings.TrimSpace(s.Spec.Title) == "" {
		t.Errorf("%q, want %q", got, want)
	}
}
