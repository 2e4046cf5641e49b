package operator

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// outlook is what a rollout is to be applied to, and the rollout.
type outlook struct {
	t       *testing.T
	s       *story // of a namespace that is nowhere
	ro      *v1alpha1.PolicyRollout
	suite   *v1alpha1.ConnectivitySuite
	made    Made
	cluster Cluster
	stored  []client.Object // that the API server has, beside the cluster
	others  []runtime.Object
	tenants bool
}

// newOutlook is the good rollout of the stories, which nothing stands in the way of.
func newOutlook(t *testing.T) *outlook {
	f := &outlook{t: t, s: &story{t: t, ns: "a"}}
	f.ro, f.suite = f.s.rollout(f.s.good()), f.s.suite()
	f.cluster.Namespaces = []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{labelNamespace: "a"}}}}
	for i, app := range []string{"client", "other", "server"} {
		ip := fmt.Sprintf("10.0.0.%d", i+1)
		f.cluster.Pods = append(f.cluster.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: app, Labels: map[string]string{"app": app}}, Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}})
	}
	f.service("server", "server", "10.0.0.3")
	return f
}

// service makes a Service that leads to a pod; no pod: to none.
func (f *outlook) service(name, pod, ip string) {
	f.cluster.Services = append(f.cluster.Services, corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name},
		Spec: corev1.ServiceSpec{ClusterIP: "10.1.0.1", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}})
	slice := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name + "-x", Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}}}
	if pod != "" {
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{ip}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: pod}}}
	}
	f.cluster.Slices = append(f.cluster.Slices, slice)
}

// policy adds one to the cluster.
func (f *outlook) policy(name string, labels, annotations map[string]string, spec networkingv1.NetworkPolicySpec) {
	f.cluster.Policies = append(f.cluster.Policies, networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, UID: "np", Labels: labels, Annotations: annotations}, Spec: spec})
}

// fromConfigMap has the rollout take its policies from a ConfigMap.
func (f *outlook) fromConfigMap(text string) {
	f.ro.Spec.Policies = v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "policies"}}
	f.made.ConfigMaps = []corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "policies"}, Data: map[string]string{"a.yaml": text}}}
}

// aRunThatHas stores a run of another rollout in a phase, with a plan for the namespace.
func (f *outlook) aRunThatHas(phase v1alpha1.Phase, tidied bool) {
	run := aRun(phase, v1alpha1.IntentRun)
	run.Name, run.Spec.RolloutRef.Name = "another-1", "another"
	p := aPlan()
	p.Run, p.RunUID = run.Name, run.UID
	b := newBench(f.t)
	digest, err := savePlan(f.t.Context(), b.Write, b.api, p)
	b.must(err)
	rev := &appsv1.ControllerRevision{}
	b.must(b.api.Get(f.t.Context(), plan.Revision(p.Run), rev))
	rev.ResourceVersion = ""
	run.Status.SnapshotDigest = digest
	if tidied {
		meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue, Reason: "X"})
	}
	f.stored = append(f.stored, run, rev)
}

// paths has the client try the server by so many paths, each of which is tried so often.
func (f *outlook) paths(n int, every time.Duration) {
	f.ro.Spec.Analysis.Interval.Duration = every
	for i := range n {
		path := *f.suite.Spec.Paths[0].DeepCopy()
		path.Name = fmt.Sprint("p", i)
		f.suite.Spec.Paths = append(f.suite.Spec.Paths, path)
	}
}

