package lint

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// forgetful is a policy that forgets DNS, on line 10.
const forgetful = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  namespace: ai
  name: gateway
  annotations: {}
spec:
  podSelector: {matchLabels: {app: gateway}}
  policyTypes: [Egress]
  egress:
  - to:
    - podSelector: {matchLabels: {app: model}}
`

// the returns the finding of the rule; there has to be exactly one.
func the(t *testing.T, rule string, findings []Finding) Finding {
	t.Helper()
	var found []Finding
	for _, f := range findings {
		if f.Rule == rule {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d findings of %s among %v, want 1", len(found), rule, findings)
	}
	return found[0]
}

func TestNothingHasNoMistakes(t *testing.T) {
	for _, set := range []*manifest.Set{nil, {}} {
		if got := Check(set); got == nil || len(got) != 0 {
			t.Errorf("Check = %v, want an empty list, which JSON shows as []", got)
		}
		if got := Correct(set, Info); len(got) != 0 {
			t.Errorf("Correct = %v", got)
		}
	}
}

func TestASuppressedFindingIsMarkedAndNotLost(t *testing.T) {
	for annotation, want := range map[string]bool{
		"{tightrope.dev/lint-ignore: dns-forgotten}":                    true,
		"{tightrope.dev/lint-ignore: 'no-default-deny, dns-forgotten'}": true,
		"{tightrope.dev/lint-ignore: dns}":                              false,
		"{}":                                                            false,
	} {
		set := read(t, strings.Replace(forgetful, "{}", annotation, 1), gatewayAndModel)
		f := the(t, "dns-forgotten", Check(set))
		if f.Suppressed != want || strings.Contains(f.String(), "suppressed") != want {
			t.Errorf("%s: suppressed %v, want %v: %s", annotation, f.Suppressed, want, f)
		}
		if corrected := len(Correct(set, Error)) > 0; corrected == want {
			t.Errorf("%s: corrected %v", annotation, corrected)
		}
	}
}

func TestAFindingReadsWellAndSurvivesJSON(t *testing.T) {
	f := the(t, "dns-forgotten", check(t, forgetful, gatewayAndModel))
	lines := strings.Split(f.String(), "\n")
	if len(lines) > 8 || !strings.Contains(lines[0], "story.yaml:10: NetworkPolicy ai/gateway spec.egress [dns-forgotten]") {
		t.Errorf("reads\n%s", f)
	}
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back Finding
	if err := json.Unmarshal(raw, &back); err != nil || back != f {
		t.Errorf("%s came back as %+v, %v", raw, back, err)
	}
	if err := back.Severity.UnmarshalText([]byte("fatal")); err == nil {
		t.Error("an unknown severity is accepted")
	}
}

func TestFindingsAreInTheOrderOfTheFiles(t *testing.T) {
	policies, workloads := platform(t, "observability-blackout")
	findings := check(t, policies, workloads)
	if len(findings) < 5 {
		t.Fatalf("only %d findings", len(findings))
	}
	if !slices.IsSortedFunc(findings, func(a, b Finding) int { return a.Position.Line - b.Position.Line }) {
		t.Errorf("not in order: %v", findings)
	}
	for range 5 {
		again := check(t, policies, workloads)
		for i := range again {
			again[i].Position.File = findings[i].Position.File
		}
		if !slices.Equal(findings, again) {
			t.Fatal("a second look finds something else, or in another order")
		}
	}
}

// Objects of a live cluster have no text: they are written anew, without what
// the API server keeps in them.
func TestAPolicyOfAClusterIsWrittenAnew(t *testing.T) {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "gateway", Labels: map[string]string{"app": "gateway"}}}
	np := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ai", Name: "gateway", UID: "1", ResourceVersion: "7",
		Annotations: map[string]string{"team": "ml", lastApplied: "{}"},
	}}
	np.Spec.PodSelector.MatchLabels = map[string]string{"app": "gateway"}
	np.Spec.PolicyTypes = []networkingv1.PolicyType{egress}
	np.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}}
	set := manifest.FromLists(manifest.Lists{Pods: []corev1.Pod{pod}, NetworkPolicies: []networkingv1.NetworkPolicy{np}})
	f := the(t, "dns-forgotten", Check(set))
	if f.Position.File != "" || f.Position.Line != 0 || !strings.HasPrefix(f.String(), "error: NetworkPolicy ai/gateway spec.egress [dns-forgotten]") {
		t.Errorf("position %+v: %s", f.Position, f)
	}
	for _, kept := range []string{"uid", "resourceVersion", lastApplied, "status"} {
		if strings.Contains(f.Corrected, kept) {
			t.Errorf("the corrected policy still has %s:\n%s", kept, f.Corrected)
		}
	}
	if !strings.Contains(f.Corrected, "team: ml") {
		t.Errorf("the annotation is lost:\n%s", f.Corrected)
	}
	for _, g := range check(t, f.Corrected, gatewayAndModel) {
		if g.Rule == "dns-forgotten" {
			t.Errorf("is still there: %s", g)
		}
	}
}

// The candidates of a rollout are checked as it would leave the cluster, and
// corrected in the rollout.
func TestARolloutIsCorrectedWhereItStands(t *testing.T) {
	const rollout = `apiVersion: tightrope.dev/v1alpha1
