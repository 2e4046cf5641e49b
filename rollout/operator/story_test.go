package operator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

var patchOptions = metav1.PatchOptions{}

// story is one rollout in a namespace of its own, with an operator of its own
// that sees nothing of the other stories.
type story struct {
	t   *testing.T
	c   *cluster
	ctx context.Context
	ns  string // also the name of the rollout and of its suite

	also         []string        // namespaces of the story beside ns
	uid          types.UID       // of the rollout; empty until begin
	attempt      int64           // that the story is about; 0: the first
	bent         bend            // what the data plane does from the start
	controller   *rest.Config    // the operator's; nil: an administrator's, of a single tenant
	sees         labels.Selector // of policies that the operator's cache shows; nil: all
	stopOperator func()
	baseline     []networkingv1.NetworkPolicy
}

// newStory makes a namespace with a client, two servers behind a Service, and
// another client that must not get through once the candidates are in force.
func newStory(t *testing.T) *story {
	t.Helper()
	c := up(t)
	ctx, stop := context.WithTimeout(context.Background(), patience)
	t.Cleanup(stop)
	s := &story{t: t, c: c, ctx: ctx, ns: c.name("story")}
	s.furnish()
	return s
}

func (s *story) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.ns, Name: name}
}

func (s *story) create(o client.Object) {
	s.t.Helper()
	if err := s.c.client.Create(s.ctx, o); err != nil {
		s.t.Fatalf("create %T %s: %v", o, o.GetName(), err)
	}
}

// pod makes a workload pod and waits until it runs.
func (s *story) pod(name string, labels map[string]string) *corev1.Pod {
	s.t.Helper()
	await(s, &corev1.ServiceAccountList{}, "a service account", func(sa *corev1.ServiceAccount) bool { return sa.Name == "default" })
	pod := &corev1.Pod{ObjectMeta: s.meta(name), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}}}
	pod.Labels = labels
	pod.Spec.NodeName = theNodes[int(name[len(name)-1])%len(theNodes)] // server-1 is elsewhere than the others
	s.create(pod)
	return await(s, &corev1.PodList{}, "pod "+name, func(p *corev1.Pod) bool { return p.Name == name && p.Status.PodIP != "" })
}

// await waits for an object of the story's namespace, by watching.
func await[T client.Object](s *story, list client.ObjectList, what string, is func(T) bool) T {
	s.t.Helper()
	var last T
	for s.ctx.Err() == nil {
		w, err := s.c.client.Watch(s.ctx, list, client.InNamespace(s.ns))
		if err != nil {
			s.t.Fatalf("watch %s: %v", what, err)
		}
		for e := range w.ResultChan() {
			o, ok := e.Object.(T)
			if !ok || e.Type == watch.Deleted {
				continue
			}
			last = o
			if is(o) {
				w.Stop()
				return o
			}
		}
		w.Stop()
	}
	s.t.Fatalf("%s did not come; last seen: %s", what, describe(last))
	return last
}

func describe(o any) string {
	if run, ok := o.(*v1alpha1.PolicyRolloutRun); ok && run != nil {
		st := run.Status
		return fmt.Sprintf("%s/%s cause %q result %q: %s", st.Phase, st.Stage, st.Cause, st.Result, st.Message)
	}
	return fmt.Sprintf("%T", o)
}

// operate starts an operator over the story's namespace.
func (s *story) operate() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	watched := map[string]cache.Config{v1alpha1.SystemNamespace: {}}
	for _, ns := range s.namespaces() {
		watched[ns] = cache.Config{}
	}
	shown := map[client.Object]cache.ByObject{}
	if s.sees != nil {
		shown[&networkingv1.NetworkPolicy{}] = cache.ByObject{Label: s.sees}
	}
	mgr, err := ctrl.NewManager(cmp.Or(s.controller, s.c.config), ctrl.Options{
		Scheme: testScheme(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Cache:      cache.Options{ByObject: shown, DefaultNamespaces: watched},
	})
	if err == nil {
		err = Setup(ctx, mgr, Options{Logs: s.c.plane, SingleTenant: s.controller == nil})
	}
	if err != nil {
		cancel()
		s.t.Fatalf("operator: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	s.stopOperator = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("operator: %v", err)
		}
	}
	s.t.Cleanup(s.stopOperator)
}

// allow is a policy that lets the peer's app through on a port.
func (s *story) policy(name string, pods map[string]string, direction networkingv1.PolicyType, peer string, port int32) v1alpha1.CandidatePolicy {
	peers := []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": peer}}}}
	ports := []networkingv1.NetworkPolicyPort{{Port: ptr.To(intstr.FromInt32(port))}}
	spec := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: pods}, PolicyTypes: []networkingv1.PolicyType{direction}}
	if direction == networkingv1.PolicyTypeEgress {
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}}
	} else {
		spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}}
	}
	return v1alpha1.CandidatePolicy{Namespace: s.ns, Name: name, Spec: spec}
}

