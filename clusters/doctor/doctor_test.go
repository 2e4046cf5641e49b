package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// newExaminer examines an API server in memory.
func newExaminer(t *testing.T, f interceptor.Funcs, objects ...client.Object) *examiner {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.EnforcementProfile{}).WithInterceptorFuncs(f).Build()
	return &examiner{Options: Options{}.withDefaults(), api: api, placer: &pods.Placer{
		Owner: writer.Owner{Name: Prefix + "x", UID: "u"}, Write: writer.New(api, writer.Options{}), Live: api}}
}

// says are the checks of a name, with their states.
func (x *examiner) says(name string) string {
	var all []string
	for _, c := range x.found.Checks {
		if c.Name == name {
			all = append(all, string(c.State)+": "+c.Says+" "+strings.Join(c.Do, " && "))
		}
	}
	return strings.Join(all, "\n")
}

func TestWhatAnOldRunLeftIsNamedWithWhatRemovesIt(t *testing.T) {
	old, young := metav1.NewTime(time.Now().Add(-time.Hour)), metav1.NewTime(time.Now())
	of := func(owner, namespace, name, role string, made metav1.Time) metav1.ObjectMeta {
		m := writer.Owner{Name: owner, UID: "v"}.Meta(namespace, name, role)
		m.CreationTimestamp = made
		return m
	}
	x := newExaminer(t, interceptor.Funcs{},
		&v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "alive-1"}},
		&corev1.Pod{ObjectMeta: of("alive-1", "ai", "a", "probe", old)},
		&corev1.Pod{ObjectMeta: of("dead-1", "ai", "b", "probe", old)}, &networkingv1.NetworkPolicy{ObjectMeta: of("dead-1", "ai", "c", "candidate", old)},
		&corev1.ConfigMap{ObjectMeta: of("dead-1", "ai", "r", "report", old)},
		&corev1.Namespace{ObjectMeta: of("tightrope-verify-1", "", "tightrope-verify-1", "check", old)}, &corev1.Pod{ObjectMeta: of("tightrope-verify-1", "tightrope-verify-1", "d", "check", old)},
		&corev1.Pod{ObjectMeta: of("tightrope-verify-2", "ai", "e", "probe", young)},
		&corev1.Pod{ObjectMeta: of(Prefix+"x", "ai", "f", "check", old)},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "theirs", Labels: map[string]string{v1alpha1.LabelOriginal: "dead-1"}}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "in-use", Labels: map[string]string{v1alpha1.LabelOriginal: "alive-1"}}},
	)
	x.leftovers(t.Context())
	got := x.says("leftovers")
	for _, want := range []string{
		"Problem: of dead-1, which is not there any more: networkpolicy ai/c, pod ai/b kubectl -n ai delete networkpolicies -l tightrope.dev/run=dead-1,tightrope.dev/role!=bridge && kubectl -n ai delete networkpolicies,pods,configmaps -l tightrope.dev/run=dead-1",
		"Problem: of tightrope-verify-1, which is not there any more: namespace tightrope-verify-1, pod tightrope-verify-1/d kubectl delete namespace tightrope-verify-1",
		"Note: tightrope-verify-2 may be under way",
		"Problem: policy ai/theirs is not as its author wrote it: dead-1, which is not there any more, has changed it.",
		`kubectl -n ai get networkpolicy theirs -o jsonpath='{.metadata.annotations.tightrope\.dev/original}'`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout\n%s", got, want)
		}
	}
	if strings.Contains(got, "alive-1") || strings.Contains(got, Prefix+"x") || strings.Contains(got, "ai/r") || strings.Contains(got, "in-use") {
		t.Errorf("what is in use, or is to stay, is called a leftover:\n%s", got)
	}
}

