package operator

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

func metaOf(namespace, name, run string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name}
	if run != "" {
		m.Labels = map[string]string{v1alpha1.LabelRun: run}
	}
	return m
}

func podIn(namespace, name, run string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metaOf(namespace, name, run)}
}

// near is what run r-1 with a plan for namespace a sees.
func near(t *testing.T, m *mirror, last *world) *world {
	t.Helper()
	w, err := m.lookNear("r-1", []string{"a", v1alpha1.SystemNamespace}, last)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A run sees its namespaces, and of Tightrope's own what is its own or nobody's.
func TestARunSeesItsNamespacesAndItsOwn(t *testing.T) {
	m := emptyMirror()
	for _, ns := range []string{"a", "b", v1alpha1.SystemNamespace} {
		m.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"is": ns}}})
		for _, run := range []string{"", "r-1", "r-2"} {
			m.put(podIn(ns, "pod"+run, run))
			m.put(&networkingv1.NetworkPolicy{ObjectMeta: metaOf(ns, "np"+run, run)})
			m.put(&corev1.Service{ObjectMeta: metaOf(ns, "svc"+run, run)})
			slice := &discoveryv1.EndpointSlice{ObjectMeta: metaOf(ns, "slice"+run, run)}
			if slice.Labels == nil {
				slice.Labels = map[string]string{}
			}
			slice.Labels[discoveryv1.LabelServiceName] = "svc"
			m.put(slice)
		}
	}
	w := near(t, m, nil)
	want := []string{"a/pod", "a/podr-1", "a/podr-2", "tightrope-system/pod", "tightrope-system/podr-1"}
	if got := slices.Sorted(names(maps.Keys(w.pods))); !slices.Equal(got, want) {
		t.Errorf("pods %v, want %v", got, want)
	}
	if len(w.policies) != 5 || len(w.verdict.Policies) != 5 || len(w.services) != 5 || len(w.verdict.Namespaces) != 2 {
		t.Errorf("%d and %d policies, %d services, %d namespaces; want 5, 5, 5, 2", len(w.policies), len(w.verdict.Policies), len(w.services), len(w.verdict.Namespaces))
	}
	if got := len(w.slices[types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "svc"}]); got != 2 {
		t.Errorf("%d EndpointSlices of Tightrope's Service, want that of nobody and the run's", got)
	}
	all, err := m.look()
	if err != nil || len(all.pods) != 9 || len(all.policies) != 9 || len(all.verdict.Namespaces) != 3 {
		t.Errorf("of all: %d pods, %d policies, %d namespaces, %v; want 9, 9, 3", len(all.pods), len(all.policies), len(all.verdict.Namespaces), err)
	}
}

func names(keys func(func(types.NamespacedName) bool)) func(func(string) bool) {
	return func(yield func(string) bool) {
		keys(func(key types.NamespacedName) bool { return yield(key.String()) })
	}
}

// What a run sees is made anew when something of it changed, and then only; what judges
// has another version when a policy or a label of a namespace did.
func TestAWorldIsMadeAnewWhereItChanged(t *testing.T) {
	system := v1alpha1.SystemNamespace
	for name, tt := range map[string]struct {
		change       func(*mirror)
		anew, judges bool
	}{
		"a pod":                         {func(m *mirror) { m.put(podIn("a", "new", "")) }, true, false},
		"a pod that is gone":            {func(m *mirror) { m.gone(podIn("a", "pod", "")) }, true, false},
		"a pod elsewhere":               {func(m *mirror) { m.put(podIn("b", "new", "")) }, false, false},
		"a pod of the run":              {func(m *mirror) { m.put(podIn(system, "new", "r-1")) }, true, false},
		"a pod of another run":          {func(m *mirror) { m.put(podIn(system, "new", "r-2")) }, false, false},
		"a policy":                      {func(m *mirror) { m.put(&networkingv1.NetworkPolicy{ObjectMeta: metaOf("a", "np", "")}) }, true, true},
		"a policy elsewhere":            {func(m *mirror) { m.put(&networkingv1.NetworkPolicy{ObjectMeta: metaOf("b", "np", "")}) }, false, false},
		"a policy of the run":           {func(m *mirror) { m.put(&networkingv1.NetworkPolicy{ObjectMeta: metaOf(system, "np", "r-1")}) }, true, true},
		"a policy of another run":       {func(m *mirror) { m.put(&networkingv1.NetworkPolicy{ObjectMeta: metaOf(system, "np", "r-2")}) }, false, false},
		"a policy of nobody in ours":    {func(m *mirror) { m.put(&networkingv1.NetworkPolicy{ObjectMeta: metaOf(system, "np", "")}) }, true, true},
		"a policy that becomes a run's": {func(m *mirror) { m.replace(theirs(""), theirs("r-1")) }, true, true},
		"a policy that is taken off it": {func(m *mirror) { m.replace(theirs("r-1"), theirs("r-2")) }, true, true},
		"a policy that is gone":         {func(m *mirror) { m.gone(&networkingv1.NetworkPolicy{ObjectMeta: metaOf("a", "old", "")}) }, true, true},
		"a namespace with its old labels": {func(m *mirror) {
			m.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: map[string]string{"x": "y"}}})
		}, true, false},
		"a label of the namespace": {func(m *mirror) {
			m.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"x": "y"}}})
		}, true, true},
		"a policy of another kind": {func(m *mirror) { m.putOther(otherPolicy{namespace: "a", name: "cnp"}) }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := emptyMirror()
			m.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
			m.put(podIn("a", "pod", ""))
			m.put(&networkingv1.NetworkPolicy{ObjectMeta: metaOf("a", "old", "")})
			m.put(theirs("r-1"))
			before := near(t, m, nil)
			version := before.versionOf([]string{"a", system})
			if again := near(t, m, before); again != before {
				t.Error("made anew, and nothing changed")
			}
			tt.change(m)
			after := near(t, m, before)
			if after != before != tt.anew {
				t.Errorf("made anew: %v, want %v", after != before, tt.anew)
			}
			if judges := after.versionOf([]string{"a", system}) != version; judges != tt.judges {
				t.Errorf("judges otherwise: %v, want %v", judges, tt.judges)
			}
		})
	}
}

// theirs is a policy in Tightrope's namespace.
func theirs(run string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metaOf(v1alpha1.SystemNamespace, "marker", run)}
}

// A space that nothing is left of is forgotten: runs come and go.
func TestAMirrorForgetsWhatIsGone(t *testing.T) {
	m := emptyMirror()
	m.put(podIn(v1alpha1.SystemNamespace, "pod", "r-1"))
	m.replace(podIn(v1alpha1.SystemNamespace, "pod", "r-1"), podIn(v1alpha1.SystemNamespace, "pod", "r-2"))
	if w := near(t, m, nil); len(w.pods) > 0 {
		t.Errorf("the run that had a pod before sees %v", w.pods)
	}
	m.gone(podIn(v1alpha1.SystemNamespace, "pod", "r-2"))
	if len(m.spaces) > 0 {
		t.Errorf("kept: %v", slices.Collect(maps.Keys(m.spaces)))
	}
}
