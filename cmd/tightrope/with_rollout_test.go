package main

import (
	"strings"
	"testing"
)

// closing is the platform with a rollout that takes the gateway from its caller,
// and one that is there twice, in another form.
const closing = gateway + `---
apiVersion: tightrope.dev/v1alpha1
kind: PolicyRollout
metadata: {name: closing, namespace: ai}
spec:
  suites: [{name: elsewhere}]
  stages: [{name: all, mode: Enforce}]
  policies:
    inline:
    - {name: llm-gateway, namespace: ai, spec: {podSelector: {matchLabels: {app: llm-gateway}}, policyTypes: [Ingress]}}
`

// Each command says whether it judges with the policies of a rollout.
func TestARolloutIsAppliedWhereItIsAskedFor(t *testing.T) {
	path := manifests(t, closing)
	explain := []string{"explain", "--from", "apps/chat-api", "--to", "ai/llm-gateway", "--port", "4000", "-f", path}
	for _, tt := range []struct {
		args []string
		says []string
	}{
		{explain, []string{"Yes: apps/chat-api may connect", "note: 1 policy of PolicyRollout ai/closing: not applied"}},
		{append(explain, "--with-rollout"), []string{"No: apps/chat-api may not connect", "judged as if applied", path + ":45"}},
		{[]string{"matrix", "-f", path, "--to", "ai"}, []string{"2 allowed", "not applied; --with-rollout judges as if they were"}},
		{[]string{"matrix", "-f", path, "--to", "ai", "--with-rollout"}, []string{"1 allowed, 2 denied", "judged as if applied"}},
		{[]string{"matrix", "-f", path, "--diff", path, "--with-rollout"}, []string{"No connection changes", "judged as if applied"}},
		{[]string{"matrix", "-f", manifests(t, gateway), "--diff", path, "--with-rollout"}, []string{"apps/chat-api → ai/llm-gateway", "1 closed"}},
		{[]string{"lint", "-f", path}, []string{"judged as if applied"}},
		{[]string{"lint", "-f", path, "--with-rollout=false"}, []string{"0 errors"}},
	} {
		code, out, errs := said(t, tt.args...)
		if code != exitOK {
			t.Errorf("%s: exit code %d: %s", tt.args, code, errs)
		}
		contains(t, out+errs, tt.says...)
	}
	if _, out, errs := said(t, "lint", "-f", path, "--with-rollout=false"); strings.Contains(out+errs, "closing") {
		t.Errorf("without rollouts: %s%s", out, errs)
	}
	code, _, errs := said(t, "matrix", "-f", manifests(t, gateway), "--with-rollout")
	if code != exitUsage {
		t.Errorf("no rollout to apply: exit code %d", code)
	}
	contains(t, errs, "no PolicyRollout is in", "leave the flag out")
	none := manifests(t, gateway)
	if code, _, errs := said(t, "matrix", "-f", none, "--diff", none, "--with-rollout"); code != exitUsage || !strings.Contains(errs, "in either input") {
		t.Errorf("no rollout on either side: exit code %d: %s", code, errs)
	}
}

// The command that a matrix offers is about the same input.
func TestTheMatrixOffersACommandAboutItsInput(t *testing.T) {
	path := manifests(t, closing)
	_, out, _ := said(t, "matrix", "-f", path, "--with-rollout")
	contains(t, strings.Join(strings.Fields(out), " "), "tightrope explain -f "+path+" --with-rollout --from A --to B --port P")
	if got := quoted("it's here"); got != `'it'\''s here'` {
		t.Errorf("quoted: %s", got)
	}
}

// A second rollout of a name stops only the commands that need rollouts.
func TestWhatACommandDoesNotNeedDoesNotStopIt(t *testing.T) {
	twice := manifests(t, closing+strings.Replace(closing[len(gateway):], "[Ingress]", "[Egress]", 1))
	explain := []string{"explain", "--from", "apps/chat-api", "--to", "ai/llm-gateway", "--port", "4000", "-f", twice}
	for _, args := range [][]string{explain, {"matrix", "-f", twice}, {"lint", "-f", twice}} {
		code, _, errs := said(t, args...)
		if code != exitOK {
			t.Errorf("%s: exit code %d", args[0], code)
		}
		contains(t, errs, "PolicyRollout ai/closing: is", "left out", "declared twice")
	}
	for _, args := range [][]string{append(explain, "--with-rollout"), {"plan", "-f", twice}} {
		code, _, errs := said(t, args...)
		if code != exitUsage {
			t.Errorf("%s: exit code %d", args[0], code)
		}
		contains(t, errs, "PolicyRollout ai/closing: is declared twice")
	}
}

// What is not read is counted, and named on request.
func TestKindsThatAreNotReadAreNamedOnRequest(t *testing.T) {
	text := gateway
	for _, kind := range []string{"rbac.authorization.k8s.io/v1 Role", "rbac.authorization.k8s.io/v1 RoleBinding", "policy/v1 PodDisruptionBudget",
		"storage.k8s.io/v1 StorageClass", "autoscaling/v2 HorizontalPodAutoscaler", "v1 LimitRange", "v1 Secret"} {
		group, kind, _ := strings.Cut(kind, " ")
		text += "---\napiVersion: " + group + "\nkind: " + kind + "\nmetadata: {name: a}\n"
	}
	path := manifests(t, text)
	for _, args := range [][]string{{"matrix", "-f", path}, {"lint", "-f", path}, {"explain", "--from", "apps/batch", "--to", "ai/llm-gateway", "--port", "4000", "-f", path}} {
		_, _, errs := said(t, args...)
		contains(t, errs, "note: 7 objects of 7 kinds not read: -v names the kinds")
		_, _, errs = said(t, append(args, "-v")...)
		contains(t, errs, "note: 1 PodDisruptionBudget: the kind is not read", "note: 1 Role: the kind is not read", "note: 1 Secret: the kind is not read")
	}
}
