package operator

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// manyPaths is a picture of that many paths, each tried both ways by two agents, and
// all of them work.
func manyPaths(p *Plan, n int) *picture {
	pic := aPicture(v1alpha1.ExpectAllow)
	p.Interval, p.Timeout = time.Second, time.Second
	target := pic.sights[0].route.target
	pic.plan, pic.sights, pic.scope = p, nil, rollout.Everyone
	agents := []types.NamespacedName{{Namespace: "a", Name: "x-front"}, {Namespace: "a", Name: "x-rear"}}
	for _, a := range agents {
		pic.world.pods[a] = &corev1.Pod{}
	}
	for i := range n {
		path := v1alpha1.Path{Name: fmt.Sprintf("path-%d-of-a-platform", i), From: "x", Expect: v1alpha1.ExpectAllow}
		path.To.Service = v1alpha1.ServiceTarget{Namespace: "a", Name: fmt.Sprint("service-", i), Port: 8080}
		p.Paths = append(p.Paths, plan.Path{Path: path, WitnessPath: -1})
		for _, via := range p.Paths[i].Ways() {
			for _, a := range agents {
				pic.sights = append(pic.sights, sight{from: a, id: fmt.Sprint(via, i), route: route{path: i, via: via, target: target, address: "10.0.0.2", port: 8080}})
			}
		}
	}
	return pic
}

// passed makes every check count attempts until a time, about one a second.
func (p *picture) passed(at time.Time, attempts int64) {
	r := rand.New(rand.NewPCG(uint64(at.Unix()), 1))
	p.now = at
	for i := range p.sights {
		n, st := attempts+r.Int64N(3), &p.sights[i].state
		if st.FirstSeen.IsZero() {
			st.FirstSeen = at.Add(-time.Duration(r.Int64N(9000)) * time.Millisecond)
		}
		st.Attempts, st.Connected, st.ConnectedSinceMark = st.Attempts+n, st.Connected+n, st.ConnectedSinceMark+n
		st.Last, st.Streak, st.StreakSinceMark = probes.Reached, st.Streak+int(n), st.StreakSinceMark+int(n)
		st.LastReceived, st.Newest = at, at.Add(-time.Duration(r.Int64N(1000))*time.Millisecond)
	}
}

// A run of 2,048 paths and a month costs at most what a run may cost, and loses no path.
func TestAMonthOfTwoThousandPathsFits(t *testing.T) {
	if spent := month(t, 2048); int(spent) > evidence.Budget {
		t.Errorf("%d bytes, more than %d", spent, evidence.Budget)
	}
}

// BenchmarkEvidence says what a month costs in etcd, by the number of paths.
func BenchmarkEvidence(b *testing.B) {
	for _, paths := range []int{10, 100, 2048} {
		b.Run(fmt.Sprint(paths, " paths"), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(month(b, paths)), "etcd-bytes/run")
			}
		})
	}
}

// month is what the chunks take of a run that lasts a month, with that many paths.
func month(t testing.TB, paths int) evidence.Spent {
	r, at, bytes := record{}, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), 0
	p := aPlan()
	p.Steps = []rollout.StepPlan{{Name: "watch", Phase: v1alpha1.PhaseObserve}, {Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
	p.Identities = []v1alpha1.Identity{{Name: "x", Namespace: "a"}}
	pic := manyPaths(p, paths)
	run := aRun(v1alpha1.PhaseObserve, v1alpha1.IntentRun)
	r.open(run)
	r.begin(p, at)
	began, chunks := at, 0
	write := func() {
		r.closeWindow(at)
		f, err := r.links.Next("plan")
		if err != nil {
			t.Fatal(err)
		}
		run.Status.Evidence = &v1alpha1.Evidence{Head: f.Head.Digest, Chunks: int32(f.Head.Chunks)}
		if _, err := r.links.See(report.HeadOf(run)); err != nil {
			t.Fatal(err)
		}
		r.spent += evidence.Of(f.Size())
		bytes, chunks = bytes+f.Size(), chunks+1
	}
	for day := range 31 * 24 * 60 * 6 { // every ten seconds
		last := at
		at = at.Add(10 * time.Second)
		if !evidence.WindowEnded(last.Sub(began), at.Sub(began)) || !r.spent.Windows() {
			continue
		}
		pic.passed(at, int64(at.Sub(last)/time.Second)+int64(day%7))
		pic.judge()
		r.tally(pic, "stage/1", "all")
		write()
	}
	for range 8 { // decisions
		pic.judge()
		l := pic.looked(nil, "stage/1", "all")
		r.log(evidence.Entry{Look: l}, at)
		write()
	}
	for _, row := range r.Report.Paths {
		if row.Attempts == 0 || row.Finding != report.Holds {
			t.Fatalf("path %q by %s is forgotten: %+v", row.Name, row.Via, row)
		}
	}
	t.Logf("%d rows, %d chunks, %d bytes packed, %d with their objects", len(r.Report.Paths), chunks, bytes, r.spent)
	return r.spent
}