// good are candidates that keep every expected path.
func (s *story) good() []v1alpha1.CandidatePolicy {
	return []v1alpha1.CandidatePolicy{
		s.policy("client-egress", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "server", 8080),
		s.policy("server-ingress", map[string]string{"app": "server"}, networkingv1.PolicyTypeIngress, "client", 8080),
	}
}

func (s *story) suite() *v1alpha1.ConnectivitySuite {
	to := v1alpha1.Target{Service: v1alpha1.ServiceTarget{Namespace: s.ns, Name: "server", Port: 80}}
	return &v1alpha1.ConnectivitySuite{ObjectMeta: s.meta(s.ns), Spec: v1alpha1.ConnectivitySuiteSpec{
		Identities: []v1alpha1.Identity{
			{Name: "client", Namespace: s.ns, Labels: map[string]string{"app": "client"}},
			{Name: "other", Namespace: s.ns, Labels: map[string]string{"app": "other"}},
		},
		Paths: []v1alpha1.Path{
			{Name: "client to server", From: "client", To: to, Expect: v1alpha1.ExpectAllow},
			{Name: "other to server", From: "other", To: to, Expect: v1alpha1.ExpectDeny},
		},
	}}
}

func (s *story) rollout(candidates []v1alpha1.CandidatePolicy) *v1alpha1.PolicyRollout {
	one := intstr.FromInt32(1)
	return &v1alpha1.PolicyRollout{ObjectMeta: s.meta(s.ns), Spec: v1alpha1.PolicyRolloutSpec{
		Policies: v1alpha1.PolicySource{Inline: candidates},
		Suites:   []v1alpha1.SuiteRef{{Name: s.ns}},
		Stages: []v1alpha1.Stage{
			{Name: "observe", Mode: v1alpha1.ModeObserve},
			{Name: "shadow", Mode: v1alpha1.ModeShadow},
			{Name: "few", Mode: v1alpha1.ModeCanary, Scope: v1alpha1.Scope{MaxPods: &one}},
			{Name: "all", Mode: v1alpha1.ModeEnforce},
		},
		Analysis: v1alpha1.Analysis{Interval: metav1.Duration{Duration: 40 * time.Millisecond}, Timeout: metav1.Duration{Duration: 40 * time.Millisecond}},
	}}
}

// begin writes down the baseline and starts the operator and the rollout.
func (s *story) begin(ro *v1alpha1.PolicyRollout) {
	s.t.Helper()
	s.beginWith(ro, s.suite())
}

func (s *story) beginWith(ro *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
	s.t.Helper()
	s.baseline = s.policies()
	s.create(suite)
	s.create(ro)
	s.uid = ro.UID
	s.c.plane.bend(s.run(), s.bent)
	s.operate()
}

func (s *story) run() string { return s.runOf(1) }

func (s *story) runOf(generation int64) string {
	return RunName(s.ns, s.uid, generation, max(s.attempt, firstAttempt))
}

// until waits until the run is as wanted.
func (s *story) until(what string, is func(*v1alpha1.PolicyRolloutRunStatus) bool) *v1alpha1.PolicyRolloutRun {
	s.t.Helper()
	return await(s, &v1alpha1.PolicyRolloutRunList{}, what, func(run *v1alpha1.PolicyRolloutRun) bool {
		if run.Name == s.run() && run.Status.Phase.Terminal() && what != "the end" && !is(&run.Status) {
			s.t.Fatalf("the run ended before %s: %s", what, describe(run))
		}
		return run.Name == s.run() && is(&run.Status)
	})
}

// reach waits for a phase or a stage.
func (s *story) reach(place string) {
	s.t.Helper()
	s.until(place, func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		return string(st.Phase) == place || st.Stage == place && !st.Phase.Terminal()
	})
}

// end waits until the run is over and tidied.
func (s *story) end() v1alpha1.PolicyRolloutRunStatus {
	s.t.Helper()
	return s.until("the end", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		return st.Phase.Terminal() && meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionTidied)
	}).Status
}

func (s *story) abort() {
	s.t.Helper()
	s.want(v1alpha1.IntentAbort)
}

func (s *story) policies() []networkingv1.NetworkPolicy {
	s.t.Helper()
	var all []networkingv1.NetworkPolicy
	for _, ns := range s.namespaces() {
		var list networkingv1.NetworkPolicyList
		if err := s.c.client.List(s.ctx, &list, client.InNamespace(ns)); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, list.Items...)
	}
	return all
}

