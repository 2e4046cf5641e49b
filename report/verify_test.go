package report

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// aRunsEvidence is a run that observes, enforces, finds one leak and one cut, and is rolled
// back; with the report that its controller made on the way.
type aRunsEvidence struct {
	Bundle
	book  Book
	chain evidence.Chain
	at    time.Time

	unchecked bool // what is added may contradict what was there
}

func (x *aRunsEvidence) add(t *testing.T, e evidence.Entry) {
	t.Helper()
	x.at = x.at.Add(1234567 * time.Nanosecond)
	e.At = x.at
	if err := x.book.Add(e); err != nil && !x.unchecked {
		t.Fatal(err)
	}
	x.chain.Add(e)
}

// store makes a chunk of what is pending, and the status name it.
func (x *aRunsEvidence) store(t *testing.T) {
	t.Helper()
	f, err := x.chain.Next("plan-1")
	if err != nil {
		t.Fatal(err)
	}
	x.Chunks = append(x.Chunks, BundledChunk{f.Name(), f.Packed})
	x.Run.Status.Evidence = &v1alpha1.Evidence{Head: f.Head.Digest, Chunks: int32(f.Head.Chunks)}
	if ok, err := x.chain.See(f.Head); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

// turn adds the decision that follows from a look.
func (x *aRunsEvidence) turn(t *testing.T, look *evidence.Look, edit func(*evidence.Turn)) {
	t.Helper()
	turn := &evidence.Turn{At: x.book.State, Look: look, Message: "so it is", Limits: rollout.Limits{Inconclusive: time.Minute, Rollback: time.Minute}}
	if look != nil {
		judged := x.book.Judge(look)
		turn.Evidence = look.Sum(x.book.rows, judged)
		ms := 12.5
		for _, row := range CutRows(x.book.rows, judged) {
			turn.Cuts = append(turn.Cuts, evidence.Cut{Row: row, Detect: &ms, Decide: &ms, Broken: BrokenByWrite})
		}
	}
	edit(turn)
	turn.Next = rollout.Step(x.book.steps, turn.Limits, turn.At, turn.Evidence, "")
	x.add(t, evidence.Entry{Turn: turn})
	st := &x.Run.Status
	st.Phase, st.Step, st.Cause, st.Result, st.Message = turn.Next.Phase, int32(turn.Next.Step), string(turn.Next.Cause), turn.Next.Result(), turn.Message
}

func aRow(path string, expect v1alpha1.Expectation) evidence.Row {
	return evidence.Row{Path: path, Namespace: "apps", From: "chat", ToNS: "ai", To: "gateway", Port: 4000, Protocol: "TCP", Via: v1alpha1.ViaPodIP, Expect: expect}
}

// looking is a look in which every row is as it should be.
func looking(scope rollout.Scope, name string) *evidence.Look {
	works := evidence.Check{Agent: "apps/front", Last: probes.Reached, Streak: 9, StreakSinceMark: 9, Connected: 9, Flags: evidence.Fresh | evidence.Known}
	shut := evidence.Check{Row: 1, Agent: "apps/front", Last: probes.TimedOut, Streak: 9, StreakSinceMark: 9, Blocked: 9, Stopped: 9,
		Flags: evidence.Fresh | evidence.Known | evidence.Denied | evidence.Witnessed}
	other := works
	other.Row = 2
	checks := []evidence.Check{works, shut, other}
	for _, c := range checks {
		c.Agent = "apps/rear"
		checks = append(checks, c)
	}
	return &evidence.Look{Scope: scope, Settled: true, Whole: true, Place: "stage/" + name, Name: name, Confirm: 3, Checks: checks}
}

// begun is a run whose preflight has passed.
func begun(t *testing.T) *aRunsEvidence {
	t.Helper()
	x := &aRunsEvidence{at: time.Date(2026, 5, 4, 3, 2, 1, 7, time.UTC)}
	x.Run = &v1alpha1.PolicyRolloutRun{}
	x.Run.Namespace, x.Run.Name, x.Run.UID = "ai", "lockdown-1", "uid-1"
	x.Run.Status.PlanDigest = "plan-1"
	x.chain = evidence.Chain{Run: "lockdown-1", RunUID: "uid-1"}
	timings := "measured here"
	x.add(t, evidence.Entry{Begin: &evidence.Begin{Run: "lockdown-1", Rollout: "ai/lockdown",
		Steps:     []rollout.StepPlan{{Name: "watch", Phase: v1alpha1.PhaseObserve, Gates: []v1alpha1.Gate{{Name: "gate", Type: v1alpha1.GateApproval}}}, {Name: "commit", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone, Gate: rollout.Gate{Soak: time.Hour}}},
		Rows:      []evidence.Row{aRow("p", v1alpha1.ExpectAllow), aRow("never", v1alpha1.ExpectDeny), aRow("q", v1alpha1.ExpectAllow)},
		Policies:  []evidence.Policy{{Name: "ai/gateway", SHA256: "ab", Before: "cd"}},
		Predicted: []evidence.Prediction{{Path: "p", Finding: "Cut", Rule: "r", Accepted: "so be it"}},
		Exposures: []evidence.Exposure{{From: "a/b", To: "c/d", Port: "1/TCP", Phase: "commit"}},
		NotTested: []evidence.NotTested{{What: "the moon", Phase: "commit", Reason: "far"}},
		Access:    []evidence.Access{{Identity: "chat", Namespace: "apps", Pods: []string{"front", "rear"}}}}})
	x.add(t, evidence.Entry{Timings: &timings})
	x.turn(t, nil, func(turn *evidence.Turn) { turn.Evidence.Preflight = rollout.PreflightPassed })
	x.store(t)
	return x
}

// approved lets a turn rest on what somebody approved.
func approved(x *aRunsEvidence) func(*evidence.Turn) {
	return func(turn *evidence.Turn) {
		turn.Approvals = []evidence.Approval{{Name: "lockdown-1-x", UID: "uid-2", Action: v1alpha1.ActionProceed, Stage: "watch", Gate: "gate",
			Approver: "alice", At: x.at, Reason: "CHG-1", PlanDigest: "plan-1"}}
		turn.Evidence.Approvals = evidence.Granted(x.book.steps[0].Gates, turn.Approvals)
	}
}

func aRolledBackRun(t *testing.T) *aRunsEvidence {
	t.Helper()
	return rolledBackTo(t, func(*Book) *evidence.Look { return looking(rollout.Nobody, "") })
}

func (x *aRunsEvidence) report(t *testing.T) *Report {
	t.Helper()
	raw, err := x.book.Report.JSON()
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// A decision names the approvals that it rests on: a gate that is open without one is
// not believed.
func TestAGateThatNobodyOpenedIsFound(t *testing.T) {
	b := &Book{steps: []rollout.StepPlan{{Name: "few", Gates: []v1alpha1.Gate{{Name: "gate", Type: v1alpha1.GateApproval}}}}}
	turn := &evidence.Turn{}
	turn.Evidence.Open = map[string]bool{"gate": true}
	if err := b.approvals(turn); err == nil {
		t.Error("a gate that nobody opened is open")
	}
	turn.Approvals = []evidence.Approval{{UID: "1", Action: v1alpha1.ActionProceed, Stage: "few", Gate: "gate", Approver: "alice"}}
	if err := b.approvals(turn); err != nil || len(b.Report.Approvals) != 1 {
		t.Errorf("%v, %d approvals", err, len(b.Report.Approvals))
	}
	turn.Evidence.Promoted = true
	if err := b.approvals(turn); err == nil {
		t.Error("a soak is over that nobody promoted")
	}
	turn.Evidence.Promoted = false
	turn.Approvals[0].Stage = "all"
	if err := b.approvals(turn); err == nil {
		t.Error("an approval of another stage opens a gate")
	}
}

func TestAReportIsVerifiedByItsEvidence(t *testing.T) {
	x := aRolledBackRun(t)
	rep := x.report(t)
	if rep.Result != "RolledBack" || len(rep.Cuts) != 1 || len(rep.Leaks) != 1 || rep.Paths[2].Finding != Holds || rep.Paths[0].Finding != CutFinding || rep.Paths[1].Note != "it leaked in commit, and was proved after that" || len(rep.Phases) != 4 {
		t.Fatalf("%+v", rep)
	}
	raw, err := x.JSON()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	if v := Verify(b, rep); v.Err() != nil || len(v.Checks) < 20 || len(v.NotCovered) > 0 {
		t.Errorf("%v, %d checks, not covered: %q", v.Err(), len(v.Checks), v.NotCovered)
	}
}

// What others alone deny when a run ends neither holds nor is cut, whatever was proved
// before, and whether an attempt has failed of it yet or not. A cut stays one.
func TestWhatOthersDenyAtTheEndProvesNothing(t *testing.T) {
	blame := &evidence.Blame{Cause: "Policy", Rule: "ai/isolated ingress: no rule allows it", Outcome: "TimedOut"}
	for _, last := range []probes.Outcome{probes.TimedOut, probes.Reached} {
		for foreign, want := range map[string]Finding{"policy ai/isolated appeared": Inconclusive, "": map[probes.Outcome]Finding{probes.TimedOut: CutFinding, probes.Reached: Holds}[last]} {
			x := aRolledBackRun(t)
			x.book.State = rollout.State{Phase: v1alpha1.PhaseRollingBack, Step: 1, Cause: rollout.CauseAborted}
			end := looking(rollout.Nobody, "")
			for _, i := range []int{0, 2} {
				b := *blame
				b.Foreign, end.Checks[i].Last, end.Checks[i].Blame = foreign, last, &b
			}
			x.turn(t, end, func(turn *evidence.Turn) { turn.Evidence.Restored = true })
			rows := x.report(t).Paths
			if rows[0].Finding != CutFinding {
				t.Errorf("the path that the candidates cut: %s", rows[0].Finding)
			}
			if q := rows[2]; q.Finding != want || foreign != "" && (q.Rule != blame.Rule || !strings.Contains(q.Note, foreign)) {
				t.Errorf("%s, others did %q: %s, %s, %s; want %s", last, foreign, q.Finding, q.Rule, q.Note, want)
			}
		}
	}
}

// Every field of a report, whatever fields there come to be, is either held against
// the evidence or named as not covered.
func TestAnEditOfAnyFieldIsFound(t *testing.T) {
	x := aRolledBackRun(t)
	edited := 0
	var edit func(at string, v reflect.Value, try func(string))
	edit = func(at string, v reflect.Value, try func(string)) {
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "!")
		case reflect.Int, reflect.Int32, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Float64:
			v.SetFloat(v.Float() + 1)
		case reflect.Pointer:
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			} else {
				edit(at, v.Elem(), try)
				v.Set(reflect.Zero(v.Type()))
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Struct && v.Len() == 0 {
				t.Errorf("%s is empty in the example, so nothing shows that it is compared", at)
			}
			for i := range v.Len() {
				edit(fmt.Sprintf("%s[%d]", at, i), v.Index(i), try)
			}
			v.Set(reflect.Append(slicesCopy(v), reflect.New(v.Type().Elem()).Elem()))
		case reflect.Struct:
			if at, ok := v.Interface().(time.Time); ok {
				v.Set(reflect.ValueOf(at.Add(time.Millisecond)))
				break
			}
			for i := range v.NumField() {
				edit(at+"."+v.Type().Field(i).Name, v.Field(i), try)
			}
			return
		default:
			t.Fatalf("%s is a %s: teach this test to edit it", at, v.Kind())
		}
		edited++
		try(at)
		v.Set(was)
	}
	rep := x.report(t)
	edit("", reflect.ValueOf(rep).Elem(), func(at string) {
		v := Verify(&x.Bundle, rep)
		name := strings.SplitN(strings.TrimPrefix(at, "."), "[", 2)[0]
		name, _, _ = strings.Cut(name, ".")
		if _, listed := notWeighed[name]; listed {
			if v.Err() != nil || len(v.NotCovered) != 1 {
				t.Errorf("%s: %v; not covered: %q; want it listed", at, v.Err(), v.NotCovered)
			}
		} else if v.Err() == nil {
			t.Errorf("%s was edited, and the report is verified", at)
		}
	})
	if v := Verify(&x.Bundle, rep); v.Err() != nil || edited < 80 {
		t.Errorf("%d edits; the report is not what it was: %v", edited, v.Err())
	}
}

