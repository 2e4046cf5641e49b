package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// guarded is a webhook that a policy cuts off from the API server.
const guarded = `apiVersion: v1
kind: Namespace
metadata: {name: guarded}
---
apiVersion: v1
kind: Service
metadata: {namespace: guarded, name: guard}
spec: {selector: {app: guard}, ports: [{port: 443, targetPort: 7443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: guarded, name: guard}
spec:
  selector: {matchLabels: {app: guard}}
  template: {metadata: {labels: {app: guard}}, spec: {containers: [{name: c, image: tightrope.dev/standin}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: guarded, name: guard}
spec: {podSelector: {matchLabels: {app: guard}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
- name: guard.example.org
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {service: {namespace: guarded, name: guard}}
  rules: [{apiGroups: [example.org], apiVersions: [v1], resources: [widgets], operations: [CREATE]}]
`

// What the input has that lint passes over is said, beside the findings.
func TestLintSaysWhatItPassesOver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "guarded.yaml")
	if err := os.WriteFile(file, []byte(guarded+"---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := said(t, "lint", "-f", file, "-v")
	if code != exitCut {
		t.Errorf("exit code %d: %s", code, errs)
	}
	contains(t, out, "[webhook-forgotten]", "which ValidatingWebhookConfiguration guard has it call")
	contains(t, errs, "note: ", "Widget")
	if strings.Contains(errs, "ValidatingWebhookConfiguration") {
		t.Errorf("what was read is noted as skipped: %s", errs)
	}
}

// However many problems the input has, each has a line of its own, whole.
func TestEveryProblemOfTheInputHasItsLine(t *testing.T) {
	var docs []string
	for i := range 8 {
		docs = append(docs, fmt.Sprintf("apiVersion: apps/v1\nkind: NetworkPolicy\nmetadata: {name: policy-%d, namespace: ai}\nspec: {podSelector: {}}\n", i))
	}
	code, _, errs := said(t, "lint", "-f", manifests(t, strings.Join(docs, "---\n")))
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	if code != exitUsage || len(lines) != len(docs) {
		t.Fatalf("exit code %d, %d lines: %s", code, len(lines), errs)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "error: ") || !strings.HasSuffix(line, "write apiVersion: networking.k8s.io/v1") {
			t.Errorf("not whole: %s", line)
		}
	}
}

// What isolates a pod is said to the end, however many policies do.
func TestLintSaysItsReasonsToTheEnd(t *testing.T) {
	docs := []string{"apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: ai, labels: {app: web}}\nspec: {containers: [{name: c, image: c, env: [{name: DB_HOST, value: db}]}]}\n",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: db, namespace: ai, labels: {app: db}}\nspec: {containers: [{name: c, image: c, ports: [{containerPort: 5432}]}]}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: ai}\nspec: {selector: {app: db}, ports: [{port: 5432}]}\n"}
	for i := range 20 {
		docs = append(docs, fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: one-of-several-policies-%d, namespace: ai}\nspec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53}, {port: 53, protocol: UDP}]}]}\n", i))
	}
	_, out, _ := said(t, "lint", "-f", manifests(t, strings.Join(docs, "---\n")))
	contains(t, out, "variable DB_HOST of ai/web names Service ai/db.\n")
}

// A cluster says which webhooks its API server calls.
func TestLintOnALab(t *testing.T) {
	kubeconfig := sharedLab(t)
	t.Cleanup(func() { kubectlOn(t, kubeconfig, guarded, "delete", "-f", "-", "--wait=true") })
	kubectlOn(t, kubeconfig, guarded, "apply", "-f", "-")
	code, out, errs := said(t, "lint", "--kubeconfig", kubeconfig)
	if code != exitCut {
		t.Errorf("exit code %d: %s", code, errs)
	}
	contains(t, out, "error: NetworkPolicy guarded/guard spec.ingress [webhook-forgotten]", "which ValidatingWebhookConfiguration guard has it call")
}

// Policies without anything that they could be about are not checked by half, and
// what was not looked at is said.
func TestLintSaysWhatItCouldNotCheck(t *testing.T) {
	policy := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: ai}\nspec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}\n"
	pod := "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ai}\nspec: {dnsPolicy: None, containers: [{name: c, image: c}]}\n"
	other := "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: c, namespace: ai}\nspec: {endpointSelector: {}}\n"
	for _, tt := range []struct {
		name, text string
		code       int
		says       string
	}{
		{"no workload", policy, exitInconclusive, "no workload is in the input"},
		{"a workload", policy + pod, exitOK, ""},
		{"a workload, and a policy of another kind", policy + pod + other, exitOK, "is not checked: CiliumNetworkPolicy ai/c (pods of namespace ai)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := manifests(t, tt.text)
			code, _, errs := said(t, "lint", "-f", path)
			if code != tt.code || !strings.Contains(errs, tt.says) || tt.says == "" && strings.Contains(errs, "not checked") {
				t.Errorf("exit code %d: %s", code, errs)
			}
			if _, out, _ := said(t, "lint", "-f", path, "-o", "json"); !strings.Contains(out, tt.says) {
				t.Errorf("not in the document: %s", out)
			}
		})
	}
}
