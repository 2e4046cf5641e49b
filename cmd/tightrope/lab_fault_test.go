package main

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// faultsOf are the lines about a lab's faults.
func faultsOf(t *testing.T, name string) (texts []string) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	held, err := lab.Faults(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		texts = append(texts, h.Text)
	}
	return texts
}

// wantNoFault waits: nobody tells another process that the lab has noticed a death.
func wantNoFault(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(goneWithin); ; time.Sleep(20 * time.Millisecond) {
		left := faultsOf(t, name)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("faults left %v later: %v", goneWithin, left)
		}
	}
}

// However a fault's command ends, the fault ends with it.
func TestAFaultEndsWithItsHolder(t *testing.T) {
	name := filepath.Base(filepath.Dir(sharedLab(t)))
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		args   []string
		code   int
		says   string
	}{
		{"killed", syscall.SIGKILL, nil, -1, ""},
		{"interrupted", syscall.SIGINT, nil, exitOK, "is undone"},
		{"its time is over", 0, []string{"--for", "300ms"}, exitOK, "is undone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, append([]string{"lab", "fault", "pause", "scheduler", "--name", name}, tt.args...)...)
			p.await(t, "pause scheduler is in effect")
			if held := faultsOf(t, name); len(held) != 1 && tt.signal != 0 {
				t.Errorf("faults in effect: %v", held)
			}
			if tt.signal != 0 {
				p.signal(t, tt.signal)
			}
			if code := p.end(t); code != tt.code || !strings.Contains(p.stdout.String(), tt.says) {
				t.Errorf("exit code %d, want %d and %q", code, tt.code, tt.says)
			}
			wantNoFault(t, name)
		})
	}
}

func TestFaultsAndLogsThatCannotBeAreBadInput(t *testing.T) {
	name := filepath.Base(filepath.Dir(sharedLab(t)))
	for _, tt := range []struct{ args, part string }{
		{"fault pause node-9", `no component "node-9"`},
		{"fault loss --percent 0", "more than 0"},
		{"fault dataplane deny=maybe", "want drop or reject"},
		{"fault partition node-1,node-2", "nothing to part it from"},
		{"fault melt", "has no command"},
		{"fault pause scheduler --for -1s", "a time to come"},
		{"logs nobody", `no component "nobody" in this lab: there are apiserver`},
		{"fault list --name nolab", "not up"},
		{"up --name other --dataplane colour=red", `no key "colour"`},
	} {
		p := start(t, append([]string{"lab", "--name", name}, strings.Fields(tt.args)...)...)
		if code := p.end(t); code != exitUsage || !strings.Contains(p.stderr.String(), tt.part) {
			t.Errorf("lab %s: exit code %d and %q, want %d and %q", tt.args, code, p.stderr, exitUsage, tt.part)
		}
	}
}

func TestAScenarioOnADataPlaneThatIsNotKnownIsRefused(t *testing.T) {
	p := start(t, "run", "gw-forgot-dns", "--dataplane", "maybe", "--report", t.TempDir())
	if code := p.end(t); code != exitUsage || !strings.Contains(p.stderr.String(), `data plane "maybe"`) {
		t.Errorf("exit code %d and %q, want %d and the name", code, p.stderr, exitUsage)
	}
}

func TestLogsOfALabAreRead(t *testing.T) {
	name := filepath.Base(filepath.Dir(sharedLab(t)))
	p := start(t, "lab", "logs", "--name", name)
	if code := p.end(t); code != exitOK || !strings.Contains(p.stdout.String(), "apiserver") || !strings.Contains(p.stdout.String(), "node-2") {
		t.Errorf("exit code %d and %s", code, p.stdout.String())
	}
	p = start(t, "lab", "logs", "apiserver", "--tail", "4000", "--name", name)
	if code := p.end(t); code != exitOK || p.stdout.Len() < 100 || p.stdout.Len() > 8000 {
		t.Errorf("exit code %d and %d bytes", code, p.stdout.Len())
	}
	p = start(t, "lab", "logs", "etcd", "-f", "--name", name)
	p.signal(t, syscall.SIGINT)
	if code := p.end(t); code != exitOK && code != -1 { // a signal may come before anybody handles it
		t.Errorf("following a log ends with %d", code)
	}
}