// wantEnd checks how a run ended, that the report says the same, and that the
// namespace holds exactly the baseline, or it and the candidates, and nothing of ours.
func (s *story) wantEnd(st v1alpha1.PolicyRolloutRunStatus, phase v1alpha1.Phase, cause, result string) report.Report {
	s.t.Helper()
	if st.Phase != phase || st.Cause != cause || st.Result != result {
		s.t.Errorf("ended %s, cause %q, result %q (%s); want %s, %q, %q", st.Phase, st.Cause, st.Result, st.Message, phase, cause, result)
	}
	s.wantPolicies(st.Phase == v1alpha1.PhaseCommitted)
	s.wantNothingLeft()
	rep := s.report()
	if rep.Result != st.Result || rep.Cause != st.Cause {
		s.t.Errorf("the report says %q, cause %q; the run %q, %q", rep.Result, rep.Cause, st.Result, st.Cause)
	}
	return rep
}

// accepting is a rollout whose author wants to see the data plane cut the path.
func (s *story) accepting(policies []v1alpha1.CandidatePolicy) *v1alpha1.PolicyRollout {
	ro := s.rollout(policies)
	ro.Spec.Exceptions = []v1alpha1.Exception{{Type: v1alpha1.ExceptionPredictedCut, Path: "client to server", Reason: "the data plane is to show it"}}
	return ro
}

func (s *story) wantPolicies(committed bool) {
	s.t.Helper()
	want := map[string]string{}
	for _, np := range s.baseline {
		want[np.Name] = plan.SumOf(np.Spec)
	}
	if committed {
		var ro v1alpha1.PolicyRollout
		if err := s.c.client.Get(s.ctx, types.NamespacedName{Namespace: s.ns, Name: s.ns}, &ro); err != nil {
			s.t.Fatal(err)
		}
		for _, c := range ro.Spec.Policies.Inline {
			np := &networkingv1.NetworkPolicy{ObjectMeta: s.meta(c.Name), Spec: c.Spec}
			np.Name += "-as-defaulted"
			if err := s.c.client.Create(s.ctx, np, client.DryRunAll); err != nil {
				s.t.Fatal(err)
			}
			want[c.Name] = plan.SumOf(np.Spec)
		}
	}
	for _, np := range s.policies() {
		if np.Labels[v1alpha1.LabelRun] != "" || np.Labels[v1alpha1.LabelRole] != "" {
			s.t.Errorf("policy %s still carries our labels %v", np.Name, np.Labels)
		}
		if plan.SumOf(np.Spec) != want[np.Name] {
			s.t.Errorf("policy %s is none of the wanted set, or differs: %+v", np.Name, np.Spec)
		}
		delete(want, np.Name)
	}
	for name := range want {
		s.t.Errorf("policy %s is missing", name)
	}
}

func (s *story) wantNothingLeft() {
	s.t.Helper()
	for _, ns := range append(s.namespaces(), v1alpha1.SystemNamespace) {
		var pods corev1.PodList
		var policies networkingv1.NetworkPolicyList
		if err := s.c.client.List(s.ctx, &pods, client.InNamespace(ns)); err != nil {
			s.t.Fatal(err)
		}
		if err := s.c.client.List(s.ctx, &policies, client.InNamespace(ns), client.MatchingLabels{v1alpha1.LabelRun: s.run()}); err != nil {
			s.t.Fatal(err)
		}
		for _, pod := range pods.Items {
			if pod.Labels[v1alpha1.LabelRun] == s.run() || pod.Labels[v1alpha1.LabelEnforced] == s.run() {
				s.t.Errorf("pod %s/%s is left, or marked: %v", ns, pod.Name, pod.Labels)
			}
		}
		for _, np := range policies.Items {
			s.t.Errorf("policy %s/%s is left", ns, np.Name)
		}
		var maps corev1.ConfigMapList
		if err := s.c.client.List(s.ctx, &maps, client.InNamespace(ns), client.MatchingLabels{v1alpha1.LabelRun: s.run()}); err != nil {
			s.t.Fatal(err)
		}
		for _, cm := range maps.Items {
			if cm.Labels[v1alpha1.LabelRole] != roleEvidence && cm.Name != s.run() {
				s.t.Errorf("ConfigMap %s/%s is left", ns, cm.Name)
			}
		}
	}
}

func (s *story) wantPhases(rep report.Report, want ...string) {
	s.t.Helper()
	var got []string
	for _, p := range rep.Phases {
		got = append(got, p.Name)
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			s.t.Errorf("phases %v lack %s", got, name)
		}
	}
}