// An examination may be told to take long. How long its pods last says so, and no longer.
func TestWhatMayBeUnderWayIsNoLeftover(t *testing.T) {
	placed := func(owner, name string, ago, lasts time.Duration) (*corev1.Namespace, *corev1.Pod) {
		of := writer.Owner{Name: owner, UID: "v"}
		home, pod := &corev1.Namespace{ObjectMeta: of.Meta("", owner, "check")}, &corev1.Pod{ObjectMeta: of.Meta(owner, name, "check")}
		home.CreationTimestamp, pod.CreationTimestamp = metav1.NewTime(time.Now().Add(-ago)), metav1.NewTime(time.Now().Add(-ago))
		if lasts > 0 {
			pod.Spec.ActiveDeadlineSeconds = ptr.To(int64(lasts.Seconds()))
		}
		return home, pod
	}
	var objects []client.Object
	for owner, of := range map[string][2]time.Duration{
		Prefix + "long": {20 * time.Minute, 31 * time.Minute}, "tightrope-verify-long": {20 * time.Minute, 31 * time.Minute},
		Prefix + "over": {40 * time.Minute, 31 * time.Minute}, Prefix + "young": {time.Minute, time.Second},
		Prefix + "none": {20 * time.Minute, 0}, "run-1": {20 * time.Minute, 31 * time.Minute},
	} {
		home, pod := placed(owner, "p", of[0], of[1])
		objects = append(objects, home, pod)
	}
	x := newExaminer(t, interceptor.Funcs{}, objects...)
	x.leftovers(t.Context())
	got := x.says("leftovers")
	for owner, removed := range map[string]bool{Prefix + "long": false, "tightrope-verify-long": false, Prefix + "over": true, Prefix + "young": false, Prefix + "none": true, "run-1": true} {
		if strings.Contains(got, "delete namespace "+owner) != removed || strings.Contains(got, "Note: "+owner+" may be under way, for at most ") == removed {
			t.Errorf("%s: it is a leftover: %v\n%s", owner, removed, got)
		}
	}
	if !strings.Contains(got, Prefix+"long may be under way, for at most 11m0s more") {
		t.Errorf("%s", got)
	}
}

// A right that is missing leaves a check open. It never passes.
func TestWhatMayNotBeReadIsNotKnown(t *testing.T) {
	x := newExaminer(t, interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New("you may not"))
	}})
	if nodes := x.nodes(t.Context()); len(nodes) != 0 {
		t.Errorf("nodes %v", nodes)
	}
	if err := x.enforcement(t.Context(), nil); err != nil {
		t.Error(err)
	}
	x.reach()
	x.identify(t.Context())
	x.kinds(t.Context())
	x.dns(t.Context())
	x.families(t.Context())
	x.namespaces(t.Context())
	x.leftovers(t.Context())
	names := map[string]bool{}
	for _, c := range x.found.Checks {
		names[c.Name] = true
		if c.State != Unknown || c.Says == "" {
			t.Errorf("%+v; want it not known, and why", c)
		}
	}
	if len(names) != 14 || x.found.Enforces {
		t.Errorf("%d checks: %v; enforces %v", len(names), names, x.found.Enforces)
	}
	raw, err := json.Marshal(x.found)
	if err != nil || !strings.Contains(string(raw), `"state":"Unknown"`) {
		t.Errorf("%s, %v", raw, err)
	}
}

// The API server says in its own words why a namespace would take no probe pod.
func TestNamespacesThatRefuseAProbePodAreNamed(t *testing.T) {
	var asked []string
	x := newExaminer(t, interceptor.Funcs{Create: func(_ context.Context, _ client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if len(new(client.CreateOptions).ApplyOptions(opts).DryRun) == 0 {
			t.Errorf("%s was made, and not only rehearsed", o.GetName())
		}
		asked = append(asked, o.GetNamespace())
		switch o.GetNamespace() {
		case "tight":
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "p", errors.New("exceeded quota: tight"))
		case "slow":
			return apierrors.NewInternalError(errors.New("webhook does not answer"))
		}
		return nil
	}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tight"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "slow"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "open"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "open", Name: "reg"}})
	x.Pods.PullSecrets = []string{"reg"}
	x.namespaces(t.Context())
	got := x.says("probe pods") + x.says("pull secrets")
	for _, want := range []string{"Problem: namespace tight refuses one:", "exceeded quota: tight", ": namespace slow: ", "OK: 1 of 3 namespaces take one", "namespace tight has no Secret reg"} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout %q", got, want)
		}
	}
	if len(asked) != 3 || strings.Contains(got, "namespace open has no Secret") {
		t.Errorf("asked %v: %s", asked, got)
	}
}

func TestTimesAreADistribution(t *testing.T) {
	var sorted []time.Duration
	for i := 1; i <= 10; i++ {
		sorted = append(sorted, time.Duration(i)*100*time.Millisecond)
	}
	if got := *timesOf(sorted); got != (Times{10, 100, 500, 900, 1000, 1000}) {
		t.Errorf("%+v", got)
	}
	if got := *timesOf(sorted[:1]); got != (Times{1, 100, 100, 100, 100, 100}) {
		t.Errorf("%+v", got)
	}
	if timesOf(nil) != nil {
		t.Error("no sample is no time")
	}
}

