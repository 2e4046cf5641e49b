package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/platform"
)

// mix says what changeOurs does.
const mix = "of 20 changes: 8 replace a pod (new name and address, labels of its workload), 4 change a pod's address and ports, " +
	"2 label a pod with a value nobody has had, 4 change a policy, 1 adds a policy whose selectors use a label key that no policy has used, 1 relabels a namespace"

// changeOurs changes a compiled world as a live cluster does, and ends with as
// many pods as it began.
func (f *figures) changeOurs(size platform.Size, w verdict.World, pods []verdict.Pod, b budget) {
	r := rand.New(rand.NewPCG(3, 4))
	e := verdict.New(w, pods)
	pods = append([]verdict.Pod{}, pods...)
	var other []verdict.Policy // of the same teams, with other rules
	if size.Policies > 0 {
		size.Seed++
		v, _ := platform.New(size)
		other = v.Policies
	}
	for i := range b.changes {
		var do func()
		at := r.IntN(len(pods))
		p := pods[at]
		switch kind := i % 20; {
		case kind < 8:
			old := p.Key()
			p.Name, p.IPs = fmt.Sprintf("%s-r%d", p.Name, i), []netip.Addr{fresh(i)}
			do = func() { e.DeletePod(old); e.SetPod(p) }
		case kind < 12:
			p.IPs = []netip.Addr{fresh(i)}
			do = func() { e.SetPod(p) }
		case kind < 14:
			p.Labels = maps.Clone(p.Labels)
			p.Labels["app.kubernetes.io/version"] = fmt.Sprint(i)
			do = func() { e.SetPod(p) }
		case kind < 18 && len(other) > 0:
			np := other[r.IntN(len(other))]
			do = func() { e.SetPolicy(np) }
		case kind == 18:
			np := verdict.Policy{Namespace: p.Namespace, Name: fmt.Sprint("new-", i)}
			np.Spec.PodSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: fmt.Sprint("example.org/k", i), Operator: metav1.LabelSelectorOpDoesNotExist}}}
			do = func() { e.SetPolicy(np) }
		default:
			labels := maps.Clone(w.Namespaces[p.Namespace])
			if labels == nil {
				labels = map[string]string{}
			}
			labels["env"] = []string{"prod", "staging"}[i%40/20]
			do = func() { e.SetNamespace(p.Namespace, labels) }
		}
		pods[at] = p
		start := worked()
		do()
		if took := worked() - start; i%20 < 14 {
			f.pod = append(f.pod, took)
		} else {
			f.policy = append(f.policy, took)
		}
	}
}

func fresh(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}) }