func (f *outlook) foresee() Foreseen {
	f.t.Helper()
	f.made.Rollout = f.ro
	if f.made.Suites == nil {
		f.made.Suites = []v1alpha1.ConnectivitySuite{*f.suite}
	}
	others, _ := fakeKinds(&fakeDiscovery{}, f.others...)
	got, err := foresee(f.t.Context(), fakeAPI(interceptor.Funcs{}, f.stored...), others, f.cluster, f.made, !f.tenants)
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// foreseeable is one thing that the controller refuses, each.
var foreseeable = []struct {
	name string
	edit func(*outlook)
	want string
}{
	{"a long name", func(f *outlook) { f.ro.Name = strings.Repeat("x", 41) }, "the name is too long"},
	{"a budget that is no number", func(f *outlook) { f.ro.Spec.Analysis.FalseRollbackBudget = "often" }, `analysis.falseRollbackBudget is "often"`},
	{"an interval of nothing", func(f *outlook) { f.ro.Spec.Analysis.Interval.Duration = time.Millisecond }, "analysis.interval 1ms and timeout 40ms must be at least 10ms"},
	{"no stage that enforces", func(f *outlook) { f.ro.Spec.Stages = f.ro.Spec.Stages[:3] }, "rollout a/a: no stage has mode Enforce"},
	{"a suite that is not there", func(f *outlook) { f.ro.Spec.Suites[0].Name = "nope" }, "suite a/nope does not exist"},
	{"another suite than was stated", func(f *outlook) { f.ro.Spec.Suites[0].Digest = "sha256:0" }, "ConnectivitySuite a/a is another than rollout a/a was made for"},
	{"a ConfigMap that is not there", func(f *outlook) { f.fromConfigMap(""); f.made.ConfigMaps = nil }, "ConfigMap a/policies with the policies does not exist"},
	{"a misspelt field", func(f *outlook) { f.fromConfigMap(misspelt) }, "key a.yaml, document 1: not a NetworkPolicy"},
	{"another kind", func(f *outlook) { f.fromConfigMap("{apiVersion: v1, kind: Pod, metadata: {name: x}}") }, "v1 Pod is not a networking.k8s.io/v1 NetworkPolicy"},
	{"a policy without a namespace", func(f *outlook) {
		f.fromConfigMap("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, spec: {podSelector: {}}}")
	}, "metadata.namespace and metadata.name must be set"},
	{"no policies", func(f *outlook) { f.ro.Spec.Policies.Inline = nil }, "the rollout has no policies"},
	{"a protected namespace", func(f *outlook) { f.ro.Spec.ProtectedNamespaces = []string{"a"} }, "policy a/client-egress is in namespace a, which is protected"},
	{"a policy twice", func(f *outlook) {
		f.ro.Spec.Policies.Inline = append(f.ro.Spec.Policies.Inline, f.ro.Spec.Policies.Inline[0])
	}, "policy a/client-egress is in the rollout twice"},
	{"an identity called like ours", func(f *outlook) { f.suite.Spec.Identities[0].Name = "tightrope-x" }, `identity "tightrope-x" is called like one of Tightrope's own pods`},
	{"an identity marked like ours", func(f *outlook) { f.suite.Spec.Identities[0].Labels[v1alpha1.LabelRun] = "x" }, `identity "client" has label tightrope.dev/run`},
	{"an identity in kube-system", func(f *outlook) { f.suite.Spec.Identities[0].Namespace = "kube-system" }, "lives in namespace kube-system, which is protected"},
	{"an identity in two suites", func(f *outlook) {
		again := f.suite.DeepCopy()
		again.Name, again.Spec.Paths = "b", nil
		f.made.Suites = []v1alpha1.ConnectivitySuite{*f.suite, *again}
		f.ro.Spec.Suites = append(f.ro.Spec.Suites, v1alpha1.SuiteRef{Name: "b"})
	}, `suite b: identity "client" is already in another suite`},
	{"an identity in no namespace", func(f *outlook) { f.suite.Spec.Identities[0].Namespace = "nowhere" }, `identity "client" lives in namespace "nowhere", which does not exist`},
	{"an identity with a long name", func(f *outlook) {
		f.suite.Spec.Identities[0].Name = strings.Repeat("x", 200)
		f.suite.Spec.Paths[0].From = f.suite.Spec.Identities[0].Name
	}, "make too long a name"},
	{"two paths of a name", func(f *outlook) { f.suite.Spec.Paths[1].Name = f.suite.Spec.Paths[0].Name }, "another path has the same name"},
	{"an unknown identity", func(f *outlook) { f.suite.Spec.Paths[0].From = "stranger" }, `is from identity "stranger", which no suite declares`},
	{"a Service that is not there", func(f *outlook) { f.suite.Spec.Paths[0].To.Service.Name = "nope" }, "leads to Service a/nope, which does not exist"},
	{"the container's port", func(f *outlook) { f.suite.Spec.Paths[0].To.Service.Port = 8080 }, "leads to port 8080/TCP of Service a/server, which has no such port"},
	{"a Service without pods", func(f *outlook) { f.service("empty", "", ""); f.suite.Spec.Paths[0].To.Service.Name = "empty" }, "which has no ready pod behind it"},
	{"a way that cannot be tried", func(f *outlook) {
		f.suite.Spec.Paths[0].Probe, f.suite.Spec.Paths[0].Via = v1alpha1.Probe{Type: "Telepathy"}, []v1alpha1.Via{v1alpha1.ViaPodIP}
	}, `path "client to server" cannot be tried by PodIP`},
	{"no way that can be tried", func(f *outlook) { f.suite.Spec.Paths[0].Probe.Type = "Telepathy" }, `path "client to server" cannot be tried by any way`},
	{"an exception for another path", func(f *outlook) {
		f.ro.Spec.Exceptions = []v1alpha1.Exception{{Type: v1alpha1.ExceptionPredictedCut, Path: "nope", Reason: "x"}}
	}, `spec.exceptions accepts PredictedCut for path "nope"`},
	{"a first wave without policies", func(f *outlook) {
		f.ro.Spec.Waves = v1alpha1.Waves{By: v1alpha1.WaveByNamespace, First: []string{"b"}}
	}, `spec.waves.first names namespace "b"`},
	{"no account where there are tenants", func(f *outlook) { f.tenants = true }, "rollout a/a names no service account"},
	{"a run that has the namespace", func(f *outlook) { f.aRunThatHas(v1alpha1.PhaseObserve, false) }, "namespace a is claimed by run a/another-1, which is in phase Observe"},
	{"a ConfigMap called like a claim", func(f *outlook) {
		f.stored = append(f.stored, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: plan.ClaimName}})
	}, "ConfigMap a/tightrope-claim is there, and no run made it"},
	{"a policy that nobody's run left", func(f *outlook) {
		f.policy("left", map[string]string{v1alpha1.LabelRun: "gone", v1alpha1.LabelRole: roleCandidate}, nil, networkingv1.NetworkPolicySpec{})
	}, "policy a/left carries the label tightrope.dev/run=gone, and no run of that name made it"},
	{"a policy that a run left", func(f *outlook) {
		f.aRunThatHas(v1alpha1.PhaseRolledBack, true)
		f.policy("left", map[string]string{v1alpha1.LabelRun: "another-1", v1alpha1.LabelRole: roleCandidate}, map[string]string{v1alpha1.AnnotationRunUID: "u"}, networkingv1.NetworkPolicySpec{})
	}, "policy a/left was left by run another-1, which has ended"},
	{"an original that a run left changed", func(f *outlook) {
		f.policy("left", nil, map[string]string{v1alpha1.AnnotationOriginal: `{"run":"gone","runUID":"x","spec":{"podSelector":{"matchLabels":{"app":"x"}}}}`}, networkingv1.NetworkPolicySpec{})
	}, "policy a/left is not as its author wrote it: run gone, which is gone, has changed it"},
	{"a policy that a tool applies", func(f *outlook) {
		f.policy("client-egress", nil, map[string]string{"argocd.argoproj.io/tracking-id": "x"}, networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "client"}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}})
	}, "policy a/client-egress is there and would be changed, and Argo CD"},
	{"pods without isolation", func(f *outlook) {
		f.policy("other", nil, nil, networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}})
		f.ro.Spec.Policies.Remove = []v1alpha1.PolicyRef{{Namespace: "a", Name: "other"}}
	}, "policy a/other goes, and pods with labels {app=other} would not be isolated for egress any more"},
	{"a policy of another kind", func(f *outlook) { f.others = []runtime.Object{ciliumIn("a")} }, "CiliumNetworkPolicy a/x of cilium.io may select pods that a bridge opens"},
	{"a selector that nobody can read", func(f *outlook) {
		f.ro.Spec.Policies.Inline[0].Spec.PodSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like"}}}
	}, "bridges: "},
	{"a forbidden path without a witness", func(f *outlook) { f.suite.Spec.Paths = f.suite.Spec.Paths[1:] }, `path "other to server" must not work, and nobody could show that its target is alive`},
	{"a thousand identities", func(f *outlook) {
		f.ro.Spec.Analysis.Interval.Duration = time.Minute
		for i := range 501 {
			id := v1alpha1.Identity{Name: fmt.Sprint("c", i), Namespace: "a", Labels: map[string]string{"app": "client"}}
			path := *f.suite.Spec.Paths[0].DeepCopy()
			path.Name, path.From = id.Name, id.Name
			f.suite.Spec.Identities, f.suite.Spec.Paths = append(f.suite.Spec.Identities, id), append(f.suite.Spec.Paths, path)
		}
	}, "probe pods, and one run makes at most 1000"},
	{"too many attempts at a pod", func(f *outlook) {
		f.ro.Spec.Analysis.Interval.Duration = 10 * time.Millisecond
		for i := range 20 {
			id := v1alpha1.Identity{Name: fmt.Sprint("c", i), Namespace: "a", Labels: map[string]string{"app": "client"}}
			path := *f.suite.Spec.Paths[0].DeepCopy()
			path.Name, path.From = id.Name, id.Name
			f.suite.Spec.Identities, f.suite.Spec.Paths = append(f.suite.Spec.Identities, id), append(f.suite.Spec.Paths, path)
		}
	}, "probe pods would try pod a/server with"},
	{"more checks than a probe pod tells of in time", func(f *outlook) { f.paths(1500, 250*time.Millisecond) }, "checks, and tells in time of at most"},
	{"a gate that nobody can hold people to", func(f *outlook) {
		f.ro.Spec.Stages[2].Gates = []v1alpha1.Gate{{Name: "team", Type: v1alpha1.GateApproval}}
	}, "stage few has gate team of type Approval: approvals do not count"},
	{"a rollback of all waves", func(f *outlook) { f.ro.Spec.RollbackScope = v1alpha1.RollbackAll }, `spec.rollbackScope is "All", and only`},
}

