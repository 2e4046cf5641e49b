package manifest

import (
	"fmt"
	"strings"
	"testing"
)

const rollouts = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: kept, namespace: ai}
spec: {podSelector: {}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway, namespace: ai}
spec: {podSelector: {}}
---
apiVersion: tightrope.dev/v1alpha1
kind: PolicyRollout
metadata: {name: one, namespace: ai}
spec:
  suites: []
  stages: [{name: all, mode: Enforce}]
  policies:
    inline:
    - {name: gateway, namespace: ai, spec: {podSelector: {matchLabels: {app: gateway}}}}
    - {name: new, namespace: ai, spec: {podSelector: {matchLabels: {app: new}}}}
---
apiVersion: tightrope.dev/v1alpha1
kind: PolicyRollout
metadata: {name: two, namespace: ai}
spec:
  suites: [{name: missing}]
  stages: [{name: all, mode: Enforce}]
  policies:
    inline:
    - {name: new, namespace: ai, spec: {podSelector: {matchLabels: {app: newer}}}}
`

func TestCandidatesTakeThePlaceOfPoliciesOfTheirName(t *testing.T) {
	set, err := ReadStream("in", strings.NewReader(rollouts), Options{Use: ForCandidates})
	if err != nil {
		t.Fatal(err)
	}
	with := set.WithCandidates()
	var got []string
	for i, p := range with.World.Policies {
		if o := with.Objects.NetworkPolicies[i]; o.Namespace+"/"+o.Name != p.Key() {
			t.Errorf("object %s beside policy %s", o, p.Key())
		}
		at := with.Where("NetworkPolicy", p.Namespace, p.Name, "spec.podSelector")
		got = append(got, fmt.Sprintf("%s %v %s", p.Key(), p.Spec.PodSelector.MatchLabels, at))
	}
	want := "ai/kept map[] in:4; ai/gateway map[app:gateway] in:19; ai/new map[app:newer] in:30"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
	if n := with.Notes[len(with.Notes)-1].String(); !strings.Contains(n, "is in PolicyRollout ai/one too: that of PolicyRollout ai/two counts") {
		t.Errorf("note %q", n)
	}
	if len(set.World.Policies) != 2 || set.World.Policies[1].Spec.PodSelector.MatchLabels != nil || len(set.Notes) != 0 {
		t.Errorf("the set has changed: %+v, %v", set.World.Policies, set.Notes)
	}
	if len(set.WithoutRollouts().Objects.Rollouts) != 0 || len(set.Objects.Rollouts) != 2 {
		t.Error("the rollouts are the set's own")
	}
}

// What a command does not need does not stop it, and what it needs does.
func TestOnlyWhatIsNeededHasToBeRight(t *testing.T) {
	twice := rollouts + "---\n" + strings.Replace(rollouts[strings.LastIndex(rollouts, "---\n")+4:], "app: newer", "app: newest", 1)
	faulty := strings.Replace(rollouts, "mode: Enforce", "mode: Enforce, nonsense: 1", 1)
	dangling := rollouts[:strings.LastIndex(rollouts, "    inline:")] + "    configMapRef: {name: gone}\n"
	suite := rollouts + "---\napiVersion: tightrope.dev/v1alpha1\nkind: ConnectivitySuite\nmetadata: {name: missing, namespace: ai}\nspec: {paths: [{name: x, from: nobody}]}\n"
	for _, tt := range []struct {
		name, text string
		fine       map[Use]bool
	}{
		{"a suite that is missing", rollouts, map[Use]bool{ForCandidates: true, ForLint: true, ForPolicies: true}},
		{"a suite that is wrong", suite, map[Use]bool{ForCandidates: true, ForLint: true, ForPolicies: true}},
		{"a rollout that is there twice", twice, map[Use]bool{ForLint: true, ForPolicies: true}},
		{"a rollout that is wrong", faulty, map[Use]bool{ForPolicies: true}},
		{"a rollout whose policies are missing", dangling, map[Use]bool{ForPolicies: true}},
	} {
		for _, use := range []Use{ForPlan, ForCandidates, ForLint, ForPolicies} {
			set, err := ReadStream("in", strings.NewReader(tt.text), Options{Use: use})
			if (err == nil) != tt.fine[use] {
				t.Errorf("%s, for use %d: %v", tt.name, use, err)
			}
			if err == nil && len(set.World.Policies) != 2 {
				t.Errorf("%s, for use %d: %d policies", tt.name, use, len(set.World.Policies))
			}
		}
	}
}
