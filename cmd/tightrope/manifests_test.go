package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// gateway is a small platform with one policy about one of its workloads.
const gateway = `apiVersion: v1
kind: Namespace
metadata: {name: ai}
---
apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: v1
kind: Pod
metadata: {name: llm-gateway, namespace: ai, labels: {app: llm-gateway}}
spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 4000}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: chat-api, namespace: apps, labels: {app: chat-api}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: batch, namespace: apps, labels: {app: batch}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: llm-gateway, namespace: ai}
spec:
  podSelector: {matchLabels: {app: llm-gateway}}
  policyTypes: [Ingress]
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}
      podSelector: {matchLabels: {app: chat-api}}
    ports:
    - port: http
`

func manifests(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// The JSON of matrix is a contract: these fields, and no others.
// Traffic between a pod and the node that it runs on is always allowed.
func TestMatrixKnowsTheAddressesOfNodes(t *testing.T) {
	const node = `
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
`
	_, out, errs := said(t, "matrix", "-f", manifests(t, node), "--ports", "80", "--from-ip", "172.18.0.3", "--from-ip", "172.18.0.4", "--to-ip", "172.18.0.3", "-o", "csv")
	for _, want := range []string{",,172.18.0.3,a,web,,80,TCP,Allow,", ",,172.18.0.4,a,web,,80,TCP,Deny,", "a,web,,,,172.18.0.3,80,TCP,Allow,"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s%s, without %s", out, errs, want)
		}
	}
}

