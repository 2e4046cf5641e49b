package main

import (
	"os"
	"path/filepath"
	"testing"
)

// overlay is a directory with a base whose policy an overlay patches.
func overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"base/kustomization.yaml": "resources: [all.yaml]\n",
		"base/all.yaml":           gateway,
		"prod/kustomization.yaml": "resources: [../base]\nnameSuffix: -v2\npatches: [{path: patch.yaml}]\n",
		"prod/patch.yaml":         "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: llm-gateway, namespace: ai}\nspec: {policyTypes: [Ingress, Egress], egress: [{ports: [{port: 443}]}]}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What is judged is what kustomize builds; what is shown stands in the files that
// people edit, and is left to them.
func TestAnOverlayIsJudgedAsItIsBuilt(t *testing.T) {
	dir := overlay(t)
	base := filepath.Join(dir, "base", "all.yaml")
	for _, path := range []string{dir, filepath.Join(dir, "prod"), filepath.Join(dir, "prod", "kustomization.yaml")} {
		code, out, errs := said(t, "explain", "--from", "ai/llm-gateway-v2", "--to", "203.0.113.7", "--port", "80", "-f", path)
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		contains(t, out, "No: ai/llm-gateway-v2 may not connect to 203.0.113.7 on 80/TCP.", base+":27")
		contains(t, errs, "is built by kustomize: 6 objects")
	}
	code, out, errs := said(t, "lint", "-f", dir)
	if code != exitCut {
		t.Errorf("exit code %d: %s", code, errs)
	}
	contains(t, out, "error: "+base+":27: NetworkPolicy ai/llm-gateway-v2 spec.egress [dns-forgotten]")
	_, _, errs = said(t, "lint", "-f", dir, "--fix", "--write")
	contains(t, errs, "kustomize builds it")
	if raw, err := os.ReadFile(base); err != nil || string(raw) != gateway {
		t.Errorf("the base has changed: %v\n%s", err, raw)
	}
}
