package rollout

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Member is a production pod that the candidates select.
type Member struct {
	Key      string // namespace/name
	Workload string // what it is a replica of
	Enforced bool   // wears the run's label already
	Ready    bool
}

// Pick chooses the pods of a canary: of every workload the given number or
// percentage, rounded up, and at least one, because a workload nobody enforced
// is a workload nobody tried. Pods that are enforced already stay, ready ones
// go before others, then names decide, so that two passes choose alike. A share
// that does not parse is one pod.
func Pick(pods []Member, share intstr.IntOrString) map[string]bool {
	workloads := map[string][]Member{}
	for _, p := range pods {
		workloads[p.Workload] = append(workloads[p.Workload], p)
	}
	chosen := map[string]bool{}
	for _, members := range workloads {
		slices.SortFunc(members, func(a, b Member) int {
			return cmp.Or(first(a.Enforced, b.Enforced), first(a.Ready, b.Ready), cmp.Compare(a.Key, b.Key))
		})
		n, err := intstr.GetScaledValueFromIntOrPercent(&share, len(members), true)
		if err != nil {
			n = 1
		}
		for _, m := range members[:min(max(n, 1), len(members))] {
			chosen[m.Key] = true
		}
	}
	return chosen
}

// first orders true before false.
func first(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}