// Whatever the controller refuses is named before anything is applied, each by what is
// wrong with it alone; and what it accepts is not refused.
func TestWhatTheControllerWouldRefuseIsForeseen(t *testing.T) {
	good := newOutlook(t).foresee()
	if len(good.Refused)+len(good.Cuts) > 0 || !slices.Equal(good.Unseen, never) {
		t.Fatalf("the good rollout: %+v", good)
	}
	var all []string
	for _, tt := range foreseeable {
		t.Run(tt.name, func(t *testing.T) {
			f := newOutlook(t)
			tt.edit(f)
			got := f.foresee()
			if !slices.ContainsFunc(got.Refused, func(why string) bool { return strings.Contains(why, tt.want) }) || len(got.Unseen) < len(never) {
				t.Errorf("refused %q, unseen %q\nwant %q", got.Refused, got.Unseen, tt.want)
			}
			all = append(all, got.Refused...)
		})
	}
	for where, said := range refusalsOfPreflight(t) {
		if _, not := unforeseen[said]; !not && !slices.ContainsFunc(all, patternOf(said).MatchString) {
			t.Errorf("%s refuses %q, and no row of the table has plan say so: add one, or say in unforeseen why it cannot", where, said)
		}
	}
}

// A cut is told apart: plan shows it at its path, with what repairs it.
func TestACutIsForeseenAtItsPath(t *testing.T) {
	f := newOutlook(t)
	f.ro.Spec.Policies.Inline[0].Spec.Egress = nil
	got := f.foresee()
	if len(got.Refused) > 0 || len(got.Repairs) > 0 || len(got.Cuts) != 1 || got.Cuts[0].Path != "client to server" || !strings.Contains(got.Cuts[0].Add, "egress") {
		t.Errorf("got %+v", got)
	}
}

