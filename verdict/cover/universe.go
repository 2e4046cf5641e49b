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

// rule is a rule alone: a world in which only it can allow anything.
type rule struct {
	Rule
	alone    *verdict.Snapshot
	subjects []*kind
	outside  bool // its peers are addresses only
	idle     bool // policyTypes leave its direction out
}

type denial struct {
	subject   *kind
	direction networkingv1.PolicyType
}

func newUniverse(s *verdict.Snapshot) *universe {
	w := s.World()
	u := &universe{snapshot: s, vocab: class.NewVocabulary(w), known: map[[2]string][]class.Try{}}
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
		u.addPolicy(w, p)
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

// exercised reports whether the rule allows the connection on its side, which is
// about one of its subjects.
func (r *rule) exercised(c verdict.Conn) bool {
	v := r.alone.Judge(c)
	side := v.Ingress
	if r.Direction == networkingv1.PolicyTypeEgress {
		side = v.Egress
	}
	return side.Decision == verdict.Allow
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
// numbers: rules first, then denials.
func (u *universe) exercises(from, to *kind, c verdict.Conn, d verdict.Decision) []int {
	var all []int
	switch d {
	case verdict.Allow:
		for dir, k := range map[networkingv1.PolicyType]*kind{networkingv1.PolicyTypeEgress: from, networkingv1.PolicyTypeIngress: to} {
			for _, i := range k.rules[dir] {
				if u.rules[i].exercised(c) {
					all = append(all, i)
				}
			}
		}
	case verdict.Deny:
		v := u.snapshot.Judge(c)
		if i, ok := from.denial[networkingv1.PolicyTypeEgress]; ok && v.Egress.Decision == verdict.Deny && v.Ingress.Decision == verdict.Allow {
			all = append(all, len(u.rules)+i)
		}
		if i, ok := to.denial[networkingv1.PolicyTypeIngress]; ok && v.Ingress.Decision == verdict.Deny && v.Egress.Decision == verdict.Allow {
			all = append(all, len(u.rules)+i)
		}
	}
	slices.Sort(all)
	return all
}
