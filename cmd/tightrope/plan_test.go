package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/preview"
)

// said runs a command line in this process.
func said(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

func TestPlanPredictsTheScenariosOfTheLibrary(t *testing.T) {
	for _, tt := range []struct {
		scenario string
		code     int
		says     []string
	}{
		{"zero-trust-ai-platform", exitOK, []string{"26 hold, 0 cut, 0 leak, 0 inconclusive", "Every critical path would keep working", "every path that a suite requires works in every combination"}},
		{"gw-forgot-dns", exitCut, []string{"24 hold, 2 cut", "CUT  llm-gateway→DNS/UDP\n       ai/llm-gateway egress: no rule allows 53/UDP to kube-system/coredns", "CUT  llm-gateway→DNS/TCP",
			"accepted by an exception: it shows that probe pods find the cut", "[dns-forgotten]", "The controller would try it, because exceptions accept every predicted cut"}},
		{"../../scenarios/e2e/testdata/broad-neighbour.yaml", exitCut, []string{"1 hold, 0 cut, 1 leak", "LEAK  stranger→store\n       shop/broad ingress[0]", "The controller would hold it"}},
		{"../../scenarios/e2e/testdata/typo.yaml", exitCut, []string{"0 hold, 1 cut", "CUT  app→store\n       depot/store ingress: no rule allows 6566/TCP from crew/app",
			"if it must work, add\n         to spec.ingress of depot/store:\n         - from:\n           - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: crew}}\n             podSelector: {matchLabels: {app: app}}\n           ports:\n           - {port: 6566, protocol: TCP}\n",
			"The controller would refuse it: 1 path would be cut.", `{type: PredictedCut, path: "app→store", reason: "say why"}`}},
		{"observability-blackout", exitCut, []string{"25 hold, 1 cut", "CUT  prometheus→model:9090\n       ai/model ingress: no rule allows 9090/TCP from ops/prometheus", "[metrics-forgotten]"}},
	} {
		t.Run(tt.scenario, func(t *testing.T) {
			code, out, errs := said(t, "plan", tt.scenario)
			if code != tt.code {
				t.Errorf("exit code %d instead of %d: %s", code, tt.code, errs)
			}
			contains(t, out, tt.says...)
		})
	}
}

// The way from a cut to a clean plan: lint names the cause, writes the corrected
// policies, and the plan of those is clean.
func TestWhatLintCorrectsPlansClean(t *testing.T) {
	for scenario, cause := range map[string]string{"gw-forgot-dns": "dns-forgotten", "observability-blackout": "metrics-forgotten"} {
		t.Run(scenario, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "example")
			if code, _, errs := said(t, "plan", scenario, "--manifests", dir); code != exitCut {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			code, out, errs := said(t, "lint", "-f", dir)
			if code != exitCut {
				t.Errorf("lint: exit code %d: %s", code, errs)
			}
			contains(t, out, "error: "+dir+"/rollout.yaml:", "["+cause+"]")
			if code, _, errs := said(t, "lint", "-f", dir, "--fix", "--write"); code != exitOK {
				t.Fatalf("lint --write: exit code %d: %s", code, errs)
			}
			code, out, errs = said(t, "plan", "-f", dir)
			if code != exitOK {
				t.Errorf("exit code %d: %s", code, errs)
			}
			contains(t, out, "26 hold, 0 cut, 0 leak, 0 inconclusive")
		})
	}
}

