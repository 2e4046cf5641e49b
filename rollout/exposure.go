package rollout

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Exposure is an edge that baseline and candidate both deny, and that some mix
// of pod states on the way allows: the baseline closes one end, the candidate
// the other. From and To stand for their workloads.
type Exposure struct {
	From, To *verdict.Pod
	Port     verdict.Port // of To
	// Decision is Allow, or Unknown where v1 leaves open whether the mix allows it.
	Decision verdict.Decision
}

// Exposures lists the edges between workloads that a rollout opens for a while,
// for a candidate set that only adds policies. w holds the baseline. Tried are
// the ports that the target declares and those given. One pod speaks for all of
// its workload: same namespace and labels, as far as policies can tell. The
// order is that of pods. A pod's two ends may be in different states, because
// labels and restarts make mixes that no step names, so all nine are judged.
//
// A set that only adds cannot un-isolate a pod: what isolated it still does.
func Exposures(w verdict.World, candidates []verdict.Policy, pods []verdict.Pod, ports []verdict.Port) []Exposure {
	after := w
	after.Policies = slices.Concat(w.Policies, Added(w.Policies, candidates))
	groups := workloads(pods, after.Policies)
	var all []Exposure
	for _, from := range groups {
		for _, to := range groups {
			source, target, ok := from.edge(to)
			if !ok {
				continue
			}
			for _, port := range portsToTry(target, ports) {
				d := exposed(w, after, source, target, port)
				if d != verdict.Deny {
					all = append(all, Exposure{From: source, To: target, Port: port, Decision: d})
				}
			}
		}
	}
	return all
}

// portsToTry are the declared ports of a pod and the extra ones, each number
// and protocol once, the declared name first.
func portsToTry(target *verdict.Pod, extra []verdict.Port) []verdict.Port {
	var all []verdict.Port
	for _, p := range slices.Concat(target.Ports, extra) {
		p.Protocol = cmp.Or(p.Protocol, corev1.ProtocolTCP)
		same := func(q verdict.Port) bool { return q.Number == p.Number && q.Protocol == p.Protocol }
		if !slices.ContainsFunc(all, same) {
			all = append(all, p)
		}
	}
	return all
}

// exposed is the best that a mix does for an edge that both sets deny; Deny if
// no mix opens it, or if one of the sets does not deny it. Every pair of
// addresses of the two ends is tried, because an ipBlock may tell them apart.
func exposed(before, after verdict.World, from, to *verdict.Pod, port verdict.Port) verdict.Decision {
	best := verdict.Deny
	for _, c := range connections(from, to, port) {
		best = wider(best, mixed(before.Judge(c), after.Judge(c)))
	}
	return best
}

func connections(from, to *verdict.Pod, port verdict.Port) []verdict.Conn {
	all := []verdict.Conn{}
	for _, a := range from.IPs {
		for _, b := range to.IPs {
			if a.Unmap().Is4() == b.Unmap().Is4() {
				all = append(all, verdict.Conn{From: verdict.End{Pod: from, IP: a}, To: verdict.End{Pod: to, IP: b}, Port: port.Number, Protocol: port.Protocol})
			}
		}
	}
	if len(all) == 0 {
		all = append(all, verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: port.Number, Protocol: port.Protocol})
	}
	return all
}

// mixed judges the nine mixes. A bridged end may do what either set allows it:
// a bridge allows everything where the baseline did not isolate, and where it
// did, the union of both sets applies.
func mixed(base, cand verdict.Verdict) verdict.Decision {
	if base.Decision != verdict.Deny || cand.Decision != verdict.Deny {
		return verdict.Deny
	}
	egress, ingress := states(base.Egress, cand.Egress), states(base.Ingress, cand.Ingress)
	best := verdict.Deny
	for _, source := range egress {
		for _, target := range ingress {
			best = wider(best, narrower(source, target))
		}
	}
	return best
}

// states are the decisions of one end at baseline, bridged and enforced.
func states(base, cand verdict.Side) [3]verdict.Decision {
	return [3]verdict.Decision{base.Decision, wider(base.Decision, cand.Decision), cand.Decision}
}

func wider(a, b verdict.Decision) verdict.Decision {
	switch {
	case a == verdict.Allow || b == verdict.Allow:
		return verdict.Allow
	case a == verdict.Deny && b == verdict.Deny:
		return verdict.Deny
	}
	return verdict.Unknown
}

func narrower(a, b verdict.Decision) verdict.Decision {
	switch {
	case a == verdict.Deny || b == verdict.Deny:
		return verdict.Deny
	case a == verdict.Allow && b == verdict.Allow:
		return verdict.Allow
	}
	return verdict.Unknown
}
