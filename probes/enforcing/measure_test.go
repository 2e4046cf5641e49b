package enforcing

import (
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

var (
	in1  = Pair{"node-1", networkingv1.PolicyTypeIngress}
	out1 = Pair{"node-1", networkingv1.PolicyTypeEgress}
	in2  = Pair{"node-2", networkingv1.PolicyTypeIngress}
)

func took(ms int, pairs ...Pair) Flip {
	f := Flip{Took: map[Pair]time.Duration{}}
	for i, p := range pairs {
		f.Took[p] = time.Duration(ms+i) * time.Millisecond
	}
	return f
}

func late(f Flip, pairs ...Pair) Flip {
	f.Late = pairs
	return f
}

// A cluster of which nobody has seen that it enforces does not enforce.
func TestWhatAMeasurementProves(t *testing.T) {
	all := []Pair{in1, out1, in2}
	for _, tt := range []struct {
		name     string
		r        Result
		enforces bool
		problem  []string // parts; none: it enforces
	}{
		{"nothing was measured", Result{}, false, []string{"nobody looked"}},
		{"denied, and not yet looked whether it comes back", Result{Added: []Flip{took(5, all...)}}, false, []string{"nobody looked"}},
		{"all flip both ways", Result{Added: []Flip{took(5, all...)}, Removed: []Flip{took(9, all...)}}, true, nil},
		{"nothing is denied", Result{Added: []Flip{late(Flip{}, all...)}}, false, []string{"does not enforce NetworkPolicy:", "in every direction on every node"}},
		{"one direction of one node is open", Result{Added: []Flip{late(took(5, in1, in2), out1)}}, false, []string{"not enforce NetworkPolicy everywhere", "Egress of node node-1"}},
		{"one stays denied", Result{Added: []Flip{took(5, all...)}, Removed: []Flip{late(took(5, in1, out1), in2)}}, false, []string{"slow to let go", "Ingress of node node-2"}},
		{"a later round fails", Result{Added: []Flip{took(5, all...), late(took(5, in1, out1), in2)}, Removed: []Flip{took(5, all...)}}, false, []string{"not enforce NetworkPolicy everywhere"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.r.Enforces() != tt.enforces {
				t.Errorf("enforces: %v", tt.r.Enforces())
			}
			problem := tt.r.Problem()
			if (problem == "") != (tt.problem == nil) {
				t.Errorf("problem %q", problem)
			}
			for _, part := range tt.problem {
				if !strings.Contains(problem, part) {
					t.Errorf("problem %q does not say %q", problem, part)
				}
			}
		})
	}
}

func TestTimesAreOfADirection(t *testing.T) {
	r := Result{Added: []Flip{took(30, in1, out1), took(10, in1, out1)}, Removed: []Flip{took(700, in1)}}
	if got := Times(r.Added, networkingv1.PolicyTypeIngress); len(got) != 2 || got[0] != 10*time.Millisecond || got[1] != 30*time.Millisecond {
		t.Errorf("times %v, want those of ingress, shortest first", got)
	}
	if got := r.Slowest(); got != 700*time.Millisecond {
		t.Errorf("slowest %v", got)
	}
}

// Pods of the bench differ by node, and what a policy denies is one side alone.
func TestThePoliciesOfTheBenchSelectOneSideEach(t *testing.T) {
	b := newBench("node-1", "node-2")
	agents := b.agents(map[string]string{})
	if len(b.checks) != 4 || len(agents) != 3 {
		t.Fatalf("%d checks by %d agents, want two directions of two nodes, by one agent each and the asker", len(b.checks), len(agents))
	}
	names := map[string]bool{}
	for _, node := range b.Nodes {
		twin, agent := b.twin(nodeName(node), node), b.agent(nodeName(node), node)
		names[twin.Name.Name], names[agent.Name.Name] = true, true
		if twin.Node != node || agent.Node != node {
			t.Errorf("%s and %s are to run on %q and %q", twin.Name, agent.Name, twin.Node, agent.Node)
		}
	}
	if len(names) != 4 {
		t.Errorf("names %v", names)
	}
	for _, d := range Directions {
		np := b.policy(d)
		selected := 0
		for _, spec := range append(agents, b.twin("open", ""), b.twin("a", "node-1"), b.twin("b", "node-2")) {
			if spec.Labels[sideLabel] == np.Spec.PodSelector.MatchLabels[sideLabel] {
				selected++
			}
		}
		if selected != 2 || np.Spec.PolicyTypes[0] != d || len(np.Spec.Ingress)+len(np.Spec.Egress) != 0 {
			t.Errorf("the policy of %s selects %d pods: %+v", d, selected, np.Spec)
		}
	}
}

func newBench(nodes ...string) *Bench {
	return &Bench{Namespace: "ns", Nodes: nodes, Placer: &pods.Placer{Owner: writer.Owner{Name: "r", UID: "u"}}, checks: map[Pair]checkAt{}}
}