func TestPlanAsJSON(t *testing.T) {
	code, out, errs := said(t, "plan", "gw-forgot-dns", "-o", "json")
	var got struct {
		Plans []struct {
			Rollout    string
			Controller string
			Paths      []struct{ Name, Finding, Rule, Accepted, Repair string }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitCut {
		t.Fatalf("exit code %d, %v: %s", code, err, errs)
	}
	if len(got.Plans) != 1 || len(got.Plans[0].Paths) != 26 || got.Plans[0].Controller != "try" {
		t.Fatalf("got %+v", got)
	}
	first := got.Plans[0].Paths[0]
	if first.Finding != "cut" || first.Accepted == "" || !strings.HasPrefix(first.Repair, "to spec.egress of ai/llm-gateway:\n- to:\n") {
		t.Errorf("got %+v", first)
	}
}

// Without its exceptions the scenario is refused. What the plan prints is enough
// to repair the rollout, or to have it tried as it is.
func TestThePlanPrintsBothWaysOnFromACut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "example")
	if code, _, errs := said(t, "plan", "gw-forgot-dns", "--manifests", dir); code != exitCut {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	file := filepath.Join(dir, "rollout.yaml")
	rollout := func(edit func(*v1alpha1.PolicyRollout)) {
		t.Helper()
		var ro v1alpha1.PolicyRollout
		raw, err := os.ReadFile(file)
		if err == nil {
			err = yaml.UnmarshalStrict(raw, &ro)
		}
		if err != nil {
			t.Fatal(err)
		}
		edit(&ro)
		if raw, err = yaml.Marshal(ro); err == nil {
			err = os.WriteFile(file, raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rollout(func(ro *v1alpha1.PolicyRollout) { ro.Spec.Exceptions = nil })
	code, out, errs := said(t, "plan", "-f", dir)
	if code != exitCut {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	contains(t, out, "The controller would refuse it: 2 paths would be cut.")
	rules := printed(out, "to spec.egress of ai/llm-gateway:")
	if len(rules) != 2 {
		t.Fatalf("%d rules are printed, want one for each path:\n%s", len(rules), out)
	}
	exception := printed(out, "Or, if a cut is wanted")
	rollout(func(ro *v1alpha1.PolicyRollout) {
		if err := yaml.UnmarshalStrict([]byte(exception[0]), ro); err != nil {
			t.Fatalf("%v:\n%s", err, exception[0])
		}
	})
	code, out, _ = said(t, "plan", "-f", dir)
	if code != exitCut {
		t.Errorf("accepted: exit code %d", code)
	}
	contains(t, out, "The controller would try it, because exceptions accept every predicted cut")
	rollout(func(ro *v1alpha1.PolicyRollout) {
		ro.Spec.Exceptions = nil
		i := slices.IndexFunc(ro.Spec.Policies.Inline, func(p v1alpha1.CandidatePolicy) bool { return p.Name == "llm-gateway" })
		for _, text := range rules {
			var rule []networkingv1.NetworkPolicyEgressRule
			if err := yaml.UnmarshalStrict([]byte(text), &rule); err != nil {
				t.Fatalf("%v:\n%s", err, text)
			}
			ro.Spec.Policies.Inline[i].Spec.Egress = append(ro.Spec.Policies.Inline[i].Spec.Egress, rule...)
		}
	})
	if code, out, _ = said(t, "plan", "-f", dir); code != exitOK {
		t.Errorf("repaired: exit code %d:\n%s", code, out)
	}
}

// printed are the blocks of YAML that follow lines with a text, less indented.
func printed(out, after string) (blocks []string) {
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if !strings.Contains(line, after) {
			continue
		}
		indent := len(lines[i+1]) - len(strings.TrimLeft(lines[i+1], " "))
		var block []string
		for _, l := range lines[i+1:] {
			if len(l) < indent || strings.TrimSpace(l[:indent]) != "" || strings.HasPrefix(l[indent:], "CUT") {
				break
			}
			block = append(block, l[indent:])
		}
		blocks = append(blocks, strings.Join(block, "\n"))
	}
	return blocks
}

func TestPlanRefusesWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	lone := filepath.Join(dir, "lone.yaml")
	if err := os.WriteFile(lone, []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"nothing":                   {nil, "nothing to plan: give -f"},
		"two inputs":                {[]string{"gw-forgot-dns", "-f", lone}, "give one of the two"},
		"no rollout":                {[]string{"-f", lone}, "no PolicyRollout is in " + lone},
		"a scenario of no library":  {[]string{"no-such"}, "no-such"},
		"an unknown format":         {[]string{"gw-forgot-dns", "-o", "xml"}, "text or json"},
		"a cluster without --live":  {[]string{"-f", lone, "--context", "x"}, "only read with --live"},
		"manifests of no scenario":  {[]string{"-f", lone, "--manifests", "x"}, "name a scenario"},
		"a directory that is there": {[]string{"gw-forgot-dns", "--manifests", dir}, "not there yet"},
		"a file that is not there":  {[]string{"-f", filepath.Join(dir, "none")}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := said(t, append([]string{"plan"}, tt.args...)...)
			if code != exitUsage {
				t.Errorf("exit code %d", code)
			}
			contains(t, errs, tt.says)
		})
	}
}

// On a cluster the pods are the cluster's, and so is its DNS: nothing is assumed.
func TestPlanOnALab(t *testing.T) {
	kubeconfig := sharedLab(t)
	dir := filepath.Join(t.TempDir(), "example")
	if code, _, errs := said(t, "plan", "gw-forgot-dns", "--manifests", dir); code != exitCut {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	namespaces := []string{"ai", "apps", "data", "ops", "untrusted"}
	cleared(t, kubeconfig, namespaces...)
	kubectlOn(t, kubeconfig, "", "apply", "-f", filepath.Join(dir, "platform.yaml"))
	for _, ns := range namespaces {
		kubectlOn(t, kubeconfig, "", "-n", ns, "wait", "deployment", "--all", "--for=condition=Available", "--timeout=120s")
	}
	live := []string{"plan", "-f", filepath.Join(dir, "rollout.yaml"), "-f", filepath.Join(dir, "suite.yaml"), "--live", "--kubeconfig", kubeconfig}
	code, out, errs := said(t, live...)
	if code != exitCut || strings.Contains(out, "assumed") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	contains(t, out, "24 hold, 2 cut", "ai/llm-gateway egress: no rule allows 53/UDP to kube-system/coredns", "[dns-forgotten]")
	if code, _, errs := said(t, "lint", "-f", dir, "--fix", "--write"); code != exitOK {
		t.Fatalf("lint --write: exit code %d: %s", code, errs)
	}
	if code, out, errs := said(t, live...); code != exitOK {
		t.Errorf("corrected: exit code %d: %s%s", code, out, errs)
	}
}

// What nobody can judge is never hidden by a rollout that is clean.
func TestTheWorstOfManyPlansDecides(t *testing.T) {
	order := []preview.Result{preview.Clean, preview.Unclear, preview.Breaks, preview.Refused}
	for i, less := range order {
		for _, more := range order[i:] {
			if a, b := worsePlan(less, more), worsePlan(more, less); a != more || b != more {
				t.Errorf("of %d and %d: %d and %d", less, more, a, b)
			}
		}
	}
}
