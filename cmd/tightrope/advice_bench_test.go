package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeSet writes 2,002 objects into a directory: 20 namespaces, each with a
// default deny, 30 Deployments with a Service, 35 policies of their own and three
// objects that are not read; and a rollout of one policy for each namespace with a
// suite of 120 paths. With TIGHTROPE_BENCH_SET the set is kept there, for another binary.
func writeSet(b *testing.B) string {
	b.Helper()
	dir := os.Getenv("TIGHTROPE_BENCH_SET")
	if dir == "" {
		dir = b.TempDir()
	}
	var rollout, identities, paths bytes.Buffer
	for n := range 20 {
		var out bytes.Buffer
		fmt.Fprintf(&out, "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-%d, labels: {tier: t%d}}\n", n, n%3)
		fmt.Fprintf(&out, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: default-deny, namespace: team-%d}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n", n)
		for a := range 30 {
			writeApp(&out, n, a)
		}
		for a := range 35 {
			writePolicy(&out, n, a)
		}
		for i, kind := range []string{"ServiceAccount", "Secret", "ConfigMap"} {
			fmt.Fprintf(&out, "---\napiVersion: v1\nkind: %s\nmetadata: {name: other-%d, namespace: team-%d}\n", kind, i, n)
		}
		keep(b, filepath.Join(dir, fmt.Sprintf("team-%d.yaml", n)), out.String())
		fmt.Fprintf(&rollout, "    - {name: candidate, namespace: team-%d, spec: {podSelector: {matchLabels: {app: app-1}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: app-0}}}], ports: [{port: http}]}]}}\n", n)
		fmt.Fprintf(&identities, "  - {name: a%d, namespace: team-%d, labels: {app: app-0}}\n", n, n)
		for a := range 6 {
			fmt.Fprintf(&paths, "  - {name: p%d-%d, from: a%d, to: {service: {name: app-%d, namespace: team-%d, port: 80}}, expect: Allow}\n", n, a, n, a+1, n)
		}
	}
	keep(b, filepath.Join(dir, "rollout.yaml"), "apiVersion: tightrope.dev/v1alpha1\nkind: PolicyRollout\nmetadata: {name: r, namespace: team-0}\nspec:\n  suites: [{name: s}]\n  stages: [{name: all, mode: Enforce}]\n  policies:\n    inline:\n"+
		rollout.String()+"---\napiVersion: tightrope.dev/v1alpha1\nkind: ConnectivitySuite\nmetadata: {name: s, namespace: team-0}\nspec:\n  identities:\n"+identities.String()+"  paths:\n"+paths.String())
	return dir
}

func keep(b *testing.B, file, text string) {
	b.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

func writeApp(out *bytes.Buffer, n, a int) {
	fmt.Fprintf(out, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app-%[2]d, namespace: team-%[1]d, labels: {app: app-%[2]d}}
spec:
  replicas: 3
  selector: {matchLabels: {app: app-%[2]d}}
  template:
    metadata: {labels: {app: app-%[2]d, part: p%[3]d}}
    spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}, {name: metrics, containerPort: 9090}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: app-%[2]d, namespace: team-%[1]d}
spec: {selector: {app: app-%[2]d}, ports: [{name: http, port: 80, targetPort: http}]}
`, n, a, a%5)
}

func writePolicy(out *bytes.Buffer, n, a int) {
	fmt.Fprintf(out, `---
# What may call app-%[2]d, and whom it calls.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: app-%[2]d-%[3]d, namespace: team-%[1]d}
spec:
  podSelector: {matchLabels: {app: app-%[2]d}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {part: p%[4]d}}
    - namespaceSelector: {matchLabels: {tier: t%[5]d}}
      podSelector: {matchLabels: {app: app-%[6]d}}
    ports: [{port: http}]
  egress:
  - to: [{podSelector: {matchLabels: {app: app-%[6]d}}}]
    ports: [{port: 8080}]
  - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]
    ports: [{port: 53, protocol: UDP}, {port: 53}]
`, n, a%30, a/30, a%5, (n+1)%3, (a+7)%30)
}

// BenchmarkAdvice runs the four commands on 2,002 objects.
func BenchmarkAdvice(b *testing.B) {
	dir := writeSet(b)
	for _, args := range []string{
		"lint", "lint -o json", "lint -o sarif", "explain --from team-0/app-0 --to team-1/app-1 --port 8080",
		"matrix", "matrix -o json --by workload", "matrix -o html", "plan",
	} {
		b.Run(args, func(b *testing.B) {
			for b.Loop() {
				var out, errs bytes.Buffer
				if code := run(append(strings.Fields(args), "-f", dir), &out, &errs); code > exitCut {
					b.Fatalf("exit code %d: %.500s", code, &errs)
				}
			}
		})
	}
}
