package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	kyaml "sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// What a correction may do to verdicts: most open what was forgotten and close
// nothing; some close what was opened by mistake and open nothing; and a policy
// that begins to select other pods does both.
var (
	closing = []string{
		"any-namespace-by-label", "deny-that-allows", "empty-egress-ignored", "metadata-exposed", "named-port-redefinable",
		"no-default-deny", "peers-or-instead-of-and", "redundant-rules", "rules-without-policy-type",
	}
	moving   = []string{"ip-block-of-pod", "label-drift", "selects-nothing"}
	granting = []string{"ambient-probes", "dns-forgotten", "metrics-forgotten", "peer-ports", "webhook-forgotten"}
)

// apply puts the corrected document in the place of the object's.
func apply(t *testing.T, text string, f Finding) string {
	t.Helper()
	if f.New {
		return text + "\n---\n" + f.Corrected
	}
	docs := strings.Split(text, "\n---\n")
	at := slices.IndexFunc(docs, func(doc string) bool {
		var o metav1.PartialObjectMetadata
		if err := kyaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		return o.Kind == f.Object.Kind && o.Namespace == f.Object.Namespace && o.Name == f.Object.Name
	})
	if at < 0 {
		t.Fatalf("no document of %s in\n%s", f.Object, text)
	}
	docs[at] = strings.TrimSuffix(f.Corrected, "\n")
	return strings.Join(docs, "\n---\n")
}

func TestACorrectionMakesItsFindingGoAway(t *testing.T) {
	corrected := 0
	for _, s := range stories(t) {
		t.Run(s.mistake+"/"+s.name, func(t *testing.T) {
			before := read(t, s.text, s.base)
			for _, f := range Check(before) {
				if f.Corrected == "" {
					continue
				}
				corrected++
				if !strings.Contains(s.text, "name: "+f.Object.Name) && !f.New {
					continue // stands in the base
				}
				after := read(t, apply(t, s.text, f), s.base)
				for _, g := range Check(after) {
					if g.Rule == f.Rule && g.Object == f.Object && g.Position.Field == f.Position.Field && g.What == f.What {
						t.Errorf("is still there: %s\n%s", g, f.Corrected)
					}
				}
				holds(t, f, before, after)
			}
		})
	}
	if corrected < len(Mistakes()) {
		t.Errorf("only %d corrections were tried", corrected)
	}
}

// holds compares what the correction does to verdicts against what it may do.
func holds(t *testing.T, f Finding, before, after *manifest.Set) {
	t.Helper()
	if slices.Contains(moving, f.Rule) {
		return
	}
	old, now := verdicts(before), verdicts(after)
	for _, conn := range slices.Sorted(maps.Keys(old)) {
		if slices.Contains(closing, f.Rule) {
			if old[conn] == verdict.Deny && now[conn] != verdict.Deny {
				t.Errorf("%s: the correction opens %s\n%s", f.Rule, conn, f.Corrected)
			}
		} else if old[conn] == verdict.Allow && now[conn] != verdict.Allow {
			t.Errorf("%s: the correction closes %s\n%s", f.Rule, conn, f.Corrected)
		}
	}
}

// verdicts judges every pair of pods on every port that some pod declares there,
// which is what an author can have had in mind.
func verdicts(set *manifest.Set) map[string]verdict.Decision {
	s := verdict.Compile(set.World, set.Pods)
	all := map[string]verdict.Decision{}
	for a, from := range s.Pods() {
		for b, to := range s.Pods() {
			for _, p := range to.Ports {
				protocol := p.Protocol
				if protocol == "" {
					protocol = corev1.ProtocolTCP
				}
				all[fmt.Sprintf("%s→%s:%d/%s", from.Key(), to.Key(), p.Number, protocol)] = s.Decide(a, b, p.Number, protocol)
			}
		}
	}
	return all
}

func TestCorrectionsKeepCommentsAndOrder(t *testing.T) {
	const source = `# The gateway's policy.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: gateway # as the workload
  namespace: ai
spec:
  policyTypes: [Egress]
  podSelector: {matchLabels: {app: gateway}}
  # the model only
  egress:
  - to:
    - podSelector: {matchLabels: {app: model}}
    ports:
    - port: 8000 # vLLM
`
	const want = source + `  - to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
    ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
`
	for name, input := range map[string]struct{ source, want string }{
		"lists under their key":   {source, want},
		"lists indented":          {indent(source), indent(want)},
		"a document after others": {source, want},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, f := range check(t, input.source, gatewayAndModel) {
				if f.Rule == "dns-forgotten" {
					got = f.Corrected
				}
			}
			if got != input.want {
				t.Errorf("got\n%s\nwant\n%s", got, input.want)
			}
		})
	}
}

// A list that was empty in one line takes its first rule below it.
func TestAnEmptyListIsFilledInLines(t *testing.T) {
	const source = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: ops, name: hook}
spec:
  podSelector: {matchLabels: {app: hook}}
  ingress: [] # nothing
`
	const pods = `apiVersion: v1
kind: Pod
metadata: {namespace: ops, name: hook, labels: {app: hook}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 9443}]}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: ops, name: hook-webhook}
spec: {selector: {app: hook}, ports: [{port: 443, targetPort: 9443}]}
`
	f := the(t, "webhook-forgotten", check(t, source, pods))
	if !strings.Contains(f.Corrected, "  ingress:\n  # nothing\n  - ports:\n    - protocol: TCP\n      port: 9443\n") {
		t.Errorf("got\n%s", f.Corrected)
	}
}

// Software that chooses ports at random needs all of them open, and not just the
// ones that were tried.
func TestRandomPortsAreOpenedAltogether(t *testing.T) {
	const source = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: ray, name: ray}
spec:
  podSelector: {matchLabels: {ray.io/cluster: a}}
  ingress: []
`
	pods := ""
	for _, name := range []string{"head", "worker"} {
		pods += fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: ray, name: %s, labels: {ray.io/cluster: a, app: %s}}\nspec: {containers: [{name: c, image: x}]}\n", name, name)
	}
	f := the(t, "peer-ports", check(t, source, pods))
	const want = "  ingress:\n  - from:\n    - podSelector:\n        matchLabels:\n          ray.io/cluster: a\n"
	if !strings.HasSuffix(f.Corrected, want) {
		t.Errorf("got\n%s\nwant it to end in\n%s", f.Corrected, want)
	}
}

// indent moves the items of lists two columns to the right of their key.
func indent(s string) string {
	before, rules, _ := strings.Cut(s, "  egress:\n")
	lines := strings.Split(strings.TrimSuffix(rules, "\n"), "\n")
	depth := func(line string) string {
		inner := strings.HasPrefix(line, "    - ") || strings.HasPrefix(line, "      ")
		if inner {
			return "    " + line
		}
		return "  " + line
	}
	for i, line := range lines {
		lines[i] = depth(line)
	}
	return before + "  egress:\n" + strings.Join(lines, "\n") + "\n"
}

const gatewayAndModel = `apiVersion: v1
kind: Pod
metadata: {namespace: ai, name: gateway, labels: {app: gateway}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: ai, name: model, labels: {app: model}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 8000}]}]}
`
