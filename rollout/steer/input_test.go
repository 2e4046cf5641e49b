package steer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

const aSuite = `apiVersion: tightrope.dev/v1alpha1
kind: ConnectivitySuite
metadata: {name: s}
spec:
  identities:
  - {name: app, namespace: a, labels: {app: app}}
  paths:
  - name: app to store
    from: app
    to: {service: {namespace: a, name: store, port: 80}}
    expect: Allow
`

const aRollout = `apiVersion: tightrope.dev/v1alpha1
kind: PolicyRollout
metadata: {name: r}
spec:
  policies:
    configMapRef: {name: policies}
  suites: [{name: s}]
  stages:
  - {name: observe, mode: Observe}
  - {name: all, mode: Enforce, minDuration: 5s}
`

const aMap = `apiVersion: v1
kind: ConfigMap
metadata: {name: policies, labels: {team: x}}
data:
  p.yaml: |
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: p, namespace: a}
    spec: {podSelector: {}}
`

// input reads documents of one file.
func input(t *testing.T, namespace string, required bool, documents ...string) (*Input, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in.yaml")
	if err := os.WriteFile(name, []byte(strings.Join(documents, "---\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read([]string{name}, nil, namespace, required)
}

func TestInputIsAppliedAsItIsWritten(t *testing.T) {
	exported := strings.Replace(aRollout, "metadata: {name: r}", "metadata: {name: r, uid: u, resourceVersion: \"7\", generation: 3, creationTimestamp: 2026-01-01T00:00:00Z, managedFields: [{manager: kubectl}], annotations: {team: x}}\nstatus: {phase: Committed}", 1)
	in, err := input(t, "ai", false, exported, aSuite, aMap)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, u := range in.Objects {
		kinds = append(kinds, u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName())
	}
	if want := []string{"ConfigMap ai/policies", "ConnectivitySuite ai/s", "PolicyRollout ai/r"}; !slices.Equal(kinds, want) {
		t.Fatalf("got %v, want %v", kinds, want)
	}
	rollout := in.Objects[2]
	if rollout.GetUID() != "" || rollout.GetResourceVersion() != "" || rollout.GetManagedFields() != nil || rollout.Object["status"] != nil || rollout.GetAnnotations()["team"] != "x" {
		t.Errorf("what a server wrote is applied, or what the author wrote is not: %v", rollout.Object)
	}
	spec := rollout.Object["spec"].(map[string]any)
	if spec["analysis"] != nil || spec["historyLimit"] != nil {
		t.Errorf("fields are stated that the author left out: %v", spec)
	}
}

func TestMistakesAreFoundBeforeAnythingIsApplied(t *testing.T) {
	with := func(text, old, new string) string {
		if strings.Count(text, old) != 1 {
			t.Fatalf("%q is not once in the text", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for _, tt := range []struct {
		name      string
		namespace string
		documents []string
		want      string
	}{
		{"a field of a rollout", "", []string{with(aRollout, "suites:", "suite:")}, `in.yaml:7: PolicyRollout ai/r: spec.suite: unknown field; did you mean suites?`},
		{"a mode", "", []string{with(aRollout, "mode: Enforce", "mode: Enforced")}, `in.yaml:10: PolicyRollout ai/r: spec.stages[1].mode: "Enforced" is not Observe, Shadow, Canary or Enforce; did you mean Enforce?`},
		{"a scope that has no effect", "", []string{with(aRollout, "mode: Enforce,", "mode: Enforce, scope: {maxPods: 1},")}, "spec.stages[1].scope: only a Canary stage has a scope"},
		{"a scope of an earlier version", "", []string{with(aRollout, "mode: Enforce,", "mode: Canary, scope: {probePodsOnly: true},")}, "in.yaml:10: PolicyRollout ai/r: spec.stages[1].scope.probePodsOnly: this version has no such field: write mode: Shadow, without a scope"},
		{"a canary of nobody knows how many", "", []string{with(aRollout, "mode: Enforce,", "mode: Canary,")}, "spec.stages[1].scope: state maxPods"},
		{"a gate of no type", "", []string{with(aRollout, "mode: Enforce,", "mode: Enforce, gates: [{name: g, type: Metric}],")}, `spec.stages[1].gates[0].type: "Metric" is not Approval`},
		{"a gate without what goes with its type", "", []string{with(aRollout, "mode: Enforce,", "mode: Enforce, gates: [{name: g, type: Approval}],")}, "spec.stages[1].gates[0].approval: is missing"},
		{"a gate twice", "", []string{with(aRollout, "mode: Enforce,", "mode: Enforce, gates: [{name: g, type: Approval, approval: {}}, {name: g, type: Approval, approval: {}}],")}, "gate g is listed twice"},
		{"more approvers than can be", "", []string{with(aRollout, "mode: Enforce,", "mode: Enforce, gates: [{name: g, type: Approval, approval: {count: 11}}],")}, "11 is not a number of approvers"},
		{"a stage twice", "", []string{with(aRollout, "name: all", "name: observe")}, "stage observe is listed twice"},
		{"no stage", "", []string{with(aRollout, "  stages:\n  - {name: observe, mode: Observe}\n  - {name: all, mode: Enforce, minDuration: 5s}\n", "")}, "spec.stages: is missing"},
		{"a path that is negative for long", "", []string{with(aRollout, "minDuration: 5s", "minDuration: -5s")}, "spec.stages[1].minDuration: -5s is negative"},
		{"a history below none", "", []string{with(aRollout, "  suites:", "  historyLimit: -1\n  suites:")}, "spec.historyLimit: -1 is not a number of runs"},
		{"a name that leaves no room for runs", "", []string{with(aRollout, "name: r}", "name: "+strings.Repeat("r", 41)+"}")}, "has 41 characters: use at most 40"},
		{"a protected namespace", "", []string{with(aRollout, "configMapRef: {name: policies}", "inline: [{namespace: kube-system, name: p, spec: {podSelector: {}}}]")}, "kube-system is protected"},
		{"an identity of a suite", "", []string{with(aSuite, "from: app", "from: ap")}, `in.yaml:9: ConnectivitySuite ai/s: spec.paths[0].from: there is no identity "ap"; did you mean app?`},
		{"a field of a suite", "", []string{with(aSuite, "expect: Allow", "expects: Allow")}, "spec.paths[0].expects: unknown field; did you mean expect?"},
		{"UDP without DNS", "", []string{with(aSuite, "port: 80}", "port: 80, protocol: UDP}")}, "over UDP only DNS can be tried"},
		{"an exception for no path", "", []string{aSuite, with(aRollout, "  suites:", "  exceptions: [{type: PredictedCut, path: app to stor, reason: x}]\n  suites:")}, `the suite has no path "app to stor"; did you mean app to store?`},
		{"a policy in the ConfigMap", "", []string{aRollout, with(aMap, "podSelector: {}", "podSelektor: {}")}, "in.yaml:20: NetworkPolicy a/p: spec.podSelektor: unknown field; did you mean podSelector?"},
		{"another namespace than -n", "other", []string{with(aRollout, "name: r}", "name: r, namespace: ai}")}, "metadata.namespace: ai is not the namespace other that -n asks for"},
		{"nothing of ours", "", []string{"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"}, "nothing to apply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			namespace, required := "ai", tt.namespace != ""
			if required {
				namespace = tt.namespace
			}
			_, err := input(t, namespace, required, tt.documents...)
			bad, ok := err.(*manifest.Error)
			if !ok || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if len(bad.Problems) > 1 {
				t.Errorf("one mistake is told %d times: %v", len(bad.Problems), err)
			}
		})
	}
}

// A policy among the files would be in force at once.
func TestWhatIsNotAppliedIsSaid(t *testing.T) {
	policy := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: a}\nspec: {podSelector: {}}\n"
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: a}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}\n"
	broken := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: e, namespace: a}\nspec: {replicaz: 1}\n"
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	in, err := input(t, "ai", false, aRollout, policy, deployment, broken, secret)
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Objects) != 1 {
		t.Errorf("%d objects are applied, want the rollout", len(in.Objects))
	}
	notes := strings.Join(in.Notes, "\n")
	for _, want := range []string{"NetworkPolicy a/p is not applied, because it would be in force at once", "1 Deployment: not applied", "1 Secret: not applied"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is not in:\n%s", want, notes)
		}
	}
}