func TestMatrixAsJSON(t *testing.T) {
	code, out, errs := said(t, "matrix", "-f", manifests(t, gateway), "--to", "ai", "--from", "apps", "--from-ip", "203.0.113.7", "-o", "json")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var got struct {
		Results []map[string]any `json:"results"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var lines []string
	for _, r := range got.Results {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	slices.Sort(lines)
	end := `"port":"4000","protocol":"TCP","to":{"namespace":"ai","pod":"llm-gateway"},"verdict":`
	want := []string{
		`{"egressRule":"not isolated","from":{"namespace":"apps","pod":"batch"},"ingressRule":"ai/llm-gateway ingress: no rule allows 4000/TCP from apps/batch",` + end + `"Deny"}`,
		`{"egressRule":"not isolated","from":{"namespace":"apps","pod":"chat-api"},"ingressRule":"ai/llm-gateway ingress[0]",` + end + `"Allow"}`,
		`{"egressRule":"outside the cluster","from":{"ip":"203.0.113.7"},"ingressRule":"ai/llm-gateway ingress: no rule allows 4000/TCP from 203.0.113.7",` + end + `"Deny"}`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestMatrixIsATableAPageAndADifference(t *testing.T) {
	before := manifests(t, gateway)
	after := manifests(t, strings.Replace(gateway, "app: chat-api}}\n    ports", "app: batch}}\n    ports", 1))
	for format, says := range map[string]string{"text": "■ may connect", "csv": "apps,chat-api", "html": "<!doctype html>"} {
		code, out, errs := said(t, "matrix", "-f", before, "-o", format)
		if code != exitOK {
			t.Errorf("%s: exit code %d: %s", format, code, errs)
		}
		contains(t, strings.ToLower(out), strings.ToLower(says))
	}
	code, out, errs := said(t, "matrix", "-f", before, "--diff", after)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	contains(t, out, "apps/batch", "apps/chat-api", "opened", "closed")
}

// Somebody who does not know NetworkPolicy is told the answer first, then why,
// with the lines that decide, then what would have to be added.
func TestExplainSaysWhyAndWhatToDo(t *testing.T) {
	path := manifests(t, gateway)
	for _, tt := range []struct {
		from, port string
		says       []string
	}{
		{"apps/batch", "4000", []string{"No: apps/batch may not connect to ai/llm-gateway on 4000/TCP.", path + ":31", "What to do", "podSelector: {matchLabels: {app: batch}}"}},
		{"apps/chat-api", "http", []string{"Yes: apps/chat-api may connect", path + ":31", "Nothing needs to be done"}},
		{"203.0.113.7", "4000/TCP", []string{"No: 203.0.113.7 may not connect"}},
	} {
		code, out, errs := said(t, "explain", "--from", tt.from, "--to", "ai/llm-gateway", "--port", tt.port, "-f", path)
		if code != exitOK {
			t.Errorf("%s: exit code %d: %s", tt.from, code, errs)
		}
		contains(t, out, tt.says...)
	}
	code, _, errs := said(t, "explain", "--from", "apps/nobody", "--to", "ai/llm-gateway", "--port", "4000", "-f", path)
	if code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	contains(t, errs, "apps/nobody")
}

// A policy of a kind that is not understood may do anything to the pod, so nothing
// is promised, and the exit code says so.
func TestExplainDoesNotGuess(t *testing.T) {
	path := manifests(t, gateway+`---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: extra, namespace: ai}
spec: {selector: all()}
`)
	code, out, errs := said(t, "explain", "--from", "apps/chat-api", "--to", "ai/llm-gateway", "--port", "4000", "-f", path)
	if code != exitInconclusive {
		t.Errorf("exit code %d: %s", code, errs)
	}
	contains(t, out, "Not known", "extra")
}

// Every kind of bad input is told with its place, by every command that reads
// manifests, with exit code 4. How much memory it takes is the reader's test.
func TestBadManifestsAreToldWithTheirPlace(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 200<<20); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe.yaml")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	edited := func(old, with string) string {
		t.Helper()
		if strings.Count(gateway, old) != 1 {
			t.Fatalf("%q is not there once", old)
		}
		return manifests(t, strings.Replace(gateway, old, with, 1))
	}
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 10), ", ") + "]\n"
	}
	for name, tt := range map[string]struct{ path, says string }{
		"an unknown field":        {edited("policyTypes: [Ingress]", "policyType: [Ingress]"), ":29"},
		"a wrong type":            {edited("policyTypes: [Ingress]", "policyTypes: Ingress"), ":29"},
		"a dangling reference":    {manifests(t, gateway+"---\napiVersion: tightrope.dev/v1alpha1\nkind: PolicyRollout\nmetadata: {name: r, namespace: ai}\nspec:\n  policies: {configMapRef: {name: gone}}\n  suites: [{name: s}]\n  stages: [{name: all, mode: Enforce}]\n"), "ai/gone"},
		"a duplicate object":      {manifests(t, gateway+"---\n"+gateway), "m.yaml:"},
		"a file of 200 MB":        {big, "big.yaml"},
		"a bomb of aliases":       {manifests(t, bomb), "alias"},
		"an invalid CIDR":         {edited("- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}\n      podSelector: {matchLabels: {app: chat-api}}", "- ipBlock: {cidr: 10.0.0.0/33}"), ":32"},
		"port 70000":              {edited("- port: http", "- port: 70000"), ":35"},
		"a binary file":           {manifests(t, "\x7fELF\x02\x01\x01\x00\x00\x00"), "m.yaml"},
		"a directory without any": {t.TempDir(), "nothing"},
		"a pipe":                  {pipe, "pipe"},
		"what is not there":       {filepath.Join(t.TempDir(), "none"), "none"},
	} {
		for _, command := range [][]string{{"matrix"}, {"lint"}, {"plan"}, {"explain", "--from", "a/b", "--to", "c/d", "--port", "1", "--with-rollout"}} {
			if name == "a dangling reference" && command[0] == "matrix" {
				command = append(command, "--with-rollout") // without it, no rollout is needed
			}
			t.Run(name+"/"+command[0], func(t *testing.T) {
				code, out, errs := said(t, append(command, "-f", tt.path)...)
				if code != exitUsage || out != "" {
					t.Errorf("exit code %d: %.300s %.300s", code, out, errs)
				}
				contains(t, errs, tt.says)
				if strings.Contains(errs, "goroutine") {
					t.Errorf("a stack trace: %s", errs)
				}
			})
		}
	}
}

func TestADirectoryThatCannotBeReadIsTold(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads every directory")
	}
	shut := filepath.Join(t.TempDir(), "shut")
	if err := os.Mkdir(shut, 0); err != nil {
		t.Fatal(err)
	}
	code, _, errs := said(t, "matrix", "-f", shut)
	if code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	contains(t, errs, shut, "permission denied")
}
