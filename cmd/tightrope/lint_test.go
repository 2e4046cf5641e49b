package main

import (
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
spec: {podSelector: {matchLabels: {app: guard}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {}}]}]}
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
