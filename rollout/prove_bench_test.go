package rollout

import (
	"fmt"
	"net/netip"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
)

// estate is a cluster of 5,000 pods: 50 namespaces of 20 workloads of 5 pods,
// each selected by a policy of its own, with ipBlocks, and 100 candidates that
// open egress in half of the namespaces and close ingress in the others.
func estate(b testing.TB) Change {
	c := Change{World: verdict.World{Namespaces: map[string]map[string]string{}}}
	for n := range 50 {
		ns := fmt.Sprintf("ns-%02d", n)
		c.World.Namespaces[ns] = map[string]string{"tier": fmt.Sprint(n % 5)}
		for a := range 20 {
			for i := range 5 {
				c.Pods = append(c.Pods, verdict.Pod{
					Namespace: ns, Name: fmt.Sprintf("app-%d-%d", a, i), Node: fmt.Sprint("node-", (a+i)%40),
					Labels: map[string]string{"app": fmt.Sprint("app-", a), "pod-template-hash": fmt.Sprint(n, a)},
					Ports:  []verdict.Port{{Name: "http", Number: 8080}},
					IPs:    []netip.Addr{netip.AddrFrom4([4]byte{10, byte(n), byte(a), byte(i)})},
				})
			}
		}
		c.World.Policies = append(c.World.Policies, benchPolicy(b, ns, "out", `{podSelector: {matchLabels: {app: app-1}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}`))
		for a := range 2 {
			spec := `{podSelector: {matchLabels: {app: app-1}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {tier: "1"}}}], ports: [{port: 8080}]}]}`
			if n%2 == 1 {
				spec = fmt.Sprintf(`{podSelector: {matchLabels: {app: app-%d}}, ingress: [{from: [{podSelector: {}}]}]}`, a)
			}
			c.Candidates = append(c.Candidates, benchPolicy(b, ns, fmt.Sprint("c-", a), spec))
		}
	}
	return c
}

func benchPolicy(b testing.TB, ns, name, spec string) verdict.Policy {
	b.Helper()
	var p verdict.Policy
	p.Namespace, p.Name = ns, name
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkProve is a whole proof at 5,000 pods and 100 candidates, compilation included.
func BenchmarkProve(b *testing.B) {
	c := estate(b)
	for b.Loop() {
		p, err := Prove(c, nil, ProofOptions{})
		if err != nil || len(p.Exposures) == 0 || len(p.Waves) != 2 {
			b.Fatalf("%d exposures, waves %v, %v", len(p.Exposures), p.Waves, err)
		}
		b.ReportMetric(float64(len(p.Exposures)), "exposures")
	}
}

// BenchmarkSummarize adds the blast radius.
func BenchmarkSummarize(b *testing.B) {
	c := estate(b)
	for b.Loop() {
		s := Summarize(c, nil, SummaryOptions{Name: WorkloadByLabels, DeclaredOnly: true})
		if s.Changes.Changed() == 0 || len(s.Refusals) > 0 {
			b.Fatalf("%+v, %q", s.Changes.Totals, s.Refusals)
		}
		b.ReportMetric(float64(s.Changes.Changed()), "changes")
	}
}
