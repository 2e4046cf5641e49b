package cover

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

var directions = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress}

// universe is what there is to cover, and the kinds of connections to do it with.
type universe struct {
	snapshot *verdict.Snapshot
	kinds    []*kind
	rules    []*rule
	denials  []denial
	other    func(corev1.Protocol) int32
	vocab    *class.Vocabulary
	known    map[[2]string][]class.Try           // by asSource and asTarget
	peers    map[networkingv1.PolicyType][]*kind // of a direction: those that are open at their end first
	ordered  bool                                // there are ClusterNetworkPolicies
}

// kind is a class of pods.
type kind struct {
	*class.Class
	index   int
	rules   map[networkingv1.PolicyType][]int // indices in universe.rules of those that are about it
	denial  map[networkingv1.PolicyType]int   // index in universe.denials
	egress  []class.Span
	ingress []class.Span
	// asSource is equal for kinds with the same egress, asTarget for those with the
	// same ingress and declared ports.
	asSource, asTarget string
}

// rule is a rule with worlds that tell whether it matches.
type rule struct {
	Rule
	alone       *verdict.Snapshot // only it can allow anything; nil: it is of a ClusterNetworkPolicy
	opens, shut *verdict.Snapshot // it accepts, it denies; nil: it is of a NetworkPolicy
	subjects    []*kind
	outside     bool // its peers are addresses only
	idle        bool // policyTypes leave its direction out
}

type denial struct {
	subject   *kind
	direction networkingv1.PolicyType
}

func newUniverse(s *verdict.Snapshot, o Options) *universe {
	w := s.World()
	u := &universe{snapshot: s, vocab: class.NewVocabulary(w), known: map[[2]string][]class.Try{}, ordered: len(w.ClusterPolicies) > 0}
	mentions := class.NewMentions(w)
	var pods []*verdict.Pod
	for _, c := range class.Of(u.vocab, s, nil) {
		k := &kind{Class: c, index: len(u.kinds), rules: map[networkingv1.PolicyType][]int{}, denial: map[networkingv1.PolicyType]int{}}
		k.egress, k.ingress = mentions.Of(c.Rep())
		k.asSource, k.asTarget = fmt.Sprint(k.egress), fmt.Sprint(k.ingress, c.Rep().Is.Ports)
		u.kinds = append(u.kinds, k)
		for _, m := range c.Members {
			pods = append(pods, m.Is)
		}
	}
	u.other = u.vocab.Other(pods)
	for _, p := range w.Policies {
		if o.counts(p.Key()) {
			u.addPolicy(w, p)
		}
	}
	for i, p := range w.ClusterPolicies {
		if o.counts(p.Name) {
			u.addClusterPolicy(w, i)
		}
	}
	u.peers = map[networkingv1.PolicyType][]*kind{
		networkingv1.PolicyTypeEgress:  openFirst(u.kinds, networkingv1.PolicyTypeIngress),
		networkingv1.PolicyTypeIngress: openFirst(u.kinds, networkingv1.PolicyTypeEgress),
	}
	return u
}

// openFirst puts the kinds first that nothing isolates in the direction: what a
// subject denies, it is soonest seen to deny alone with them.
func openFirst(kinds []*kind, d networkingv1.PolicyType) []*kind {
	var open, closed []*kind
	for _, k := range kinds {
		if _, isolated := k.denial[d]; isolated {
			closed = append(closed, k)
		} else {
			open = append(open, k)
		}
	}
	return append(open, closed...)
}

func (u *universe) addPolicy(w verdict.World, p verdict.Policy) {
	for _, d := range directions {
		var subjects []*kind
		for _, k := range u.kinds {
			if on, err := p.Isolates(*k.Rep().Is, d); on && err == nil {
				subjects = append(subjects, k)
				if _, ok := k.denial[d]; !ok {
					k.denial[d] = len(u.denials)
					u.denials = append(u.denials, denial{k, d})
				}
			}
		}
		for i := range count(p.Spec, d) {
			r := aloneRule(w, p, d, i)
			r.subjects = subjects
			for _, k := range subjects {
				k.rules[d] = append(k.rules[d], len(u.rules))
			}
			u.rules = append(u.rules, r)
		}
	}
}

func count(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType) int {
	if d == networkingv1.PolicyTypeEgress {
		return len(spec.Egress)
	}
	return len(spec.Ingress)
}