kind: PolicyRollout
metadata: {namespace: ai, name: lockdown}
spec:
  policies:
    inline:
    - namespace: ai
      name: default-deny
      spec: {podSelector: {}, policyTypes: [Egress]}
    - namespace: ai
      name: gateway
      spec:
        podSelector: {matchLabels: {app: gateway}}
        policyTypes: [Egress]
        egress: # the model
        - to: [{podSelector: {matchLabels: {app: model}}}]
`
	f := the(t, "dns-forgotten", check(t, rollout, gatewayAndModel))
	if f.Object.Name != "gateway" || f.Position.Line != 15 {
		t.Errorf("found at %+v: %s", f.Position, f)
	}
	if !strings.Contains(f.Corrected, "kind: PolicyRollout") || !strings.Contains(f.Corrected, "# the model") {
		t.Errorf("not the rollout:\n%s", f.Corrected)
	}
	all := Correct(read(t, rollout, gatewayAndModel), Error)
	if len(all) != 1 || all[0].YAML != f.Corrected || all[0].Object.String() != "PolicyRollout ai/lockdown" {
		t.Errorf("corrections: %+v", all)
	}
	for _, g := range check(t, f.Corrected, gatewayAndModel) {
		if g.Severity == Error {
			t.Errorf("after the correction: %s", g)
		}
	}
}

func TestAnEditNeverReachesWhatAnAnchorShares(t *testing.T) {
	shared := strings.Replace(forgetful, "podSelector: {matchLabels: {app: model}}", "podSelector: &model {matchLabels: {app: model}}", 1) +
		"    - podSelector: *model\n"
	f := the(t, "dns-forgotten", check(t, shared, gatewayAndModel))
	if strings.Contains(f.Corrected, "&model") || strings.Count(f.Corrected, "app: model") != 2 {
		t.Errorf("anchors are not written out:\n%s", f.Corrected)
	}
	read(t, f.Corrected, gatewayAndModel)
}

func TestJSONIsCorrectedAsYAML(t *testing.T) {
	const source = `{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "ai", "name": "gateway"},
 "spec": {"podSelector": {"matchLabels": {"app": "gateway"}}, "policyTypes": ["Egress"],
  "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "model"}}}]}]}}
`
	f := the(t, "dns-forgotten", check(t, source, gatewayAndModel))
	if f.Position.Line != 3 || strings.Contains(f.Corrected, "{") || !strings.Contains(f.Corrected, "app: model") {
		t.Errorf("line %d, corrected:\n%s", f.Position.Line, f.Corrected)
	}
	read(t, f.Corrected, gatewayAndModel)
}
