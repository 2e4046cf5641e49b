package main

import (
	"slices"
	"strings"
	"testing"
)

// What is stated about a cluster is refused where it would mean nothing, and counts
// in every command that reads files.
func TestWhatIsStatedIsChecked(t *testing.T) {
	file := manifests(t, gateway)
	ask := []string{"explain", "--from", "apps/batch", "--to", "ai/llm-gateway", "--port", "4000"}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--pod-cidr", "10.244.0.0"}, `--pod-cidr="10.244.0.0" is not a network`},
		{[]string{"--service-cidr", "::ffff:10.0.0.0/112"}, "is not a network"},
		{[]string{"--namespace-label", "ai=team"}, "write NAMESPACE=KEY=VALUE"},
		{[]string{"--namespace-label", "AI=team=ml"}, "write NAMESPACE=KEY=VALUE"},
	} {
		code, _, errs := said(t, slices.Concat(ask, []string{"-f", file}, tt.args)...)
		if code != exitUsage || !strings.Contains(errs, tt.want) {
			t.Errorf("%v: exit %d, %s", tt.args, code, errs)
		}
	}
	code, _, errs := said(t, slices.Concat(ask, []string{"--pod-cidr", "10.244.0.0/16"})...)
	if code != exitUsage || !strings.Contains(errs, "add -f") {
		t.Errorf("of a cluster: exit %d, %s", code, errs)
	}
}

func TestWhatIsStatedCounts(t *testing.T) {
	world := strings.Replace(gateway, "    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}\n      podSelector: {matchLabels: {app: chat-api}}\n", "    - ipBlock: {cidr: 10.244.0.0/16}\n", 1)
	file := manifests(t, world)
	for cidr, want := range map[string]string{"10.244.7.0/24": "Allow", "10.1.0.0/16": "Deny", "": "Unknown"} {
		args := []string{"matrix", "-f", file, "-o", "csv", "--to", "ai/llm-gateway", "--from", "apps/batch"}
		if cidr != "" {
			args = append(args, "--pod-cidr", cidr)
		}
		if code, out, errs := said(t, args...); code != exitOK || !strings.Contains(out, want) {
			t.Errorf("--pod-cidr=%q: exit %d, want %s:\n%s%s", cidr, code, want, out, errs)
		}
	}
}

// An address inside the cluster is no end of its own in a matrix.
func TestAMatrixTakesAddressesOutsideOnly(t *testing.T) {
	file := manifests(t, strings.Replace(gateway, "ports: [{name: http, containerPort: 4000}]}]}\n", "ports: [{name: http, containerPort: 4000}]}]}\nstatus: {podIP: 10.244.0.5}\n", 1)+
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: gw, namespace: ai}\nspec: {clusterIP: 10.96.0.7, selector: {app: llm-gateway}, ports: [{port: 80}]}\n")
	for ip, want := range map[string]string{
		"10.244.0.5": "pod ai/llm-gateway", "10.96.0.7": "Service ai/gw", "10.96.9.9": "--service-cidr", "10.244.9.9": "--pod-cidr", "203.0.113.7": "",
	} {
		for _, flag := range []string{"--from-ip", "--to-ip"} {
			code, _, errs := said(t, "matrix", "-f", file, "--pod-cidr", "10.244.0.0/16", "--service-cidr", "10.96.0.0/12", "--ports", "80", flag, ip)
			if bad := code == exitUsage; bad != (want != "") || bad && !strings.Contains(errs, want) {
				t.Errorf("%s %s: exit %d, %s", flag, ip, code, errs)
			}
		}
	}
}
