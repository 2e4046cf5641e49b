package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

// Flags that would silently do nothing, and goals that nothing reaches, are bad input.
func TestRolloutFlags(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	rollout := file(t, "rollout.yaml", "apiVersion: tightrope.dev/v1alpha1\nkind: ConnectivitySuite\nmetadata: {name: s}\nspec:\n"+
		"  identities: [{name: a, namespace: a}]\n  paths: [{name: x, from: a, expect: Allow, to: {service: {namespace: a, name: s, port: 1}}}]\n")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"rollout"}, "no command was given"},
		{[]string{"rollout", "aply"}, "did you mean apply?"},
		{[]string{"rollout", "apply"}, "nothing to apply: give -f"},
		{[]string{"rollout", "apply", "-f", rollout, "--report", "out"}, "--report has no effect without --wait"},
		{[]string{"rollout", "apply", "-f", rollout, "--dry-run=server", "--wait"}, "--wait has nothing to follow"},
		{[]string{"rollout", "apply", "-f", rollout, "--dry-run=client"}, "none or server"},
		{[]string{"rollout", "apply", "-f", rollout, "--wait", "-o", "json"}, "choose one"},
		{[]string{"rollout", "apply", "-f", rollout, "--wait", "--hold-timeout=0s"}, "use a time above 0"},
		{[]string{"rollout", "apply", "-f", rollout}, "name one that does with --kubeconfig"},
		{[]string{"rollout", "status", "x", "--for=done"}, "write stage=NAME, approval, committed or complete"},
		{[]string{"rollout", "status", "x", "--timeout=1s"}, "--timeout bounds --for"},
		{[]string{"rollout", "status", "x", "-w", "-o", "json"}, "leave --for and -o out"},
		{[]string{"rollout", "approve", "x", "--action=Procede"}, "use Proceed, Promote or Resume; did you mean Proceed?"},
		{[]string{"rollout", "approve", "x", "--action=Promote", "--gate=g"}, "--gate names what Proceed opens"},
		{[]string{"rollout", "approve", "x", "--expires=0s"}, "use a time above 0"},
		{[]string{"rollout", "approve", "x", "-o", "wide"}, "json or yaml"},
		{[]string{"rollout", "status"}, "give the name of one rollout"},
		{[]string{"rollout", "digest"}, "give the name of a rollout, or -f with the files of one"},
		{[]string{"rollout", "digest", "r", "-f", rollout}, "give the name of a rollout, or -f with the files of one"},
		{[]string{"rollout", "list", "-o", "table"}, "json, yaml or wide"},
		{[]string{"report", "render", "-f", "x"}, "give -f with the report, and --to"},
		{[]string{"report", "show", "./none.json"}, "there is no such file"},
	} {
		_, stderr := says(t, exitUsage, tt.args...)
		if !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: %q is not in %s", tt.args, tt.want, stderr)
		}
	}
}

// The digests of files need no cluster, and are what a rollout then states.
func TestDigestsOfFiles(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	const both = "apiVersion: tightrope.dev/v1alpha1\nkind: ConnectivitySuite\nmetadata: {name: s}\nspec:\n" +
		"  identities: [{name: a, namespace: a}]\n  paths: [{name: x, from: a, expect: Allow, to: {service: {namespace: a, name: s, port: 1}}}]\n" +
		"---\napiVersion: tightrope.dev/v1alpha1\nkind: PolicyRollout\nmetadata: {name: r}\nspec:\n  suites: [{name: s DIGEST}]\n" +
		"  policies: {inline: [{namespace: a, name: p, spec: {podSelector: {}}}]}\n  stages: [{name: all, mode: Enforce}]\n"
	out, _ := says(t, exitOK, "rollout", "digest", "-n", "ai", "-f", file(t, "all.yaml", strings.Replace(both, " DIGEST", "", 1)))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || lines[0] != "# of rollout ai/r" || lines[1] != "suites:" {
		t.Fatalf("it prints:\n%s", out)
	}
	var stated struct{ Suites []v1alpha1.SuiteRef }
	if err := yaml.UnmarshalStrict([]byte(out), &stated); err != nil || len(stated.Suites) != 1 {
		t.Fatalf("what it prints is no part of a spec: %v\n%s", err, out)
	}
	pinned, _ := says(t, exitOK, "rollout", "digest", "-n", "ai", "-f", file(t, "all.yaml", strings.Replace(both, " DIGEST", ", digest: \""+stated.Suites[0].Digest+"\"", 1)))
	if pinned != out {
		t.Errorf("once it is stated, the digest is another:\n%s%s", out, pinned)
	}
	_, errs := says(t, exitUsage, "rollout", "digest", "-n", "ai", "-f", file(t, "all.yaml", strings.Replace(both, " DIGEST", ", digest: latest", 1)))
	contains(t, errs, "spec.suites[0].digest: latest is no digest")
}

// Who gives a rollout to run is told which command is meant.
func TestARolloutIsNoScenario(t *testing.T) {
	name := file(t, "rollout.yaml", "apiVersion: tightrope.dev/v1alpha1\nkind: PolicyRollout\nmetadata: {name: r}\nspec: {}\n---\nkind: ConnectivitySuite\n")
	_, stderr := says(t, exitUsage, "run", name)
	contains(t, stderr, "rollout.yaml:2: kind: is a PolicyRollout, not a Scenario", "tightrope rollout apply -f "+name+" --wait", "tightrope plan -f "+name)
	if strings.Count(stderr, "error:") != 1 {
		t.Errorf("more is told than that:\n%s", stderr)
	}
}

