package repair

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Repair is what to add to policies so that they allow a connection.
type Repair struct {
	// Additions allow the connection together; empty where nothing is denied, and
	// where no NetworkPolicy can help.
	Additions []Addition
	// Why there is no repair, as a sentence; empty where there is one, and where
	// nothing is denied.
	Why string
	// Besides are other connections that the additions allow on the same port, as
	// "NAMESPACE/POD to NAMESPACE/POD": no label tells those pods apart. It is empty
	// where Options.Pods is.
	Besides []string
	// World is the given one with the additions, from which the repair of the next
	// connection can start, so that the two fit together.
	World verdict.World
}

// Addition is a rule to add to a policy, or a whole policy to add.
type Addition struct {
	Policy    string // namespace/name
	New       bool   // the policy is not there yet
	Direction networkingv1.PolicyType
	YAML      string // the list item, or the whole policy
	// Spec is that of the policy with the addition.
	Spec networkingv1.NetworkPolicySpec
}

// Field is where the list item goes: spec.egress or spec.ingress; empty for a new policy.
func (a Addition) Field() string {
	if a.New {
		return ""
	}
	return "spec." + strings.ToLower(string(a.Direction))
}

// Options tunes Of. The zero value works.
type Options struct {
	// Own reports whether a policy (namespace/name) may be changed. A rule that
	// belongs to one that may not goes into a new policy; nil: all may be.
	Own func(policy string) bool
	// Inline writes new policies as items of a PolicyRollout's spec.policies.inline,
	// not as NetworkPolicies.
	Inline bool
	// Pods are those that there are. An addition is made for its connection only: it
	// takes as few other pods as labels allow. nil: no others are known.
	Pods []verdict.Pod
	// Workload names the workload of a pod, whose replicas an addition is for
	// together; nil: pods of a namespace with the same fixed labels are replicas.
	Workload func(*verdict.Pod) string
	// Fixed are the labels of a pod that stay the same; nil: all but Drifting.
	Fixed func(*verdict.Pod) map[string]string
}

func (o Options) withDefaults() Options {
	if o.Own == nil {
		o.Own = func(string) bool { return true }
	}
	if o.Fixed == nil {
		o.Fixed = func(p *verdict.Pod) map[string]string { return Fixed(p) }
	}
	if o.Workload == nil {
		fixed := o.Fixed
		o.Workload = func(p *verdict.Pod) string { return fmt.Sprint(p.Namespace, fixed(p)) }
	}
	return o
}

var directions = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress}

// Of says what to add to the policies of a world so that they allow a connection:
// one addition for each end that denies it. What would cut another connection is
// not said.
func Of(w verdict.World, c verdict.Conn, o Options) Repair {
	o = o.withDefaults()
	before := verdict.Compile(w, nil)
	v := before.Judge(c)
	r := Repair{World: w}
	if v.Decision != verdict.Deny {
		return r
	}
	for _, d := range directions {
		side := sideOf(v, d)
		if side.Decision != verdict.Deny {
			continue
		}
		if !slices.ContainsFunc(w.Policies, func(p verdict.Policy) bool { return p.Key() == side.Policy }) {
			return Repair{World: w, Why: clusterPolicy(w, c, d, side.Policy)}
		}
		a, why := o.addition(r.World, c, d, side)
		if why != "" {
			return Repair{World: w, Why: why}
		}
		r.add(a)
	}
	after := verdict.Compile(r.World, nil)
	if v := after.Judge(c); v.Decision != verdict.Allow {
		return Repair{World: w, Why: fmt.Sprintf("A rule for it would not be enough: %s.", v.Reason)}
	}
	r.Besides = o.besides(before, after, c)
	return r
}

// clusterPolicy says who can change what the policy of the cluster denies. It adds no
// NetworkPolicy before tier Baseline, though one would do: it would isolate the pod,
// and so cut what the tier lets through.
func clusterPolicy(w verdict.World, c verdict.Conn, d networkingv1.PolicyType, name string) string {
	subject, verb := c.From, "leave"
	if d == networkingv1.PolicyTypeIngress {
		subject, verb = c.To, "enter"
	}
	if slices.ContainsFunc(w.ClusterPolicies, func(p verdict.ClusterPolicy) bool {
		return p.Name == name && p.Spec.Tier == v1alpha2.BaselineTier
	}) {
		return fmt.Sprintf("The policy %s is of tier Baseline, which has a say only where no NetworkPolicy is about what %ss %s. If it should be allowed, change %s, or add a NetworkPolicy that selects %s and allows it: that one then decides alone, so it has to list whatever else has to %s, too.",
			name, verb, subject, name, subject, verb)
	}
	return fmt.Sprintf("Only the policy %s can change this; a NetworkPolicy that allows it has no say before it.", name)
}

func sideOf(v verdict.Verdict, d networkingv1.PolicyType) verdict.Side {
	if d == networkingv1.PolicyTypeEgress {
		return v.Egress
	}
	return v.Ingress
}

func (r *Repair) add(a Addition) {
	ns, name, _ := strings.Cut(a.Policy, "/")
	rest := slices.DeleteFunc(slices.Clone(r.World.Policies), func(p verdict.Policy) bool { return p.Key() == a.Policy })
	r.World.Policies = append(rest, verdict.Policy{Namespace: ns, Name: name, Spec: a.Spec})
	r.Additions = append(r.Additions, a)
}

// String says what to add and where, over several lines; the reason where nothing
// helps. It is not sanitized.
func (r Repair) String() string {
	var b strings.Builder
	for i, a := range r.Additions {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(a.Where() + ":\n" + a.YAML)
	}
	if len(r.Additions) == 0 {
		return r.Why
	}
	if len(r.Besides) > 0 {
		b.WriteString("\n# no label tells them apart: this also allows " + brief(r.Besides))
	}
	return b.String()
}

// Where says in words where the YAML goes.
func (a Addition) Where() string {
	if a.New {
		return "a new policy " + a.Policy
	}
	return "to " + a.Field() + " of " + a.Policy
}
