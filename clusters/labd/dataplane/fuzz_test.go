package dataplane

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

var (
	fuzzSets = flag.Int("fuzz-sets", 60, "random policy sets that the data plane is compared with the specification in")
	fuzzSeed = flag.Uint64("fuzz-seed", 1, "seed of the first set; 0 takes one from the clock")
)

const probesPerSet = 48

// The data plane does what the specification says, for random pods and policies,
// with real packets between the namespaces of two nodes. IPv4 alone and both
// families take turns.
func TestTheDataPlaneDoesWhatTheSpecificationSays(t *testing.T) {
	seed := *fuzzSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d sets", seed, *fuzzSets)
	passed, stopped := 0, 0
	for i, dual := range []bool{false, true} {
		t.Run(fmt.Sprintf("dual=%v", dual), func(t *testing.T) {
			f := &fuzzer{w: newWorld(t, dual)}
			for n := range *fuzzSets / 2 {
				f.set(seed + uint64(2*n+i))
				if t.Failed() {
					return
				}
			}
			passed, stopped = passed+f.passed, stopped+f.stopped
		})
	}
	t.Logf("%d probes passed and %d were stopped, as the specification says", passed, stopped)
	if !t.Failed() && !t.Skipped() && (passed < *fuzzSets || stopped < *fuzzSets) {
		t.Error("that is too few of one kind: the test proves nothing")
	}
}

type fuzzer struct {
	w               *world
	passed, stopped int

	last  *situation // of the set before
	shots []*shot    // and what was tried in it
}

// set compares one random situation, of this seed.
func (f *fuzzer) set(seed uint64) {
	d := dice{rand.New(rand.NewPCG(seed, seed)), f.w}
	s := d.situation(f.last)
	f.w.become(s)
	var probes []probe
	for len(probes) < probesPerSet {
		from, to := pick(d, f.w.endpoints...), pick(d, f.w.endpoints...)
		if from.pod == nil && to.pod == nil {
			continue // no policy is about that
		}
		p := probe{from, to, d.IntN(f.w.families), pick(d, "TCP", "UDP"), pick(d, fuzzPorts...)}
		probes = append(probes, p)
		if s.passes(p) {
			f.passed++
		} else {
			f.stopped++
		}
	}
	shots, wrong := f.w.try(s, probes, fuzzPatience)
	if len(wrong) > 0 {
		f.report(seed, s, wrong[0])
	}
	for _, late := range f.w.late(f.last, f.shots) {
		f.w.t.Errorf("the set before seed %d: %s arrived late; the specification forbids it", seed, late.probe)
	}
	f.w.forget(f.shots)
	f.last, f.shots = s, shots
}

// forget forgets what arrived of these: ports come round.
func (w *world) forget(shots []*shot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range shots {
		delete(w.arrived, s.as)
	}
}

// saved is a situation in which the data plane was wrong once.
type saved struct {
	Comment string `json:"comment"`
	Dual    bool   `json:"dual"`
	From    string `json:"from"`
	To      string `json:"to"`
	Family  int    `json:"family"` // 0 is IPv4
	Network string `json:"network"`
	Port    int    `json:"port"`
	situation
}

// report makes the case as small as it can and saves it beside the others.
func (f *fuzzer) report(seed uint64, s *situation, wrong *shot) {
	t := f.w.t
	t.Errorf("seed %d: %s: passes is %v; the specification says %v", seed, wrong.probe, wrong.through, s.passes(wrong.probe))
	small := f.minimise(s, wrong.probe)
	c := saved{Comment: fmt.Sprintf("Found with seed %d.", seed), Dual: f.w.families == 2, From: wrong.from.name, To: wrong.to.name,
		Family: wrong.family, Network: wrong.network, Port: wrong.port, situation: *small}
	b, err := yaml.Marshal(c)
	must(t, err)
	file := filepath.Join("testdata", "fuzz", fmt.Sprintf("found-%d.yaml", seed))
	if dir := os.Getenv("TIGHTROPE_FUZZ_DIR"); dir != "" {
		file = filepath.Join(dir, filepath.Base(file))
	}
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, b, 0o644))
	t.Errorf("saved as %s; the specification says %v:\n%s", file, small.passes(wrong.probe), b)
}

// minimise leaves away whatever it can while the probe still goes wrong.
func (f *fuzzer) minimise(s *situation, p probe) *situation {
	still := func(s *situation) bool {
		f.w.become(s)
		_, wrong := f.w.try(s, []probe{p}, fuzzImpatient)
		return len(wrong) > 0
	}
	for shrunk := true; shrunk; {
		shrunk = false
		for _, smaller := range s.smaller() {
			if still(smaller) {
				s, shrunk = smaller, true
				break
			}
		}
	}
	return s
}

// smaller returns the situations that lack one thing.
func (s *situation) smaller() []*situation {
	var all []*situation
	edit := func(i int, f func(*networkingv1.NetworkPolicySpec)) {
		next := *s
		next.Policies = append([]networkingv1.NetworkPolicy{}, s.Policies...)
		next.Policies[i] = *s.Policies[i].DeepCopy()
		f(&next.Policies[i].Spec)
		all = append(all, &next)
	}
	for i := range s.Policies {
		next := *s
		next.Policies = without(s.Policies, i)
		all = append(all, &next)
	}
	for i, p := range s.Policies {
		for r := range p.Spec.Ingress {
			edit(i, func(s *networkingv1.NetworkPolicySpec) { s.Ingress = without(s.Ingress, r) })
			for n := range p.Spec.Ingress[r].From {
				edit(i, func(s *networkingv1.NetworkPolicySpec) { s.Ingress[r].From = without(s.Ingress[r].From, n) })
			}
			for n := range p.Spec.Ingress[r].Ports {
				edit(i, func(s *networkingv1.NetworkPolicySpec) { s.Ingress[r].Ports = without(s.Ingress[r].Ports, n) })
			}
		}
		for r := range p.Spec.Egress {
			edit(i, func(s *networkingv1.NetworkPolicySpec) { s.Egress = without(s.Egress, r) })
			for n := range p.Spec.Egress[r].To {
				edit(i, func(s *networkingv1.NetworkPolicySpec) { s.Egress[r].To = without(s.Egress[r].To, n) })
			}
			for n := range p.Spec.Egress[r].Ports {
				edit(i, func(s *networkingv1.NetworkPolicySpec) { s.Egress[r].Ports = without(s.Egress[r].Ports, n) })
			}
		}
	}
	return all
}

func without[T any](all []T, i int) []T {
	return append(append([]T{}, all[:i]...), all[i+1:]...)
}

// Whatever once was wrong stays right.
func TestSavedSituations(t *testing.T) {
	files, err := filepath.Glob("testdata/fuzz/*.yaml")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no saved situation was found")
	}
	for _, dual := range []bool{false, true} {
		t.Run(fmt.Sprintf("dual=%v", dual), func(t *testing.T) {
			w := newWorld(t, dual)
			for _, file := range files {
				var c saved
				b, err := os.ReadFile(file)
				must(t, err)
				must(t, yaml.UnmarshalStrict(b, &c))
				if c.Dual != dual {
					continue
				}
				p := probe{w.find(c.From), w.find(c.To), c.Family, c.Network, c.Port}
				w.become(&c.situation)
				_, wrong := w.try(&c.situation, []probe{p}, fuzzPatience)
				for _, wrong := range wrong {
					t.Errorf("%s: %s: passes is %v", strings.TrimSuffix(filepath.Base(file), ".yaml"), wrong.probe, wrong.through)
				}
			}
		})
	}
}