// aloneRule leaves of the world the one policy, and of that the one rule.
func aloneRule(w verdict.World, p verdict.Policy, d networkingv1.PolicyType, i int) *rule {
	r := &rule{Rule: Rule{p.Key(), d, i}, idle: !p.Affects(d)}
	var peers []networkingv1.NetworkPolicyPeer
	one := verdict.Policy{Namespace: p.Namespace, Name: p.Name}
	one.Spec.PodSelector, one.Spec.PolicyTypes = p.Spec.PodSelector, []networkingv1.PolicyType{d}
	if d == networkingv1.PolicyTypeEgress {
		one.Spec.Egress = p.Spec.Egress[i : i+1]
		peers = p.Spec.Egress[i].To
	} else {
		one.Spec.Ingress = p.Spec.Ingress[i : i+1]
		peers = p.Spec.Ingress[i].From
	}
	r.outside = len(peers) > 0 && !slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool { return p.IPBlock == nil })
	r.alone = verdict.Compile(verdict.World{Namespaces: w.Namespaces, Nodes: w.Nodes, Policies: []verdict.Policy{one}}, nil)
	return r
}

// matches reports whether the rule matches the connection on its side, which is
// about one of its subjects. One of a ClusterNetworkPolicy does if everything
// hangs on its action: no other comes before it.
func (r *rule) matches(c verdict.Conn) bool {
	in := func(s *verdict.Snapshot) verdict.Decision {
		side, _ := sides(s.Judge(c), r.Direction)
		return side.Decision
	}
	if r.alone != nil {
		return in(r.alone) == verdict.Allow
	}
	return in(r.opens) == verdict.Allow && in(r.shut) == verdict.Deny
}

// sides are that of the direction and the other.
func sides(v verdict.Verdict, d networkingv1.PolicyType) (own, other verdict.Side) {
	if d == networkingv1.PolicyTypeEgress {
		return v.Egress, v.Ingress
	}
	return v.Ingress, v.Egress
}

// exercised reports whether the connection shows the rule at work: it matches, and
// what comes of the connection is this side's doing. A NetworkPolicy's rule is at
// work where it allows, and only if no ClusterNetworkPolicy has decided before.
func (u *universe) exercised(r *rule, c verdict.Conn, d verdict.Decision) bool {
	cluster := r.alone == nil
	switch {
	case d == verdict.Unknown, !cluster && d == verdict.Deny, !r.matches(c):
		return false
	case d == verdict.Deny:
		_, alone := u.deniedBy(c, r.Direction)
		return alone
	case cluster || !u.ordered:
		return true
	}
	own, _ := sides(u.snapshot.Judge(c), r.Direction)
	return !isCluster(own.Policy)
}

// link is a pair of kinds of pods, with the relation of their nodes.
type link struct {
	from, to *kind
	class.Pair
}

// links are the pairs that a kind may have with another.
func links(from, to *kind) []link {
	var all []link
	for _, p := range class.Pairs(from.Class, to.Class) {
		all = append(all, link{from, to, p})
	}
	return all
}

func (u *universe) decide(l link, t class.Try) verdict.Decision {
	return u.snapshot.Decide(l.From.IsID, l.To.IsID, t.Number, t.Protocol)
}

func (l link) conn(t class.Try) verdict.Conn {
	return verdict.Conn{From: verdict.End{Pod: l.From.Is}, To: verdict.End{Pod: l.To.Is}, Port: t.Number, Protocol: t.Protocol}
}

// tries are the ports worth trying over a link: those that the target declares
// first, because somebody may listen there, then one of each stretch that the
// policies of either end tell apart, then one that nothing speaks of.
func (u *universe) tries(l link) []class.Try {
	key := [2]string{l.from.asSource, l.to.asTarget}
	all, ok := u.known[key]
	if !ok {
		rest := []corev1.Protocol{corev1.ProtocolTCP}
		all = class.Tries(l.To.Is.Ports, nil, slices.Concat(l.from.egress, l.to.ingress), rest, u.other)
		u.known[key] = all
	}
	return all
}

// exercises lists the rules and the denials that a connection exercises, as
// numbers: rules first, then denials. An end of no kind exercises nothing itself.
func (u *universe) exercises(from, to *kind, c verdict.Conn, d verdict.Decision) []int {
	if d == verdict.Unknown {
		return nil
	}
	var all []int
	for dir, k := range map[networkingv1.PolicyType]*kind{networkingv1.PolicyTypeEgress: from, networkingv1.PolicyTypeIngress: to} {
		if k == nil {
			continue
		}
		for _, i := range k.rules[dir] {
			if u.exercised(u.rules[i], c, d) {
				all = append(all, i)
			}
		}
		if i, ok := k.denial[dir]; ok && d == verdict.Deny {
			if own, alone := u.deniedBy(c, dir); alone && !isCluster(own.Policy) {
				all = append(all, len(u.rules)+i)
			}
		}
	}
	slices.Sort(all)
	return all
}

// deniedBy is the side of the direction, and whether it denies what the other allows.
func (u *universe) deniedBy(c verdict.Conn, d networkingv1.PolicyType) (own verdict.Side, alone bool) {
	own, other := sides(u.snapshot.Judge(c), d)
	return own, own.Decision == verdict.Deny && other.Decision == verdict.Allow
}
