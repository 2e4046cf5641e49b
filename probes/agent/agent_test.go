package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tightrope-dev/tightrope/probes"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" { // started by a benchmark
		if err := runChild(mode, os.Getenv(childTarget)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// output takes an agent's lines and wakes whoever waits for one.
type output struct {
	t     *testing.T
	mu    sync.Mutex
	lines []probes.Line
	came  chan struct{}
}

func newOutput(t *testing.T) *output { return &output{t: t, came: make(chan struct{}, 1)} }

// Write takes one line, which must be one that the operator would take.
func (o *output) Write(raw []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	line, err := probes.ParseLine(bytes.TrimSuffix(raw, []byte("\n")))
	if err != nil || len(raw) > probes.MaxLine || bytes.Count(raw, []byte("\n")) != 1 {
		o.t.Errorf("%d bytes, %v: %.300s", len(raw), err, raw)
	}
	if last := len(o.lines); last > 0 && line.Seq != o.lines[last-1].Seq+1 {
		o.t.Errorf("line %d follows line %d", line.Seq, o.lines[last-1].Seq)
	}
	o.lines = append(o.lines, line)
	select {
	case o.came <- struct{}{}:
	default:
	}
	return len(raw), nil
}

func (o *output) all() []probes.Line {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]probes.Line(nil), o.lines...)
}

// until waits for a line that is as wanted.
func (o *output) until(what string, wanted func(probes.Line) bool) probes.Line {
	o.t.Helper()
	deadline := time.After(20 * time.Second)
	for seen := 0; ; {
		lines := o.all()
		for ; seen < len(lines); seen++ {
			if wanted(lines[seen]) {
				return lines[seen]
			}
		}
		select {
		case <-o.came:
		case <-deadline:
			o.t.Fatalf("no line with %s among %+v", what, lines)
		}
	}
}

// count finds a check in a line.
func count(l probes.Line, id string) probes.Count {
	for _, c := range l.Counts {
		if c.ID == id {
			return c
		}
	}
	return probes.Count{}
}

func planOf(host string, port int32) probes.Plan {
	return probes.Plan{
		Run: "r1", Agent: "apps/probe", Interval: 50 * time.Millisecond, Timeout: 200 * time.Millisecond,
		Confirm: probes.Confirmation{Every: 5 * time.Millisecond, Count: 6},
		Checks:  []probes.Check{{ID: "a", Type: "TCP", Protocol: "TCP", Host: host, Port: port}},
	}
}

// mount writes a file the way the kubelet does: a folder of the content's own and
// a symbolic link that is swapped.
func mount(t *testing.T, dir, version string, content []byte) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, version), 0o755))
	must(os.WriteFile(filepath.Join(dir, version, "plan.json"), content, 0o644))
	must(os.Symlink(version, filepath.Join(dir, "tmp")))
	must(os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "..data")))
	if version == "v1" {
		must(os.Symlink("..data/plan.json", filepath.Join(dir, "plan.json")))
	}
}

func planJSON(t *testing.T, p probes.Plan) []byte {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The whole agent on real sockets and a real file: it waits for its plan, follows
// it, sees a target die, takes a new plan, keeps it when the next is garbage,
// recovers, and says its last word.
func TestAgentFollowsItsPlan(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	port := int32(target.Addr().(*net.TCPAddr).Port)
	dir := t.TempDir()
	ctx, stop := context.WithCancel(context.Background())
	out := newOutput(t)
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Options{PlanFile: filepath.Join(dir, "plan.json"), Out: out}) }()

	out.until("a missing plan", func(l probes.Line) bool { return l.Digest == "" && strings.Contains(l.Error, "no such file") })
	first := planOf("127.0.0.1", port)
	mount(t, dir, "v1", planJSON(t, first))
	out.until("the plan's digest and no error", func(l probes.Line) bool {
		return l.Digest == first.Digest() && l.Error == "" && l.Agent == "apps/probe"
	})
	out.until("success", func(l probes.Line) bool { return count(l, "a").Last == probes.Reached })

	target.Close()
	cut := out.until("a confirmed failure", func(l probes.Line) bool { return count(l, "a").Streak > 6 && count(l, "a").Last == probes.Refused })
	if c := count(cut, "a"); !strings.Contains(c.Detail, "refused") {
		t.Errorf("the failure has no detail: %+v", c)
	}

	second := planOf("127.0.0.1", port)
	second.Checks[0].ID = "b"
	mount(t, dir, "v2", planJSON(t, second))
	out.until("the second plan", func(l probes.Line) bool { return l.Digest == second.Digest() && count(l, "b").Streak > 0 })
	mount(t, dir, "v3", []byte(`{"checks":[{"exec":"sh"}]}`))
	bad := out.until("the refused plan", func(l probes.Line) bool { return l.Error != "" && l.Digest == second.Digest() })
	out.until("attempts of the plan before", func(l probes.Line) bool { return l.Seq > bad.Seq && count(l, "b").Streak > 0 && l.Error != "" })
	mount(t, dir, "v4", planJSON(t, second))
	out.until("an error that is over", func(l probes.Line) bool { return l.Seq > bad.Seq && l.Error == "" })

	before := len(out.all())
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(out.all()) == before {
		t.Error("the agent left without a last word")
	}
}

func TestRunRefusesOptionsThatMakeNoSense(t *testing.T) {
	for name, o := range map[string]Options{
		"no plan":   {Out: &bytes.Buffer{}},
		"no output": {PlanFile: "x"},
		"no slots":  {PlanFile: "x", Out: &bytes.Buffer{}, MaxInFlight: -1},
	} {
		if Run(context.Background(), o) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// brokenPipe is an output that is gone.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestAnOutputThatIsGoneEndsTheAgent(t *testing.T) {
	err := Run(context.Background(), Options{PlanFile: filepath.Join(t.TempDir(), "plan.json"), Out: brokenPipe{}})
	if err == nil || !strings.Contains(err.Error(), "agent line 1") {
		t.Errorf("%v", err)
	}
}
