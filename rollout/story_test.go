package rollout

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

var update = flag.Bool("update", false, "write what the stories say now; commit only what you can explain")

// TestStories replays whole rollouts: each line of `in` is what was seen on one
// pass, each line of `out` where the run went.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories found (%v): the test looks in the wrong place", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			story, err := txtar.ParseFile(file)
			if err != nil || len(story.Files) != 2 {
				t.Fatalf("%s: want the parts in and out: %v", file, err)
			}
			got := replay(t, string(story.Files[0].Data))
			if *update {
				story.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(story), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := string(story.Files[1].Data); got != want {
				t.Errorf("%s\ngot:\n%swant:\n%s", story.Comment, got, want)
			}
		})
	}
}

func replay(t *testing.T, in string) string {
	t.Helper()
	var out strings.Builder
	at := State{Phase: v1alpha1.PhasePreflight}
	for _, line := range strings.Split(strings.TrimSpace(in), "\n") {
		e, intent := parseEvidence(t, line)
		next := Step(plan, limits, at, e, intent)
		fmt.Fprintf(&out, "%s -> %s\n", where(at), where(next))
		at = next
	}
	return out.String()
}

func where(s State) string {
	text := string(s.Phase)
	if s.Phase == v1alpha1.PhaseCanary || s.Phase == v1alpha1.PhaseEnforce || s.Phase == v1alpha1.PhaseObserve {
		text += "(" + plan[s.Step].Name + ")"
	}
	if s.Cause != "" {
		text += " " + string(s.Cause)
	}
	return text
}

// parseEvidence reads a line such as "proved=24/24 held=5s cut=a,b silence=1s".
// What a line does not say is good: settled, heard a second ago, preflight passed.
func parseEvidence(t *testing.T, line string) (Evidence, v1alpha1.Intent) {
	t.Helper()
	e := Evidence{Preflight: PreflightPassed, Settled: true, Silence: time.Second}
	intent := v1alpha1.IntentRun
	for _, field := range strings.Fields(line) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "proved":
			done, all, _ := strings.Cut(value, "/")
			e.Proved, e.Required = number(t, done), number(t, all)
		case "held":
			e.HeldFor = duration(t, value)
		case "instep":
			e.InStep = duration(t, value)
		case "unproved":
			e.Unproved = duration(t, value)
		case "restoring":
			e.Restoring = duration(t, value)
		case "unexplained":
			e.Unexplained = strings.Split(value, ",")
		case "foreign":
			e.Foreign = value
		case "unclearable":
			e.Unclearable = value
		case "silence":
			e.Silence = duration(t, value)
		case "cut":
			e.Cut = strings.Split(value, ",")
		case "leak":
			e.Leaks = strings.Split(value, ",")
		case "unsettled":
			e.Settled = false
		case "restored":
			e.Restored = true
		case "finalised":
			e.Finalised = true
		case "abort":
			intent = v1alpha1.IntentAbort
		case "notenforced":
			e.Preflight = PreflightNotEnforced
		default:
			t.Fatalf("story line %q: unknown word %q", line, key)
		}
	}
	return e, intent
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("story: %v", err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("story: %v", err)
	}
	return d
}
