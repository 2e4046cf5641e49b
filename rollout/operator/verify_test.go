package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// Nobody has seen the paths work before. A failure that no policy explains is a cut
// only if its target is seen to answer: else it may be down.
func TestAPathThatWasNeverSeenToWork(t *testing.T) {
	probe := func(port intstr.IntOrString) func(*picture) {
		return func(p *picture) {
			p.world.pods[p.sights[0].route.target].Spec.Containers = []corev1.Container{{
				Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "admin", ContainerPort: 9090}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}},
			}}
		}
	}
	for _, tt := range []struct {
		name string
		edit func(*picture)
		cut  bool
	}{
		{"nobody else tries the target", func(p *picture) { p.sights = p.sights[:1] }, false},
		{"somebody else gets through to it", func(*picture) {}, true},
		{"somebody else fails, too", func(p *picture) { p.sights[1].state.Last = probes.TimedOut }, false},
		{"somebody else got through long ago", func(p *picture) { p.sights[1].state.LastReceived = p.now.Add(-time.Minute) }, false},
		{"somebody else gets through to another pod", func(p *picture) { p.sights[1].route.target.Name = "other" }, false},
		{"the same probe pod gets through by another way", func(p *picture) {
			p.sights[1].from, p.sights[1].route.via = p.sights[0].from, v1alpha1.ViaService
		}, false}, // a Service may lead to another pod
		{"the kubelet probes that very port", func(p *picture) { p.sights = p.sights[:1]; probe(intstr.FromInt32(8080))(p) }, true},
		{"by its name", func(p *picture) { p.sights = p.sights[:1]; probe(intstr.FromString("http"))(p) }, true},
		{"the kubelet probes another port", func(p *picture) { p.sights = p.sights[:1]; probe(intstr.FromString("admin"))(p) }, false},
		{"the kubelet found it not to answer", func(p *picture) {
			probe(intstr.FromInt32(8080))(p)
			p.world.pods[p.sights[0].route.target].Status.Conditions = nil
		}, false},
		{"a policy denies it, and that is a cut whatever the target does", func(p *picture) { p.sights = p.sights[:1]; p.denied() }, true},
		{"its name does not resolve, and nobody's does", func(p *picture) { p.sights[0].state.Last = probes.DNSFailure }, false},
		{"its name does not resolve, and the name servers answer others", func(p *picture) {
			p.sights[0].state.Last = probes.DNSFailure
			p.controls = []sight{{from: types.NamespacedName{Namespace: "home", Name: "control"}, id: "names/UDP",
				route: route{path: -1, via: v1alpha1.ViaService, protocol: "UDP", witness: true}, state: probes.CheckState{Last: probes.Reached, LastReceived: p.now}}}
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := aPicture(v1alpha1.ExpectAllow)
			p.scope, p.unseen = rollout.Everyone, true
			p.sights[1].id, p.sights[0].id = "w0/server", "p0/server"
			p.failsFor(100, time.Minute)
			tt.edit(p)
			j := p.judge()[cell{0, v1alpha1.ViaPodIP}]
			if (j.cut != nil) != tt.cut || j.proved {
				t.Errorf("cut: %v, proved %v, %q; want cut: %v", j.cut != nil, j.proved, j.note, tt.cut)
			}
			if !tt.cut && j.note == "" {
				t.Error("nobody is told why it proves nothing")
			}
			p.unseen = false
			if j := p.judge()[cell{0, v1alpha1.ViaPodIP}]; !tt.cut && strings.Contains(j.note, "may be down") {
				t.Errorf("a rollout has seen its paths work: %q", j.note)
			}
		})
	}
}

// ending is a verification of paths p, q and warned, by address, that found so much of them.
func ending(rows []report.Path) *verifier {
	x := &verifier{plan: &Plan{}}
	x.record.rows = map[cell]*report.Path{}
	x.record.Report.Paths = rows
	for i, name := range []string{"p", "q", "warned"} {
		path := plan.Path{Path: v1alpha1.Path{Name: name, Via: []v1alpha1.Via{v1alpha1.ViaPodIP}}}
		if name == "warned" {
			path.Criticality = v1alpha1.CriticalityWarning
		}
		x.plan.Paths = append(x.plan.Paths, path)
		if i < len(rows) {
			x.record.rows[cell{i, v1alpha1.ViaPodIP}] = &rows[i]
		}
	}
	return x
}

