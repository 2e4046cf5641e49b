package matrix

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

// longNames are workloads of one namespace whose names are long.
func longNames(n int) Query {
	var pods []verdict.Pod
	for i := range n {
		pods = append(pods, verdict.Pod{Namespace: "inference", Name: fmt.Sprintf("retrieval-augmented-generation-gateway-of-tenant-%d", i),
			Ports: []verdict.Port{{Number: 8080, Protocol: "TCP"}}})
	}
	q := Query{Snapshot: verdict.Compile(verdict.World{Namespaces: map[string]map[string]string{"inference": nil}}, pods)}
	for i := range pods {
		q.From = append(q.From, End{Pod: &pods[i]})
	}
	q.To = q.From
	return q
}

// A name is not cut while room beside it is empty; where cells need the room, it is.
func TestNamesAreNotCutBesideEmptySpace(t *testing.T) {
	b := openBrowser(t)
	// The page is ready a frame before it is drawn, and it is drawn once a frame.
	const cut = `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(Number(document.getElementById('canvas').dataset.cut)))))`
	b.open(t, longNames(3), "few", 1440, 900)
	if n := ask[int](t, b, cut); n > 0 {
		t.Errorf("%d names of 3 workloads are cut", n)
	}
	if *screenshots != "" {
		picture(t, b, "long-names")
	}
	b.open(t, longNames(50), "many", 1440, 900)
	if n := ask[int](t, b, cut); n == 0 {
		t.Error("no name of 50 workloads is cut: there is no room for cells, or nothing counts what is cut")
	}
	b.quiet(t)
}

// The figures of outcomes add up to the one of connections, which says what is counted.
func TestTheFiguresAddUp(t *testing.T) {
	for name, q := range map[string]Query{"32": platform(4, 8), "500": platform(25, 20), "small": small(t)} {
		p, err := q.pack(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		number := func(f figure) (n int) {
			if _, err := fmt.Sscan(strings.ReplaceAll(f.Value, ",", ""), &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		all, sum := p.figures(), 0
		for _, f := range all[1:] {
			if f.Mark != "–" {
				sum += number(f)
			}
		}
		if got := number(all[0]); got == 0 || got != sum || !strings.Contains(all[0].Name, "by workload and port") {
			t.Errorf("%s: %s: %d, and the outcomes are %d", name, all[0].Name, got, sum)
		}
	}
}
