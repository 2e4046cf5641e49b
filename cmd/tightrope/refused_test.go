package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small is the smallest scenario that has everything, with edits: pairs of a
// text and what stands there instead.
func small(t *testing.T, edits ...string) string {
	t.Helper()
	raw, err := os.ReadFile("../../scenarios/testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(edits); i += 2 {
		if strings.Count(text, edits[i]) != 1 {
			t.Fatalf("%q is %d times in the small scenario, and an edit needs exactly one place", edits[i], strings.Count(text, edits[i]))
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return text
}

const (
	allowPath = `    - name: app→store
      from: app
      to: {service: {namespace: back, name: store, port: 80}}
      expect: Allow
      probe: {type: HTTP, path: /health}
`
	openBlock = "            - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}\n" // lets Tightrope's control pod through too
	witness   = "      witness: {from: app}\n"
	metadata  = "metadata: {name: small, namespace: back}"
)

// What only the cluster can tell is refused by preflight: exit code 4, the reason
// as one line, a report, and nothing changed.
func TestWhatPreflightRefusesIsBadInput(t *testing.T) {
	config := sharedLab(t)
	cleared(t, config, "front", "back")
	for _, tt := range []struct {
		name, scenario string
		says           []string
	}{
		{
			"a Deny path that nobody can witness for",
			small(t, metadata, "metadata: {name: blind, namespace: back}", allowPath, "", openBlock, "", witness, ""),
			[]string{"scenario blind was refused", "stranger→store", "must not work", "Add an Allow path"},
		},
		{
			"a Service that the cluster does not have",
			withoutTopology(t, small(t, metadata, "metadata: {name: lost, namespace: back}",
				"name: store, port: 80}}\n      expect: Allow", "name: stone, port: 80}}\n      expect: Allow")),
			[]string{"scenario lost was refused", "back/stone"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := t.TempDir()
			var stdout, stderr bytes.Buffer
			path := file(t, "refused.yaml", tt.scenario)
			code := run([]string{"run", path, "--cluster", "current", "--kubeconfig", config, "--report", reports}, &stdout, &stderr)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d: %s%s", code, exitUsage, &stdout, &stderr)
			}
			for _, want := range tt.says {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("it does not say %q: %s", want, &stderr)
				}
			}
			if strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("not one line: %q", &stderr)
			}
			folders, _ := filepath.Glob(filepath.Join(reports, "*"))
			if len(folders) != 1 {
				t.Fatalf("report folders %v, want one", folders)
			}
			if rep := readReport(t, folders[0]); rep.Result != "Refused" || rep.Message == "" {
				t.Errorf("result %q: %q", rep.Result, rep.Message)
			}
			wantBaseline(t, config)
			code, out, errs := said(t, "plan", path, "--live", "--kubeconfig", config) // which would have said so before
			if code != exitUsage {
				t.Errorf("plan --live: exit code %d, want %d: %s", code, exitUsage, errs)
			}
			contains(t, out, append(tt.says[1:], "WHAT THE CONTROLLER WOULD REFUSE: 1", "NOT LOOKED AT", "The controller would refuse it")...)
		})
	}
}

// withoutTopology takes for granted that the platform is there.
func withoutTopology(t *testing.T, text string) string {
	t.Helper()
	before, rest, found := strings.Cut(text, "  topology:\n")
	_, after, more := strings.Cut(rest, "  suite:\n")
	if !found || !more {
		t.Fatal("the small scenario has no topology to take out")
	}
	return before + "  suite:\n" + after
}