// A forbidden path that leaked does not hold, however long it was shut since. A
// rollout waits for somebody to repair it: then it does, and the row says what was.
func TestALeakIsNotErased(t *testing.T) {
	for unseen, want := range map[bool]report.Finding{true: report.Leak, false: report.Holds} {
		p := behindService(v1alpha1.ExpectDeny, 1, 0)
		p.unseen = unseen
		c, r := cell{0, v1alpha1.ViaService}, record{}
		r.begin(p.plan, p.now)
		p.tried(20, 0, probes.Reached, 20)
		p.judge()
		r.tally(p, verifyStep, verifyStep)
		p.tried(0, 20, probes.TimedOut, 20) // the newer ones count alone after lost lines
		for range 2 {
			p.judge()
			r.tally(p, verifyStep, verifyStep)
		}
		if row := r.rows[c]; row.Finding != want || !unseen && row.Note != "it leaked in verify, and was proved after that" {
			t.Errorf("nobody changes the policies: %v; row %+v, want %s", unseen, row, want)
		}
	}
}

// watching is a verification that tries a path, and has just begun to.
func watching(now time.Time) *verifier {
	w, p := named()
	p.Candidates = nil
	x := &verifier{Verification: Verification{}.withDefaults(), plan: p, world: w, set: pods.NewSet(context.Background(), func() {})}
	x.record.begin(p, now)
	x.record.State.Settle = time.Second
	x.open(now)
	return x
}

// What was seen under other policies says nothing of those that are there now.
func TestAVerificationBeginsAnewWhenPoliciesChange(t *testing.T) {
	policy := verdict.Policy{Namespace: "a", Name: "one"}
	for _, tt := range []struct {
		name string
		edit func(*world)
		anew bool
	}{
		{"nothing", func(*world) {}, false},
		{"a policy that is new", func(w *world) { w.verdict.Policies = append(w.verdict.Policies, policy) }, true},
		{"a namespace's label", func(w *world) { w.verdict.Namespaces["a"] = map[string]string{"team": "x"} }, true},
		{"a policy of a namespace that no path touches", func(w *world) {
			w.verdict.Policies = append(w.verdict.Policies, verdict.Policy{Namespace: "elsewhere", Name: "one"})
		}, false},
	} {
		now := time.Now()
		x := watching(now)
		x.judge(nil, now)
		x.record.Report.Leaks = []report.Cut{{Path: "to server", Via: "PodIP", Cause: "Leak"}}
		x.broke[cell{0, v1alpha1.ViaPodIP}] = "a rule"
		for _, row := range x.record.rows {
			row.Finding, row.Attempts = report.Holds, 40
		}
		tt.edit(x.world)
		x.anew(now)
		row := x.record.rows[cell{0, v1alpha1.ViaPodIP}]
		if anew := len(x.record.Report.Leaks) == 0 && len(x.broke) == 0 && row.Finding == report.Inconclusive && row.Attempts == 0 && x.cells == nil; anew != tt.anew {
			t.Errorf("%s changed: begun anew %v, want %v", tt.name, anew, tt.anew)
		}
		if x.judge(nil, now.Add(time.Second)); tt.anew && x.cells != nil {
			t.Errorf("%s changed: it judges before that can have taken effect", tt.name)
		}
		if x.judge(nil, now.Add(3*time.Second)); x.cells == nil {
			t.Errorf("%s changed: it never judges", tt.name)
		}
	}
}

// A path that was cut for a while, and works in the end, does not hold.
func TestAPathThatWasCutForAWhileIsNotVerified(t *testing.T) {
	x, c := watching(time.Now()), cell{0, v1alpha1.ViaPodIP}
	for _, row := range x.record.rows {
		row.Finding = report.Holds
	}
	x.broke[c] = "a rule"
	x.healed()
	if result, _, message := x.ending(nil); result != "Inconclusive" || !strings.Contains(message, "it was cut for a while") {
		t.Errorf("%s: %s; want it inconclusive", result, message)
	}
}

// Of nodes that nobody asked whether they enforce policies the report says so, and
// what moved to one of them meanwhile proves nothing.
func TestNodesThatNobodyAskedAreTold(t *testing.T) {
	var nodes []string
	for i := range maxMarkerNodes + 3 {
		nodes = append(nodes, fmt.Sprintf("node-%03d", i))
	}
	for _, tt := range []struct {
		name        string
		first, then []string
		result      string
		says        []string
	}{
		{"all are asked", nodes[:2], nodes[:2], resultVerified, nil},
		{"there are very many", nodes, nodes, resultVerified, []string{"whether 3 nodes enforce policies"}},
		{"something came to another one", nodes[:2], nodes[1:3], "Inconclusive", []string{"whether these nodes enforce policies: node-002"}},
	} {
		x := ending([]report.Path{{Finding: report.Holds}, {Finding: report.Holds}})
		x.asked.ask(tt.first)
		x.asked.see(tt.then)
		x.asked.see(tt.then)
		result, _, message := x.ending(nil)
		var said []string
		for _, n := range x.asked.notTested() {
			said = append(said, n.What)
		}
		if result != tt.result || !slices.Equal(said, tt.says) || strings.Contains(message, "3 were not asked") != (len(x.asked.over) > 0) {
			t.Errorf("%s: %s: %s; not tested %q; want %s, %q", tt.name, result, message, said, tt.result, tt.says)
		}
	}
}

