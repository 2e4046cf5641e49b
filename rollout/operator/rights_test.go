package operator

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

// What preflight asks for is what the role of a target namespace grants: no less, or
// who has it is refused, and no more.
func TestPreflightAsksForWhatTheRolesGrant(t *testing.T) {
	objects, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string][][]verbs{
		"tightrope-target": {tightening, removing, probing, reads}, "tightrope-reach": {reads}, "tightrope-rollback": {back},
	} {
		d := demands{}
		d.in("a", want...)
		var got []string
		for right := range d {
			got = append(got, spokenRight(right.Group, right.Resource, right.Subresource, right.Verb))
		}
		slices.Sort(got)
		if grants := grantsOf(t, objects, role); !slices.Equal(got, grants) {
			t.Errorf("%s grants %v, and preflight asks for %v", role, grants, got)
		}
	}
}

func spokenRight(group, resource, sub, verb string) string {
	if sub != "" {
		resource += "/" + sub
	}
	return group + " " + resource + " " + verb
}

// grantsOf are the rights of a ClusterRole, sorted.
func grantsOf(t *testing.T, objects []*unstructured.Unstructured, name string) []string {
	t.Helper()
	var out []string
	for _, o := range objects {
		if o.GetKind() != "ClusterRole" || o.GetName() != name {
			continue
		}
		rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
		for _, raw := range rules {
			rule := raw.(map[string]any)
			groups, _, _ := unstructured.NestedStringSlice(rule, "apiGroups")
			resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
			verbs, _, _ := unstructured.NestedStringSlice(rule, "verbs")
			for _, resource := range resources {
				for _, verb := range verbs {
					out = append(out, spokenRight(groups[0], resource, "", verb))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// Whoever copies a command from a refusal runs what the author of the suite wrote.
func TestACommandOfARefusalHasNamesOnly(t *testing.T) {
	for _, ns := range []string{"a; rm -rf /", "a\nkubectl delete ns b", "$(id)", ""} {
		suite := v1alpha1.ConnectivitySuite{Spec: v1alpha1.ConnectivitySuiteSpec{
			Identities: []v1alpha1.Identity{{Name: "x", Namespace: ns}},
			Paths:      []v1alpha1.Path{{To: v1alpha1.Target{Service: v1alpha1.ServiceTarget{Namespace: ns, Name: "s"}}}},
		}}
		candidates := writesOf([]*networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p"}}}, []v1alpha1.PolicyRef{{Namespace: ns, Name: "q"}})
		suites := []v1alpha1.ConnectivitySuite{suite}
		if d := forwardDemands(candidates, suites, &world{}); len(d)+len(backDemands(candidates, suites)) > 0 {
			t.Errorf("%q gets commands: %v", ns, d)
		}
	}
}

// Of a run in a namespace of others nobody is told more than that it is there.
func TestARunOfAnotherTenantIsNotNamed(t *testing.T) {
	run := func(ns, name string) *v1alpha1.PolicyRolloutRun {
		return &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	}
	for _, tt := range []struct {
		single bool
		other  *v1alpha1.PolicyRolloutRun
		named  bool
	}{{false, run("b", "secret-1"), false}, {false, run("a", "mine-1"), true}, {true, run("b", "secret-1"), true}} {
		says := (&RunReconciler{SingleTenant: tt.single}).claimant(tt.other, run("a", "x-1"))
		if named := strings.Contains(says, tt.other.Namespace+"/"+tt.other.Name); named != tt.named {
			t.Errorf("single-tenant %v: %q", tt.single, says)
		}
	}
}