func TestHowAConnectionIsDenied(t *testing.T) {
	in, out := enforcing.Pair{Node: "n", Direction: networkingv1.PolicyTypeIngress}, enforcing.Pair{Node: "n", Direction: networkingv1.PolicyTypeEgress}
	for want, outcomes := range map[string][2]probes.Outcome{
		"Drop": {probes.TimedOut, probes.TimedOut}, "Reject": {probes.Refused, probes.Unreachable}, "Mixed": {probes.TimedOut, probes.Refused}, "": {},
	} {
		x := newExaminer(t, interceptor.Funcs{})
		x.denied(enforcing.Result{Added: []enforcing.Flip{{Denied: map[enforcing.Pair]probes.Outcome{in: outcomes[0], out: outcomes[1]}}}})
		if x.found.Deny != want || (want == "") != (x.found.Checks[0].State == Unknown) {
			t.Errorf("%v: %q, %+v; want %q", outcomes, x.found.Deny, x.found.Checks, want)
		}
	}
}

func TestOtherPolicyKinds(t *testing.T) {
	x := newExaminer(t, interceptor.Funcs{})
	x.Kinds = func(context.Context) ([]PolicyKind, []string, error) {
		return []PolicyKind{{Kind: "CiliumNetworkPolicy", Group: "cilium.io", Objects: 3, Understood: true}, {Kind: "XNetworkPolicy", Group: "x.io"},
			{Kind: "YNetworkPolicy", Group: "y.io", Objects: -1, Why: "you may not list them"}}, []string{"group z.io does not answer"}, nil
	}
	x.kinds(t.Context())
	got := x.says("other policy kinds")
	for _, want := range []string{"Note: CiliumNetworkPolicy of cilium.io: 3; a rollout is refused where", "XNetworkPolicy of x.io: 0; Tightrope does not know which pods",
		": YNetworkPolicy of y.io: how many is not known: you may not list them", ": group z.io does not answer"} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout %q", got, want)
		}
	}
	if strings.Contains(got, "OK:") {
		t.Errorf("what is not known is fine:\n%s", got)
	}
}

// The headline says as much as the check below it.
func TestTheHeadlineSaysWhatWasShown(t *testing.T) {
	of := func(late ...enforcing.Pair) enforcing.Result {
		f := enforcing.Flip{Took: map[enforcing.Pair]time.Duration{}, Late: late}
		if len(late) < 2 {
			f.Took[in1] = time.Second
		}
		return enforcing.Result{Added: []enforcing.Flip{f}}
	}
	stuck := enforcing.Result{Added: []enforcing.Flip{flip(time.Second, in1, out1)}, Removed: []enforcing.Flip{{Late: []enforcing.Pair{in1}}}}
	for want, tt := range map[string]struct {
		r   enforcing.Result
		err error
	}{
		"c: this cluster does not enforce NetworkPolicy (0 s)\n":                   {of(in1, out1), nil},
		"c: this cluster does not enforce NetworkPolicy everywhere (0 s)\n":        {of(out1), nil},
		"c: this cluster is slow to let go (0 s)\n":                                {stuck, nil},
		"c: it was not shown that this cluster enforces NetworkPolicy (0 s)\n":     {enforcing.Result{}, errors.New("nobody was heard")},
		"c: this cluster enforces NetworkPolicy on every node that was measured (": {enforcing.Result{Added: stuck.Added, Removed: stuck.Added}, nil},
	} {
		x := newExaminer(t, interceptor.Funcs{})
		x.found.Cluster = "c"
		x.enforced([]string{"n1"}, tt.r, tt.err)
		var b strings.Builder
		if err := WriteText(&b, &x.found, strings.TrimSpace); err != nil || !strings.HasPrefix(b.String(), want) {
			t.Errorf("%v\n%swant %q", err, &b, want)
		}
	}
}

func TestTextSaysNothingThatOutsideWrote(t *testing.T) {
	var b strings.Builder
	e := &Examination{Cluster: "c\x1b[2J", Checks: []Check{{Name: "n", Says: "s\x1b[2J", Do: []string{"d\x1b[2J"}}}}
	err := WriteText(&b, e, func(s string) string { return strings.ReplaceAll(s, "\x1b", "") })
	if err != nil || strings.Contains(b.String(), "\x1b") || !strings.Contains(b.String(), "it was not shown that this cluster enforces") || !strings.Contains(b.String(), "? not known n:") {
		t.Errorf("%v: %q", err, b.String())
	}
}
