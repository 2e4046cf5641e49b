package preview

import (
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// What somebody uses is told first: what a suite requires, by whichever workload
// wears the identity, then what a Service leads to, then what a suite forbids.
func TestWhatSomebodyUsesComesFirst(t *testing.T) {
	pod := func(name, app string) verdict.Pod {
		return verdict.Pod{Namespace: "ai", Name: name, Labels: map[string]string{"app": app, "version": name}}
	}
	set := &manifest.Set{
		Pods:     []verdict.Pod{pod("web-a", "web"), pod("web-b", "web"), pod("model", "model"), pod("stranger", "stranger")},
		Services: []manifest.Service{{Ports: []manifest.ServicePort{{Name: "http", Port: 80, Protocol: "TCP"}}, Pods: []int{2}}},
	}
	set.Services[0].Ports[0].TargetPort.IntVal = 8080
	identity := func(app string) verdict.End {
		return verdict.End{Pod: &verdict.Pod{Namespace: "ai", Name: "id", Labels: map[string]string{"app": app}}}
	}
	edge := func(app string, port int32, expect v1alpha1.Expectation) rollout.Edge {
		return rollout.Edge{Conn: verdict.Conn{From: identity(app), To: verdict.End{Pod: &set.Pods[2]}, Port: port, Protocol: "TCP"}, Expect: expect}
	}
	change := func(from string, port int32) compare.Change {
		return compare.Change{From: "ai/" + from, To: "ai/model", Port: port, LastPort: port, Protocol: "TCP", Before: verdict.Allow, After: verdict.Deny}
	}
	all := impacts(set, []rollout.Edge{edge("web", 8080, v1alpha1.ExpectAllow), edge("stranger", 8080, v1alpha1.ExpectDeny), edge("stranger", 7000, v1alpha1.ExpectDeny)},
		[]compare.Change{change("model", 9090), change("model", 8080), change("stranger", 7000), change("stranger", 8080), change("web-a", 8080), change("web-b", 8080)},
		func(p *verdict.Pod) string { return p.Key() })
	var got []string
	for _, i := range all {
		got = append(got, i.Use.String()+" "+i.From+" "+portOf(i.Change))
	}
	want := "required ai/web-a 8080/TCP; required ai/web-b 8080/TCP; served ai/model 8080/TCP; forbidden ai/stranger 7000/TCP; forbidden ai/stranger 8080/TCP; declared ai/model 9090/TCP"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
	if n := concerned(all); n != 4 {
		t.Errorf("%d workloads, want 4", n)
	}
}

// Ports on which the same workloads lose a target are one line, and what closes
// comes before what opens.
func TestChangesOfOneTargetAreOneLine(t *testing.T) {
	change := func(from string, port int32, before, after verdict.Decision) Impact {
		return Impact{Change: compare.Change{From: from, To: "ai/model", Port: port, LastPort: port, Protocol: "TCP", Before: before, After: after}}
	}
	groups := grouped([]Impact{
		change("a", 1, verdict.Deny, verdict.Allow), change("a", 8080, verdict.Allow, verdict.Deny), change("a", 9090, verdict.Allow, verdict.Deny),
		change("b", 8080, verdict.Allow, verdict.Deny), change("b", 9090, verdict.Allow, verdict.Deny), change("c", 9090, verdict.Deny, verdict.Unknown),
	})
	var got []string
	for _, g := range groups {
		got = append(got, g.kind.String()+" "+strings.Join(g.ports, "+")+" from "+strings.Join(g.from, "+"))
	}
	want := "closed 8080/TCP+9090/TCP from a+b; opened 1/TCP from a; became unknown 9090/TCP from c"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}
