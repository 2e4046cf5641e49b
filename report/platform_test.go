package report

import (
	"fmt"
	"strings"
	"time"
)

// The reports of these tests are those of the first scenario's platform.

var noon = time.Date(2026, 8, 2, 12, 0, 0, 0, time.UTC)

func after(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func ms(v float64) *float64 { return &v }

// edges of the platform: source, target, port, protocol, expectation.
var edges = []struct {
	from, to, protocol, expect string
	port                       int32
}{
	{"apps/chat-api", "ai/llm-gateway", "TCP", "Allow", 4000},
	{"apps/chat-api", "data/feature-store", "TCP", "Allow", 6566},
	{"apps/rag-worker", "ai/llm-gateway", "TCP", "Allow", 4000},
	{"apps/rag-worker", "data/vector-db", "TCP", "Allow", 6333},
	{"apps/batch", "data/feature-store", "TCP", "Allow", 6566},
	{"ai/llm-gateway", "ai/model", "TCP", "Allow", 8000},
	{"ai/llm-gateway", "data/vector-db", "TCP", "Allow", 6333},
	{"ops/prometheus", "ai/llm-gateway", "TCP", "Allow", 9090},
	{"ops/prometheus", "ai/model", "TCP", "Allow", 9090},
	{"ops/platform-admin", "ai/llm-gateway", "TCP", "Allow", 8001},
	{"apps/chat-api", "kube-system/kube-dns", "UDP", "Allow", 53},
	{"apps/chat-api", "kube-system/kube-dns", "TCP", "Allow", 53},
	{"ai/llm-gateway", "kube-system/kube-dns", "UDP", "Allow", 53},
	{"ai/llm-gateway", "kube-system/kube-dns", "TCP", "Allow", 53},
	{"untrusted/notebook", "ai/llm-gateway", "TCP", "Deny", 4000},
	{"untrusted/notebook", "ai/llm-gateway", "TCP", "Deny", 8001},
	{"untrusted/notebook", "ai/model", "TCP", "Deny", 8000},
	{"untrusted/notebook", "data/vector-db", "TCP", "Deny", 6333},
	{"apps/chat-api", "ai/model", "TCP", "Deny", 8000},
	{"apps/rag-worker", "ai/llm-gateway", "TCP", "Deny", 8001},
	{"ai/model", "untrusted/notebook", "TCP", "Deny", 443},
}

func platformRows() []Path {
	var rows []Path
	for _, e := range edges {
		fromNS, from, _ := strings.Cut(e.from, "/")
		toNS, to, _ := strings.Cut(e.to, "/")
		for _, via := range []string{"Service", "PodIP"} {
			rows = append(rows, Path{
				Name: fmt.Sprintf("%s-to-%s-%d-%s", from, to, e.port, strings.ToLower(e.protocol)),
				From: Workload{fromNS, from}, To: Service{toNS, to}, Port: e.port, Protocol: e.protocol, Via: via,
				Expect: e.expect, Finding: Holds, Attempts: 184, FirstSeen: after(2210), LastSeen: after(24870),
			})
		}
	}
	return rows
}

func committedReport() *Report {
	r := &Report{
		SchemaVersion: SchemaVersion, Scenario: "zero-trust-ai-platform", Run: "gateway-lockdown-2", Rollout: "ai/gateway-lockdown",
		Cluster: "lab", Result: "Committed", Expected: "Committed", Message: "all stages passed", Started: noon, Ended: after(25_400),
		Paths: platformRows(), Coverage: Coverage{Required: 168, Proved: 168},
		Phases: []Phase{
			{"preflight", after(0), after(2150), "Passed", "no pod"},
			{"observe", after(2150), after(5400), "Passed", "no pod"},
			{"shadow", after(5400), after(10_520), "Passed", "probe pods only"},
			{"expand", after(10_520), after(10_760), "Passed", "every selected pod keeps its baseline"},
			{"few", after(10_760), after(16_030), "Passed", "2 of 11 pods"},
			{"all", after(16_030), after(24_900), "Passed", "11 of 11 pods"},
			{"commit", after(24_900), after(25_400), "Passed", "bridge removed"},
		},
		TemporaryAccess: []Access{
			{"chat-api", "apps", []string{"tightrope-probe-chat-api-0", "tightrope-probe-chat-api-1"}, after(1200), after(25_300)},
			{"notebook", "untrusted", []string{"tightrope-probe-notebook-0"}, after(1200), after(25_300)},
		},
		NotTested: []NotTested{
			{"ingress rules of the candidate", "shadow", "shadow enforces on probe pods only; ingress rules are first enforced in few"},
			{"notebook → feature-store:6566", "", "no path of the suite can witness that the target is alive"},
		},
	}
	r.Approvals = []Approval{{Name: "gateway-lockdown-2-x7k2p", UID: "0f8e6c1a-5d0b-4f6e-9a51-3c1f7f1f2b7d", Action: "Proceed", Stage: "few", Gate: "second-pair-of-eyes",
		Approver: "alice@example.org", At: after(16_000), Reason: "CHG-1234", PlanDigest: "sha256:" + strings.Repeat("9e", 32)}}
	for i, name := range []string{"ai/default-deny", "ai/llm-gateway", "ai/model", "apps/egress-default-deny", "apps/chat-api", "data/default-deny", "data/vector-db"} {
		r.Policies = append(r.Policies, Policy{Name: name, SHA256: strings.Repeat(fmt.Sprintf("%08x", 0x9e3779b1*uint32(i+1)), 8)})
	}
	return r
}

const forgottenDNS = "ai/llm-gateway egress: no rule allows 53/UDP to kube-system/kube-dns"

func rolledBackReport() *Report {
	r := committedReport()
	r.Scenario, r.Run, r.Result, r.Expected = "gw-forgot-dns", "gateway-lockdown-1", "RolledBack", "RolledBack"
	r.Approvals = nil
	r.Cause, r.Message, r.Ended = "Cut", "a path was cut in shadow", after(7200)
	r.Coverage = Coverage{Required: 168, Proved: 122}
	r.Phases = append(r.Phases[:2:2],
		Phase{"shadow", after(5400), after(6270), "Cut", "probe pods only"},
		Phase{"rollback", after(6270), after(7200), "Passed", "every pod at its baseline"})
	for i := range r.Paths {
		p := &r.Paths[i]
		p.LastSeen, p.Attempts = after(7190), 47
		if p.From.Identity == "llm-gateway" && p.Port == 53 {
			p.Finding, p.Failures, p.Rule = CutFinding, 9, strings.Replace(forgottenDNS, "UDP", p.Protocol, 1)
		}
		if p.Name == "model-to-notebook-443-tcp" && p.Via == "PodIP" {
			p.Finding, p.Attempts, p.Note = Inconclusive, 2, "the witness did not get through in the same window"
		}
	}
	for i, proto := range []string{"UDP", "TCP"} {
		lat := Latencies{ms(84.2), ms(3.1), ms(212.4), ms(41), "first drop"}
		if i == 1 {
			lat = Latencies{ms(101.7), ms(3.1), ms(212.4), nil, "acknowledged write"}
		}
		r.Cuts = append(r.Cuts, Cut{Path: "llm-gateway-to-kube-dns-53-" + strings.ToLower(proto), Via: "PodIP", Phase: "shadow", Cause: "DNS",
			Rule: strings.Replace(forgottenDNS, "UDP", proto, 1), Target: "kube-system/coredns-5d78c9", Outcome: "TimedOut", At: after(6180 + 20*i), Latencies: lat})
	}
	r.Predicted = []Prediction{{r.Cuts[0].Path, "Cut", forgottenDNS, "it shows that probe pods find the cut"}}
	r.Exposures = []Exposure{{"apps/chat-api", "ai/model", "8000/TCP", "few"}}
	return r
}

// hostileText is what someone may write into a name to take over whoever reads
// the report: a script, a terminal, a browser window, a CI's parser.
const hostileText = "<script>document.title='owned'</script><img src=http://evil.example/x onerror=alert(1)>" +
	"\x1b[2J\x1b[31mred\x1b]0;owned\x07\u009b31m ]]> --> {{.}} | a `b` *c* [d](http://evil.example) @everyone\n# heading\r\n\t\u202egnp.exe\u202c\u200b\ufeff\x00\xff\xfe\"'&"

func hostileReport() *Report {
	long := hostileText + strings.Repeat("Ωlong", 2000)
	r := rolledBackReport()
	for _, field := range []*string{&r.Scenario, &r.Run, &r.Rollout, &r.Cluster, &r.Cause, &r.Message} {
		*field = hostileText
	}
	r.Expected, r.Unmet = "Committed", []string{hostileText, long}
	r.Phases = append(r.Phases, Phase{Name: long, From: after(7200), Outcome: hostileText, Scope: long})
	r.Paths = append(r.Paths[:3:3],
		Path{Name: long, From: Workload{hostileText, long}, To: Service{hostileText, hostileText}, Port: -1, Protocol: hostileText,
			Via: hostileText, Expect: hostileText, Finding: Finding(hostileText), Rule: long, Note: hostileText},
		Path{Name: hostileText, From: Workload{"apps", hostileText}, To: Service{"ai", hostileText}, Port: 4000, Protocol: "TCP",
			Via: "Service", Expect: "Allow", Finding: CutFinding, Attempts: 3, Failures: 3, Rule: long, FirstSeen: after(1), LastSeen: after(2)},
		Path{Name: "zalgo", From: Workload{"apps", "z" + strings.Repeat("\u0336\u0301", 300)}, To: Service{"ai", "llm-gateway"}, Port: 4000,
			Protocol: "TCP", Via: "PodIP", Expect: "Deny", Finding: Leak, Attempts: 1, Failures: 1})
	bad := Cut{Path: hostileText, Via: "Service", Phase: hostileText, Cause: hostileText, Rule: hostileText, Target: long, Outcome: long,
		At: after(-5000), Latencies: Latencies{ms(-4), ms(0), ms(1e12), nil, hostileText}}
	r.Cuts, r.Leaks = []Cut{bad}, []Cut{{Path: "zalgo", Rule: long}}
	r.Predicted = []Prediction{{hostileText, hostileText, long, hostileText}}
	r.Exposures = []Exposure{{hostileText, long, hostileText, hostileText}}
	r.TemporaryAccess = []Access{{Identity: hostileText, Namespace: long, Pods: []string{hostileText, long}}}
	r.Policies = []Policy{{hostileText, long, hostileText}}
	r.Approvals = []Approval{{hostileText, hostileText, hostileText, hostileText, long, hostileText, after(1), long, hostileText}}
	r.NotTested = []NotTested{{hostileText, hostileText, long}}
	r.Coverage = Coverage{Required: -1, Proved: 1 << 40}
	return r
}