// A run under way of the same rollout is aborted when the rollout changes: it has no claim
// on what the next run does.
func TestARolloutsOwnRunIsNotInItsWay(t *testing.T) {
	f := newOutlook(t)
	f.aRunThatHas(v1alpha1.PhaseObserve, false)
	f.stored[0].(*v1alpha1.PolicyRolloutRun).Spec.RolloutRef.Name = f.ro.Name
	if got := f.foresee(); len(got.Refused) > 0 {
		t.Errorf("refused %q", got.Refused)
	}
}

// unforeseen are refusals that plan cannot name, as the source has them, and why.
var unforeseen = map[string]string{
	"the API server refuses a bridge, so no rollback could be promised: %v": "nothing is sent; plan says so",
	"policy %s/%s: the API server refuses it: %v":                           "likewise",
	"policy %s is to be %s, and the API server refuses that: %v":            "likewise",
	"the controller may not act as service account %s: %v; a cluster administrator gives namespace %s an account that it may act as, tightrope-rollout, with: tightrope upgrade --tenant %s": "likewise",
	"%s may not do everything that this rollout needs in %s%s: what is missing stands below":                                                                                                 "rights of others cannot be asked for; plan says so",
	"rollout %s was edited or replaced before its run %s had planned: the run tries generation %d (UID %s), the rollout is at %d (UID %s); look at the rollout's newer run":                  "a race",
	"rollout %s/%s does not say with which digest it names %s, and it must where there are tenants: whoever edits that may have no right to the account of the rollout":                      "tightrope rollout apply states it",
	"probe pod %s would have a plan of %d checks in %d KiB, and takes at most %d in %d KiB: let another identity of the same labels have some of its paths, or leave some out":               "the same function; a rollout has too many paths before, unless their names are long",
	"the plan of probe pod %s: %v": "plain data always marshals",
	"%s, document %d: %v":          "text that is no YAML is bad input of plan",
	"the plan takes %d KiB and a snapshot holds %d: split the rollout, or its suites": "the same function; a mebibyte of plan is too much for a test",
}