func slicesCopy(v reflect.Value) reflect.Value {
	out := reflect.MakeSlice(v.Type(), v.Len(), v.Len()+1)
	reflect.Copy(out, v)
	return out
}

// rewritten is a chunk of the bundle after an edit of its content.
func (x *aRunsEvidence) rewritten(t *testing.T, n int, edit func(*evidence.Chunk)) BundledChunk {
	t.Helper()
	var stored []evidence.Stored
	for _, c := range x.Chunks {
		stored = append(stored, evidence.Stored{Where: c.Name, Packed: c.Packed})
	}
	chunks, _, err := evidence.Read(stored, "lockdown-1", "uid-1", HeadOf(x.Run))
	if err != nil {
		t.Fatal(err)
	}
	edit(chunks[n])
	packed, _, err := chunks[n].Text()
	if err != nil {
		t.Fatal(err)
	}
	return BundledChunk{x.Chunks[n].Name, packed}
}

func TestVerifyRefusesAnotherChain(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*testing.T, *aRunsEvidence)
		says string
	}{
		"removed":            {func(_ *testing.T, x *aRunsEvidence) { x.Chunks = slices.Delete(x.Chunks, 1, 2) }, "chunk 2, with digest sha256:"},
		"the newest removed": {func(_ *testing.T, x *aRunsEvidence) { x.Chunks = x.Chunks[:3] }, "chunk 4, with digest sha256:"},
		"changed": {func(t *testing.T, x *aRunsEvidence) {
			x.Chunks[1] = x.rewritten(t, 1, func(c *evidence.Chunk) { c.Entries[0].At = c.Entries[0].At.Add(1) })
		}, "lockdown-1-e2-"},
		"cut short": {func(_ *testing.T, x *aRunsEvidence) { x.Chunks[2].Packed = x.Chunks[2].Packed[:40] }, "lockdown-1-e3-"},
		"repeated": {func(_ *testing.T, x *aRunsEvidence) {
			x.Chunks = append(x.Chunks, BundledChunk{"copy", x.Chunks[1].Packed})
		}, "ConfigMap copy repeats ConfigMap lockdown-1-e2-"},
		"reordered": {func(t *testing.T, x *aRunsEvidence) {
			x.Chunks[1] = x.rewritten(t, 1, func(c *evidence.Chunk) { c.Number = 3 })
			x.Chunks[2] = x.rewritten0(t, 2)
		}, "chunk 3"},
		"another head":    {func(_ *testing.T, x *aRunsEvidence) { x.Run.Status.Evidence.Head = "sha256:00" }, "chunk 4 must have digest sha256:00"},
		"an older head":   {func(_ *testing.T, x *aRunsEvidence) { x.Run.Status.Evidence.Chunks = 3 }, "says that it is chunk 4"},
		"of another run":  {func(_ *testing.T, x *aRunsEvidence) { x.Run.UID = "uid-2" }, "and not of lockdown-1 with UID uid-2"},
		"no evidence":     {func(_ *testing.T, x *aRunsEvidence) { x.Run.Status.Evidence = nil }, "names no evidence"},
		"another result":  {func(_ *testing.T, x *aRunsEvidence) { x.Run.Status.Result = "Committed" }, "the status says result"},
		"another phase":   {func(_ *testing.T, x *aRunsEvidence) { x.Run.Status.Phase = v1alpha1.PhaseCommitted }, "the status says Committed"},
		"another plan":    {func(_ *testing.T, x *aRunsEvidence) { x.Run.Status.PlanDigest = "plan-2" }, "plan-2"},
		"another message": {func(_ *testing.T, x *aRunsEvidence) { x.Run.Status.Message = "all is well" }, "message"},
	} {
		t.Run(name, func(t *testing.T) {
			x := aRolledBackRun(t)
			rep := x.report(t)
			tt.edit(t, x)
			if err := Verify(&x.Bundle, rep).Err(); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v; want it to say %q", err, tt.says)
			}
		})
	}
}

