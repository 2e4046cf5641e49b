package rollout

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

func TestTheSummaryOfARolloutThatForgetsDNS(t *testing.T) {
	pods := append(platform(), verdict.Pod{Namespace: "kube-system", Name: "dns-1", Labels: map[string]string{"app": "dns"}, Ports: []verdict.Port{{Name: "dns", Number: 53, Protocol: "UDP"}}})
	w := verdict.World{Namespaces: map[string]map[string]string{"ai": {"tier": "ai"}, "apps": {"tier": "apps"}, "kube-system": nil}}
	edge := func(path string, from, to int, port int32, protocol corev1.Protocol, expect v1alpha1.Expectation) Edge {
		c := verdict.Conn{From: verdict.End{Pod: &pods[from]}, To: verdict.End{Pod: &pods[to]}, Port: port, Protocol: protocol}
		return Edge{Path: path, Conn: c, Expect: expect}
	}
	c := Change{World: w, Pods: pods, Candidates: parse(t, []string{
		`apps/chat {podSelector: {matchLabels: {app: chat}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {tier: ai}}}], ports: [{port: 4000}]}]}`})}
	s := Summarize(c, []Edge{
		edge("chat", 2, 3, 4000, "", v1alpha1.ExpectAllow),
		edge("dns", 2, 5, 53, "UDP", v1alpha1.ExpectAllow),
		edge("model", 2, 4, 8000, "", v1alpha1.ExpectDeny),
	}, SummaryOptions{Name: func(p *verdict.Pod) string { return p.Namespace + "/" + p.Labels["app"] }, DeclaredOnly: true})

	var breaks, broken []string
	for _, p := range s.Paths {
		if p.Breaks() {
			breaks = append(breaks, p.Edge.Path+": "+p.After.Rule())
		}
		if p.Broken() {
			broken = append(broken, p.Edge.Path)
		}
	}
	if want := []string{"dns: apps/chat egress: no rule allows 53/UDP to kube-system/dns-1"}; !reflect.DeepEqual(breaks, want) {
		t.Errorf("breaks %q, want %q", breaks, want)
	}
	if want := []string{"model"}; !reflect.DeepEqual(broken, want) {
		t.Errorf("broken today %q, want %q", broken, want)
	}
	var closed []string
	for _, l := range s.Changes.List {
		if l.From == "apps/chat" && !strings.Contains(l.To, ".") {
			closed = append(closed, fmt.Sprintf("%s %d/%s x%d", l.To, l.Port, l.Protocol, l.Pairs))
		}
	}
	if want := []string{"ai/model 8000/TCP x1", "apps/batch 65535/TCP x2", "kube-system/dns 53/UDP x1"}; !reflect.DeepEqual(closed, want) {
		t.Errorf("closed %q, want %q", closed, want)
	}
	if want := []Selection{{Policy: "apps/chat", Isolates: []string{"egress"}, Workloads: []Share{{"apps/chat", 1}}, Pods: 1}}; !reflect.DeepEqual(s.Selected, want) {
		t.Errorf("selected %+v, want %+v", s.Selected, want)
	}
	if got := describe(s.Bridges); !reflect.DeepEqual(got, []string{"apps Egress <none>"}) {
		t.Errorf("bridges %q", got)
	}
	if len(s.Proof.Failures) != 1 || !strings.Contains(s.Proof.Failures[0].String(), `path "dns": apps/chat-1 to kube-system/dns-1 is judged Deny with its source enforced and its target enforced: apps/chat egress: no rule allows 53/UDP`) {
		t.Errorf("failures %v", s.Proof.Failures)
	}
	if len(s.Refusals) != 0 {
		t.Errorf("refused: %q", s.Refusals)
	}
}

func TestTheSummaryOfWhatCannotBePlannedSaysWhy(t *testing.T) {
	c := Change{World: verdict.World{}, Pods: platform(), Candidates: []verdict.Policy{netpol(t, "ai/c", `podSelector: {matchLabels: {tightrope.dev/enforced: x}}`)}}
	s := Summarize(c, nil, SummaryOptions{})
	if len(s.Refusals) != 1 || !strings.Contains(s.Refusals[0], "a label that a rollout sets") || len(s.Selected) != 1 {
		t.Errorf("got %+v", s)
	}
}
