package operator

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
)

func TestOurLabelsAreNoIdentitys(t *testing.T) {
	no := &refusal{reasons: planner.Reserved("s", []v1alpha1.Identity{
		{Name: controlIdentity, Namespace: "a"}, {Name: "x", Namespace: "a", Labels: map[string]string{v1alpha1.LabelRole: "web", "app": "x"}},
		{Name: "dns", Namespace: "kube-system", Labels: map[string]string{"k8s-app": "kube-dns"}},
	})}
	if got := no.Error(); len(no.reasons) != 3 || !strings.Contains(got, `identity "dns" lives in namespace kube-system, which is protected`) || !strings.Contains(got, `identity "tightrope-control" is called like one of Tightrope's own pods`) || !strings.Contains(got, `identity "x" has label tightrope.dev/role`) {
		t.Errorf("refused %q", got)
	}
	id := v1alpha1.Identity{Name: "x", Namespace: "a", Labels: map[string]string{v1alpha1.LabelRole: "web", v1alpha1.LabelRun: "another", "app": "web"}}
	p := aPlan()
	b := newBench(t)
	s := newSession(t.Context(), func() {})
	defer s.close()
	s.plan = p
	if _, err := b.ensureAgent(t.Context(), s, b.look(), p.agent(id, true, nil, nil)); err != nil {
		t.Fatal(err)
	}
	for _, pod := range b.look().pods {
		if pod.Labels[v1alpha1.LabelRole] != roleProbe || !p.key().Made(pod) || pod.Labels["app"] != "web" {
			t.Errorf("labels %v: the pod hides from its run", pod.Labels)
		}
		return
	}
	t.Error("no pod was made")
}

// The VPC CNI of EKS takes pods of one node for replicas of a workload whose names differ
// after the last dash only, and two probe pods that share its state judge each other's.
func TestProbePodsDifferBeforeTheLastDash(t *testing.T) {
	w, p := named()
	p.PodEnding = plan.PodEnding
	p.Identities = append(p.Identities, v1alpha1.Identity{Name: "client-front", Namespace: "a"}, v1alpha1.Identity{Name: "client-rear", Namespace: "a"})
	for _, id := range p.Identities[1:] {
		path := aPath("from "+id.Name, "a", "server", 8080, "TCP")
		path.From = id.Name
		p.Paths = append(p.Paths, path)
	}
	all := map[string]string{}
	agents := p.agents(w, nil)
	for _, a := range agents {
		workload := a.name.Namespace + "/" + a.name.Name[:strings.LastIndex(a.name.Name, "-")]
		if first := all[workload]; first != "" {
			t.Errorf("%s and %s are taken for replicas of %s", first, a.name, workload)
		}
		all[workload] = a.name.String()
	}
	if len(agents) != 7 {
		t.Errorf("%d probe pods, want two of each identity and the control pod", len(agents))
	}
}

// Monitoring knows every pod of ours by one label, whatever a step does to the others.
func TestEveryProbePodHasTheLabelThatMonitoringKnowsItBy(t *testing.T) {
	p := aPlan()
	node := agentSpec{node: "n", plan: probes.Plan{Run: p.Run}}
	for name, spec := range map[string]pods.Spec{
		"of an identity": p.agent(v1alpha1.Identity{Name: "x"}, true, nil, nil).pod(p.key()), "control": p.agent(p.control(), false, nil, nil).pod(p.key()),
		"twin": twinSpec(p.Run).twin(p.key(), nil), "marker": node.pod(p.key()), "marker that answers": node.twin(p.key(), nil),
	} {
		_, marked := spec.Marks[v1alpha1.LabelRole]
		if label := p.key().Meta("a", "x", spec.Role).Labels[v1alpha1.LabelRole]; label == "" || marked || slices.Contains(spec.Own, v1alpha1.LabelRole) {
			t.Errorf("%s: label %q, %+v", name, label, spec)
		}
	}
	raw, err := os.ReadFile("../../docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	metric := "label_" + strings.NewReplacer(".", "_", "/", "_").Replace(v1alpha1.LabelRole) + `=""`
	if _, quiet, _ := strings.Cut(string(raw), "## Quiet neighbours"); !strings.Contains(quiet, "`"+v1alpha1.LabelRole+"`") || !strings.Contains(quiet, metric) {
		t.Errorf("docs/production.md does not name %s and %s:\n%s", v1alpha1.LabelRole, metric, quiet)
	}
}

// A probe pod that is made in a step starts long after it was asked for, and policies
// may judge it a little later still. What it says until then proves nothing.
func TestWhatAProbePodSaysAsItStartsProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(t.Context(), func() {})
		defer s.close()
		s.plan = aPlan()
		s.settleTime, s.settledAt = time.Second, time.Now()
		name := types.NamespacedName{Namespace: "a", Name: "client"}
		spec := agentSpec{name: name, plan: probes.Plan{Run: "r-1", Agent: name.String()}}
		s.listen(mute{}, []agentSpec{spec})
		time.Sleep(10 * time.Second) // its image is pulled
		seq := uint64(0)
		speak := func() int64 {
			from := time.Now()
			time.Sleep(100 * time.Millisecond)
			seq++
			s.pods.Hear(name, probes.Line{Agent: name.String(), Boot: "b", Seq: seq, Digest: spec.plan.Digest(), From: from, To: time.Now(), Counts: []probes.Count{{
				ID: "p", Outcomes: map[probes.Outcome]int{probes.Reached: 1}, Last: probes.Reached, Streak: int(seq), Newest: time.Now(),
			}}}, time.Now())
			s.listen(mute{}, []agentSpec{spec})
			st, _ := s.pods.State(name, "p")
			return st.ConnectedSinceMark
		}
		for range 5 {
			if n := speak(); n > 0 {
				t.Fatalf("%d attempts count %d lines after the pod was first heard", n, seq)
			}
		}
		time.Sleep(2 * s.settleTime)
		if speak(); speak() == 0 {
			t.Error("its attempts never count")
		}
	})
}

// A quota that leaves no room, or a webhook that says no, is a person's to change:
// the run ends at once with what the API server said, and not after minutes.
func TestARunWhoseProbePodsAreRefusedEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forbidden := interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if p, ok := o.(*corev1.Pod); ok {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, p.Name, errors.New("exceeded quota: tight, requested: cpu=10m"))
			}
			return c.Create(ctx, o, opts...)
		}}
		run := aRun(v1alpha1.PhasePreflight, v1alpha1.IntentRun)
		r, s := runningOver(t, forbidden, run)
		defer s.close()
		began, key := time.Now(), client.ObjectKeyFromObject(run)
		var now v1alpha1.PolicyRolloutRun
		for !now.Status.Phase.Terminal() && time.Since(began) < time.Minute {
			_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}) // what it cannot do is tried again
			if err := r.Get(t.Context(), key, &now); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tick)
		}
		if took := time.Since(began); now.Status.Phase != v1alpha1.PhaseRefused || took > 10*time.Second {
			t.Errorf("after %v: %s; want it refused within seconds", took, describe(&now))
		}
		if !strings.Contains(now.Status.Message, "exceeded quota: tight, requested: cpu=10m") {
			t.Errorf("message %q is not in the API server's words", now.Status.Message)
		}
	})
}