// elsewhere are files with refusals of something else than a first wave's preflight.
var elsewhere = []string{"verify.go", "waves.go"}

// refusalsOfPreflight are the formats of all refusals, by where they stand in the source.
func refusalsOfPreflight(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all, fset := map[string]string{}, token.NewFileSet()
	for _, name := range append(files, "../planner/begin.go", "../planner/refuse.go") {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(elsewhere, name) {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			method, isMethod := call.Fun.(*ast.SelectorExpr)
			local, isLocal := call.Fun.(*ast.Ident)
			if isMethod && method.Sel.Name == "add" || isLocal && local.Name == "refuse" {
				if text := textOf(call.Args[0]); strings.Trim(text, "%sv") != "" {
					all[fset.Position(call.Pos()).String()] = text
				}
			}
			return true
		})
	}
	if len(all) < 40 {
		t.Fatalf("%d refusals found in the source: the test looks in the wrong place", len(all))
	}
	return all
}

// textOf is the text of an expression of string literals; empty: it is none.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		return textOf(e.X) + textOf(e.Y)
	}
	return ""
}

var verb = regexp.MustCompile(`%(\.\d)?[a-z]`)

// patternOf matches what a format makes.
func patternOf(format string) *regexp.Regexp {
	var parts []string
	for _, part := range verb.Split(format, -1) {
		parts = append(parts, regexp.QuoteMeta(part))
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$")
}
