package cover

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Rule is one rule of a policy. One of a NetworkPolicy is exercised by what it
// allows, one of a ClusterNetworkPolicy by what it decides or passes on.
type Rule struct {
	Policy    string // namespace/name, or the name of a ClusterNetworkPolicy
	Direction networkingv1.PolicyType
	Index     int // within the rules of the direction
}

// String is the rule as verdicts name it: namespace/name egress[0], or
// ClusterNetworkPolicy name egress[0].
func (r Rule) String() string {
	kind := ""
	if isCluster(r.Policy) {
		kind = "ClusterNetworkPolicy "
	}
	return fmt.Sprintf("%s%s %s[%d]", kind, r.Policy, strings.ToLower(string(r.Direction)), r.Index)
}

// isCluster tells the name of a ClusterNetworkPolicy from the key of a NetworkPolicy.
func isCluster(policy string) bool { return policy != "" && !strings.Contains(policy, "/") }

// Denial is that NetworkPolicies isolate the pods of a class in a direction. It is
// exercised by a connection that this side denies and the other allows, so that
// nothing else can be what blocked it.
type Denial struct {
	Pod       *verdict.Pod // speaks for its class
	Direction networkingv1.PolicyType
}

// String names the pod and the direction.
func (d Denial) String() string {
	return fmt.Sprintf("%s %s: a denial", d.Pod.Key(), strings.ToLower(string(d.Direction)))
}

// Unreachable is a rule or denial that no connection between pods exercises.
type Unreachable struct {
	What string // the rule or denial
	Why  string
	item int // its number in the universe
}

// Probe is one connection to try.
type Probe struct {
	From, To *verdict.Pod
	Port     int32
	Protocol corev1.Protocol // empty is TCP
	// Expect is what the policies say. A probe of an Unknown connection exercises
	// its pair, and nothing can be expected of it.
	Expect verdict.Decision
}

// String is namespace/name -> namespace/name port/protocol.
func (p Probe) String() string {
	return fmt.Sprintf("%s -> %s %d/%s", p.From.Key(), p.To.Key(), p.Port, cmp.Or(p.Protocol, corev1.ProtocolTCP))
}

// Share is how many of some things are covered.
type Share struct{ Covered, Total int }

// Percent is 0 where there is nothing to cover: nothing required is nothing proved.
func (s Share) Percent() float64 {
	if s.Total == 0 {
		return 0
	}
	return 100 * float64(s.Covered) / float64(s.Total)
}