// A report is read from its file and from the ConfigMap that a run leaves, as JSON and
// as YAML, packed or not.
func TestReportsAreRenderedFromWhatARunLeaves(t *testing.T) {
	r := &report.Report{SchemaVersion: report.SchemaVersion, Run: "r-1", Rollout: "ai/r", Result: "Committed", Message: "2 policies are in force"}
	plain := filepath.Join(t.TempDir(), "report.json")
	var raw bytes.Buffer
	if err := report.WriteJSON(&raw, r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain, raw.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	inputs := map[string]string{"a report": plain}
	large := *r
	large.NotTested = make([]report.NotTested, 10_000)
	for name, r := range map[string]*report.Report{"a ConfigMap": r, "a packed ConfigMap": &large} {
		data, packed, err := report.Store(r)
		if err != nil {
			t.Fatal(err)
		}
		cm := corev1.ConfigMap{Data: data, BinaryData: packed}
		cm.APIVersion, cm.Kind = "v1", "ConfigMap"
		text, err := yaml.Marshal(cm)
		if err != nil {
			t.Fatal(err)
		}
		inputs[name+" in YAML"] = file(t, "cm.yaml", string(text))
		if text, err = yaml.YAMLToJSON(text); err != nil {
			t.Fatal(err)
		}
		inputs[name+" in JSON"] = file(t, "cm.json", string(text))
	}
	for name, path := range inputs {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "new", "folder")
			stdout, _ := says(t, exitOK, "report", "render", "-f", path, "--to", to)
			for _, f := range report.Formats {
				contains(t, stdout, f.File, "Not verified: a file names no digest")
				if raw, err := os.ReadFile(filepath.Join(to, f.File)); err != nil || len(raw) == 0 {
					t.Errorf("%s: %v", f.File, err)
				}
			}
			stdout, _ = says(t, exitOK, "report", "show", path)
			contains(t, stdout, "Committed", "Not verified: a file names no digest")
		})
	}
}

// A file that has the name of a rollout must not be shown in its place.
func TestAFileIsNotTakenForARollout(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Chdir(t.TempDir())
	var raw bytes.Buffer
	if err := report.WriteJSON(&raw, &report.Report{SchemaVersion: report.SchemaVersion, Run: "r-1", Rollout: "ai/r", Result: "Committed"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gateway", "report.json"} {
		if err := os.WriteFile(name, raw.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("folder", 0o700); err != nil {
		t.Fatal(err)
	}
	const cluster = "name one that does with --kubeconfig"
	for _, tt := range []struct {
		code int
		args []string
		want string
	}{
		{exitOK, []string{"report.json"}, "Committed"},
		{exitOK, []string{"./gateway"}, "Committed"},
		{exitOK, []string{"-f", "gateway"}, "Committed"},
		{exitUsage, []string{"gateway"}, "say -f gateway for the file, or -n NAMESPACE for the rollout"},
		{exitUsage, []string{"gateway", "-n", "ai"}, cluster},
		{exitUsage, []string{"report.json", "-n", "ai"}, cluster},
		{exitUsage, []string{"folder"}, cluster},
		{exitUsage, []string{"-f", "gateway", "-n", "ai"}, "nothing of a cluster goes with it"},
		{exitUsage, []string{"-f", "gateway", "gateway"}, "nothing of a cluster goes with it"},
		{exitUsage, nil, "give a file, or the name of one rollout or run"},
	} {
		stdout, stderr := says(t, tt.code, append([]string{"report", "show"}, tt.args...)...)
		if !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("%q: %q is not in %s%s", tt.args, tt.want, stdout, stderr)
		}
	}
}

// A file from anywhere is bounded, says what is wrong with it, and drives no terminal.
func TestFilesThatAreNoReports(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":               {"", "is not valid JSON"},
		"another schema":        {`{"schemaVersion": "\u001b[2Jx"}`, "unknown report schema"},
		"a ConfigMap of others": {"apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n", "has neither report.json nor report.json.gz"},
		"not packed":            {"apiVersion: v1\nkind: ConfigMap\nbinaryData: {report.json.gz: eHh4}\n", "stored report: "},
		"deep":                  {strings.Repeat("[", 100_000), "nests deeper"},
		"a list without end":    {`{"schemaVersion": "x", "paths": [` + strings.Repeat("{},", 30_000) + "{}]}", "a list of more than"},
		"long":                  {strings.Repeat(" ", report.MaxBytes+1), "is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr := says(t, exitUsage, "report", "show", file(t, "report.json", tt.text))
			contains(t, stderr, tt.want)
			if strings.Contains(stderr, "\x1b") {
				t.Errorf("%q drives the terminal", stderr)
			}
		})
	}
}

// That a report cannot be read makes no end of a run better than it is.
func TestTheEndOfARunWithoutItsReport(t *testing.T) {
	for result, want := range map[string]int{"Committed": exitInconclusive, "RolledBack": exitCut, "RollbackFailed": exitRollback, "Inconclusive": exitInconclusive, "Refused": exitUsage, "": exitInconclusive} {
		run := &v1alpha1.PolicyRolloutRun{}
		run.Status.Result = result
		if got := exitCode(unreported(run, report.ErrAltered)); got != want {
			t.Errorf("%s: exit code %d, want %d", result, got, want)
		}
	}
}