// Two suites may have used one name: what votes is a path and not its name.
func TestAPathOfTheSameNameTakesNobodysVote(t *testing.T) {
	x := ending([]report.Path{{Name: "q", Finding: report.Leak, Rule: "a rule"}, {Name: "q", Finding: report.Holds}, {Name: "q", Finding: report.Holds}})
	for i := range x.plan.Paths {
		x.plan.Paths[i].Name = "q" // the last of them is a warning
	}
	if result, _, message := x.ending(nil); result != resultViolated {
		t.Errorf("%s: %s; want it violated", result, message)
	}
	no, suite := &refusal{}, v1alpha1.ConnectivitySuite{}
	w, p := named()
	suite.Name = "second"
	suite.Spec.Paths = []v1alpha1.Path{p.Paths[0].Path}
	if p.addSuite(&suite, w, no); len(no.reasons) != 1 || !strings.Contains(no.reasons[0], `suite second: path "to server": another path has the same name`) {
		t.Errorf("a second path of one name: %q", no.reasons)
	}
}

// What was seen to break or to leak is told, whatever its row says in the end.
func TestNothingIsVerifiedThatWasSeenToBreak(t *testing.T) {
	for _, edit := range []func(*report.Report){
		func(r *report.Report) {
			r.Leaks = []report.Cut{{Path: "p", Via: "PodIP", Cause: "Leak", Rule: "a rule"}}
		},
		func(r *report.Report) {
			r.Cuts = []report.Cut{{Path: "p", Via: "PodIP", Cause: "Policy", Rule: "a rule"}}
		},
	} {
		x := ending([]report.Path{{Name: "p", Finding: report.Holds}, {Name: "q", Finding: report.Holds}})
		edit(&x.record.Report)
		if result, _, message := x.ending(nil); result != resultViolated || !strings.Contains(message, "p via PodIP was seen to be a") {
			t.Errorf("%s: %s; want it violated", result, message)
		}
	}
}

// A result is good only if every path that votes holds.
func TestHowAVerificationEnds(t *testing.T) {
	rows := func(findings ...report.Finding) []report.Path {
		var out []report.Path
		for i, f := range findings {
			out = append(out, report.Path{Name: []string{"p", "q", "warned"}[i], Via: "PodIP", Finding: f, Rule: "a rule", Note: "a note"})
		}
		return out
	}
	for _, tt := range []struct {
		name    string
		rows    []report.Path
		problem string
		failed  error
		result  string
		says    []string
	}{
		{"all hold", rows(report.Holds, report.Holds), "", nil, resultVerified, []string{"2 of 2 ways of 3 paths hold"}},
		{"nobody tried one of them", rows(report.Holds), "", nil, "Inconclusive", []string{"q via PodIP: nobody tried it"}},
		{"a warning is no violation", rows(report.Holds, report.Holds, report.CutFinding), "", nil, resultVerified, nil},
		{"a cut", rows(report.Holds, report.CutFinding), "", nil, resultViolated, []string{"q via PodIP is a cut: a rule"}},
		{"a leak outweighs what is not proved", rows(report.Inconclusive, report.Leak), "", nil, resultViolated, []string{"q via PodIP is a leak: a rule", "p via PodIP: a note"}},
		{"one is not proved", rows(report.Holds, report.Inconclusive), "", nil, "Inconclusive", []string{"1 of 2 ways are not proved", "q via PodIP: a note"}},
		{"nothing was tried", nil, "", nil, "Inconclusive", nil},
		{"the cluster does not enforce, whatever was seen", rows(report.Holds, report.CutFinding), "no policy acts", nil, "Inconclusive", []string{"nothing was proved: no policy acts"}},
		{"it failed, whatever was seen", rows(report.Holds, report.Holds), "", errInPlace, "Inconclusive", []string{"nothing was proved"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := ending(tt.rows)
			x.problem = tt.problem
			result, _, message := x.ending(tt.failed)
			if result != tt.result {
				t.Errorf("result %s, want %s: %s", result, tt.result, message)
			}
			for _, part := range tt.says {
				if !strings.Contains(message, part) {
					t.Errorf("message %q does not say %q", message, part)
				}
			}
		})
	}
}

func TestOnlyTheNamedPathsAreTried(t *testing.T) {
	p, no := &Plan{Plan: plan.Plan{Paths: []plan.Path{{Path: v1alpha1.Path{Name: "p"}}, {Path: v1alpha1.Path{Name: "q"}}}}}, &refusal{}
	p.only([]string{"q"}, no)
	if len(no.reasons) > 0 || len(p.Paths) != 1 || p.Paths[0].Name != "q" {
		t.Errorf("%v: %+v", no.reasons, p.Paths)
	}
	p.only([]string{"moon"}, no)
	if len(no.reasons) != 1 || !strings.Contains(no.reasons[0], `"moon": there are "q"`) {
		t.Errorf("%q", no.reasons)
	}
}
