package preview

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Use is what is known of who uses a connection. The zero Use is that nothing is.
type Use uint8

// The uses, from the one that is known least.
const (
	Declared  Use = iota // the target declares the port, and nothing says who uses it
	Forbidden            // a suite says that it must not work
	Served               // a Service leads to the port
	Required             // a suite says that it must work
)

// String names the use for people.
func (u Use) String() string {
	return [...]string{"declared", "forbidden", "served", "required"}[u]
}

// MarshalText writes the name.
func (u Use) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Impact is a change of the blast radius, and who uses what changes.
type Impact struct {
	compare.Change
	Use Use
}

// meeting is two workloads and a port; From is empty for every source.
type meeting struct {
	from, to string
	port     int32
	protocol corev1.Protocol
}

// impacts are the changes, what somebody uses first.
func impacts(set *manifest.Set, edges []rollout.Edge, changes []compare.Change, name func(*verdict.Pod) string) []Impact {
	uses := uses(set, edges, name)
	all := make([]Impact, 0, len(changes))
	for _, c := range changes {
		use, ok := uses[meeting{c.From, c.To, c.Port, c.Protocol}]
		if !ok {
			use = uses[meeting{"", c.To, c.Port, c.Protocol}]
		}
		all = append(all, Impact{Change: c, Use: use})
	}
	slices.SortStableFunc(all, func(a, b Impact) int { return int(b.Use) - int(a.Use) })
	return all
}

// uses is what the suites and the Services say. The source of a path is every
// workload that wears the labels of its identity.
func uses(set *manifest.Set, edges []rollout.Edge, name func(*verdict.Pod) string) map[meeting]Use {
	all := map[meeting]Use{}
	for _, s := range set.Services {
		for _, p := range s.Ports {
			for _, i := range s.Pods {
				if number, ok := p.On(&set.Pods[i]); ok {
					all[meeting{"", name(&set.Pods[i]), number, p.Protocol}] = Served
				}
			}
		}
	}
	for _, e := range edges {
		use := Required
		if e.Expect == v1alpha1.ExpectDeny {
			use = Forbidden
		}
		for _, from := range wearers(set, e.Conn.From.Pod, name) {
			m := meeting{from, name(e.Conn.To.Pod), e.Conn.Port, e.Conn.Protocol}
			all[m] = max(all[m], use)
		}
	}
	return all
}

// wearers are the workloads whose pods have all labels of the identity.
func wearers(set *manifest.Set, identity *verdict.Pod, name func(*verdict.Pod) string) []string {
	var all []string
	for i := range set.Pods {
		pod := &set.Pods[i]
		if pod.Namespace != identity.Namespace || len(identity.Labels) == 0 {
			continue
		}
		worn := true
		for k, v := range identity.Labels {
			worn = worn && pod.Labels[k] == v
		}
		if n := name(pod); worn && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// group is the ports of one workload on which the connections of the same other
// workloads change in the same way.
type group struct {
	to    string
	kind  compare.Kind
	ports []string
	from  []string
}

// grouped puts together what changes alike, in the order of the list.
func grouped(list []Impact) []group {
	type target struct {
		to, port string
		kind     compare.Kind
	}
	from, order := map[target][]string{}, []target{}
	for _, c := range list {
		t := target{c.To, portOf(c.Change), c.Kind()}
		if from[t] == nil {
			order = append(order, t)
		}
		from[t] = append(from[t], c.From)
	}
	var all []group
	at := map[string]int{}
	for _, t := range order {
		key := fmt.Sprint(t.to, t.kind, from[t])
		i, ok := at[key]
		if !ok {
			i = len(all)
			at[key], all = i, append(all, group{to: t.to, kind: t.kind, from: from[t]})
		}
		all[i].ports = append(all[i].ports, t.port)
	}
	rank := []compare.Kind{compare.Closed, compare.Opened, compare.BecameUnknown, compare.BecameKnown}
	slices.SortStableFunc(all, func(a, b group) int { return slices.Index(rank, a.kind) - slices.Index(rank, b.kind) })
	return all
}

// concerned counts the workloads at either end of a change.
func concerned(list []Impact) int {
	all := map[string]bool{}
	for _, c := range list {
		all[c.From], all[c.To] = true, true
	}
	return len(all)
}