// rewritten0 is a chunk that says it is the second.
func (x *aRunsEvidence) rewritten0(t *testing.T, n int) BundledChunk {
	t.Helper()
	fresh := aRolledBackRun(t)
	return fresh.rewritten(t, n, func(c *evidence.Chunk) { c.Number = 2 })
}

// A controller that wrote down another decision than what it had seen leads to is found,
// however well the chunks fit together.
func TestADecisionThatDoesNotFollowIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*evidence.Turn)
		says string
	}{
		"went elsewhere":   {func(turn *evidence.Turn) { turn.Next = rollout.State{Phase: v1alpha1.PhaseCommitting, Step: 1} }, "and what it had seen leads to RollingBack"},
		"from elsewhere":   {func(turn *evidence.Turn) { turn.At.Step = 0 }, "the one before led to Enforce, step 1"},
		"another sum":      {func(turn *evidence.Turn) { turn.Evidence.Cut = []string{"q"} }, "do not add up"},
		"no cut named":     {func(turn *evidence.Turn) { turn.Cuts = nil }, "names 0 cuts, and 1 rows"},
		"nobody looked":    {func(turn *evidence.Turn) { turn.Look, turn.Cuts = nil, nil }, "nobody looked at"},
		"the row was fine": {func(turn *evidence.Turn) { turn.Look.Checks[0].Flags &^= evidence.Explained }, "do not add up"},
		"a look at some":   {func(turn *evidence.Turn) { turn.Look.Whole = false }, "not at all of them"},
		"another scope":    {func(turn *evidence.Turn) { turn.Look.Scope = rollout.Nobody }, "a look judges scope nobody"},
		"unseen before":    {func(turn *evidence.Turn) { turn.Look.Unseen = true }, "a run sees that"},
	} {
		x := aRolledBackRun(t)
		var stored []evidence.Stored
		for _, c := range x.Chunks {
			stored = append(stored, evidence.Stored{Where: c.Name, Packed: c.Packed})
		}
		chunks, _, err := evidence.Read(stored, "lockdown-1", "uid-1", HeadOf(x.Run))
		if err != nil {
			t.Fatal(err)
		}
		tt.edit(chunks[3].Entries[0].Turn)
		if _, err := Weigh(chunks); !errors.Is(err, errBook) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want it to say %q", name, err, tt.says)
		}
	}
}
