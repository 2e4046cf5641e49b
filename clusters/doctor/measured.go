package doctor

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
)

// rounds is how often a policy is written and deleted.
const rounds = 10

// Names of the checks that probe pods make.
const (
	checkEnforces    = "enforcement"
	checkSpeed       = "how fast policies act"
	checkDeny        = "what a denied connection sees"
	checkEstablished = "established connections"
	checkForms       = "forms of write"
	checkImpostor    = "who answers a connection"
)

// unmeasured says of everything that probe pods find out that it is not known.
func (x *examiner) unmeasured(why string) {
	for _, name := range []string{checkEnforces, checkSpeed, checkDeny, checkImpostor, checkEstablished, checkForms} {
		x.add(name, Unknown, why)
	}
}

// measured says what the probe pods saw. err is why they did not see all.
func (x *examiner) measured(b *enforcing.Bench, r enforcing.Result, err error) {
	x.enforced(b.Nodes, r, err)
	x.speed(r)
	x.denied(r)
	x.named, x.addresses = b.Named(), b.Addresses()
	switch closed := b.Closed(); closed {
	case probes.Unsent:
		x.add(checkImpostor, Unknown, "no attempt on a port on which nobody listens was heard of")
	case probes.Reached, probes.Reset, probes.TLSFailure:
		x.add(checkImpostor, Problem, fmt.Sprintf("a connection to a port on which nobody listens ended %s: a sidecar or a node proxy answers in the pod's place, so no attempt proves that a target was reached", closed),
			"take the probe pods' namespaces out of the mesh, or exempt pods with the label tightrope.dev/role")
	default:
		x.add(checkImpostor, OK, fmt.Sprintf("nobody answers for a pod that does not listen (%s)", closed))
	}
}

// enforced says whether the nodes were seen to enforce policies.
func (x *examiner) enforced(nodes []string, r enforcing.Result, err error) {
	x.found.Nodes, x.found.Enforces = nodes, err == nil && r.Enforces()
	x.found.flips = whereOf(nodes, r)
	switch problem := r.Problem(); {
	case err != nil:
		x.add(checkEnforces, Unknown, err.Error())
	case problem != "":
		x.add(checkEnforces, Problem, problem)
	default:
		x.add(checkEnforces, OK, fmt.Sprintf("each of %d nodes enforces ingress and egress, both ways, in %d rounds", len(nodes), len(r.Removed)))
	}
}

func (x *examiner) speed(r enforcing.Result) {
	var parts []string
	for _, d := range enforcing.Directions {
		e := Effect{Direction: string(d), Added: timesOf(enforcing.Times(r.Added, d)), Removed: timesOf(enforcing.Times(r.Removed, d))}
		x.found.Effects = append(x.found.Effects, e)
		for _, part := range []struct {
			what string
			t    *Times
		}{{"written", e.Added}, {"deleted", e.Removed}} {
			if part.t != nil {
				parts = append(parts, fmt.Sprintf("%s, %s: median %s, 90 %% within %s, at most %s (%d samples)",
					strings.ToLower(e.Direction), part.what, ms(part.t.Median), ms(part.t.P90), ms(part.t.Max), part.t.Samples))
			}
		}
	}
	if len(parts) == 0 {
		x.add(checkSpeed, Unknown, "no policy was seen to act")
		return
	}
	x.add(checkSpeed, Note, strings.Join(parts, "; ")+"; attempts are 100 ms apart")
	all := slices.Concat(enforcing.Times(r.Added, networkingv1.PolicyTypeIngress), enforcing.Times(r.Added, networkingv1.PolicyTypeEgress),
		enforcing.Times(r.Removed, networkingv1.PolicyTypeIngress), enforcing.Times(r.Removed, networkingv1.PolicyTypeEgress))
	slices.Sort(all)
	x.found.settle = timesOf(all)
	for _, node := range x.found.Nodes {
		for _, d := range enforcing.Directions {
			pair := enforcing.Pair{Node: node, Direction: d}
			x.found.PerNode = append(x.found.PerNode, Effect{Node: node, Direction: string(d),
				Added: timesOf(enforcing.TimesOf(r.Added, pair)), Removed: timesOf(enforcing.TimesOf(r.Removed, pair))})
		}
	}
}

// timesOf sums up sorted times; nil: there are none.
func timesOf(sorted []time.Duration) *Times {
	n := len(sorted)
	if n == 0 {
		return nil
	}
	at := func(share float64) float64 {
		return millis(sorted[max(0, int(math.Ceil(share*float64(n)))-1)])
	}
	return &Times{Samples: n, Min: millis(sorted[0]), Median: at(0.5), P90: at(0.9), P99: at(0.99), Max: millis(sorted[n-1])}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func ms(value float64) string { return fmt.Sprintf("%.0f ms", value) }

// denied says whether a denied connection is dropped or rejected.
func (x *examiner) denied(r enforcing.Result) {
	by := map[probes.Outcome]int{}
	for _, f := range r.Added {
		for _, outcome := range f.Denied {
			by[outcome]++
		}
	}
	dropped, rejected := by[probes.TimedOut], by[probes.Refused]+by[probes.Unreachable]
	switch {
	case dropped+rejected == 0:
		x.add(checkDeny, Unknown, "no connection was denied")
	case rejected == 0:
		x.found.Deny = "Drop"
		x.add(checkDeny, Note, "it is dropped: a client waits until its own timeout")
	case dropped == 0:
		x.found.Deny = "Reject"
		x.add(checkDeny, Note, "it is rejected at once, as if nobody listened")
	default:
		x.found.Deny = "Mixed"
		x.add(checkDeny, Note, fmt.Sprintf("it is dropped (%d) or rejected (%d), by direction or node", dropped, rejected))
	}
}
