package cover

import (
	"cmp"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// option is a connection that a plan may use, and what it exercises.
type option struct {
	link
	class.Try
	decision verdict.Decision
	items    []int
}

// searcher collects options for every rule and every denial.
type searcher struct {
	*universe
	each        int // options for each of them; then the search for it stops
	options     []option
	seen        map[[4]any]bool
	found       []int // options by item
	truncated   bool
	looked      int // connections looked at for the item at hand
	unreachable []Unreachable
}

// maxTries bounds the connections that are looked at for one rule or denial; one
// that has to be explained counts for explained.
const (
	maxTries  = 50_000
	explained = 25
)

// spent counts one more and reports whether there were too many.
func (s *searcher) spent() bool {
	s.looked++
	s.truncated = s.truncated || s.looked > maxTries
	return s.looked > maxTries
}

// search looks for options of every item. What has none after it cannot be
// exercised by connections between these pods.
func search(u *universe, each int) *searcher {
	s := &searcher{universe: u, each: each, seen: map[[4]any]bool{}, found: make([]int, len(u.rules)+len(u.denials))}
	for i, r := range u.rules {
		s.rule(i, r)
		if s.found[i] == 0 {
			s.unreachable = append(s.unreachable, Unreachable{r.String(), s.whyNot(r), i})
		}
	}
	for i, d := range u.denials {
		s.denial(len(u.rules)+i, d)
		if s.found[len(u.rules)+i] == 0 {
			s.unreachable = append(s.unreachable, Unreachable{Denial{d.subject.Rep().Is, d.direction}.String(), s.whyNever(d), len(u.rules) + i})
		}
	}
	return s
}

// about yields the links in which a kind is the subject of the direction.
func (u *universe) about(subject *kind, d networkingv1.PolicyType) func(yield func(link) bool) {
	return func(yield func(link) bool) {
		for _, peer := range u.peers[d] {
			from, to := subject, peer
			if d == networkingv1.PolicyTypeIngress {
				from, to = peer, subject
			}
			for _, l := range links(from, to) {
				if !yield(l) {
					return
				}
			}
		}
	}
}

func (s *searcher) rule(i int, r *rule) {
	s.looked = 0
	for _, subject := range r.subjects {
		for l := range s.about(subject, r.Direction) {
			for _, t := range s.tries(l) {
				d := s.decide(l, t)
				full := s.exercised(r, l.conn(t), d) && s.add(i, l, t, d)
				if full || s.spent() {
					return
				}
			}
		}
	}
}

func (s *searcher) denial(i int, d denial) {
	s.looked = 0
	for l := range s.about(d.subject, d.direction) {
		for _, t := range s.tries(l) {
			denied := s.decide(l, t) == verdict.Deny
			if denied {
				s.looked += explained
			}
			does := denied && slices.Contains(s.exercises(l.from, l.to, l.conn(t), verdict.Deny), i)
			if does && s.add(i, l, t, verdict.Deny) || s.spent() {
				return
			}
		}
	}
}

// add notes an option for an item and reports whether there are enough.
func (s *searcher) add(item int, l link, t class.Try, d verdict.Decision) bool {
	key := [4]any{l.from.index*len(s.kinds) + l.to.index, l.Relation, t.Number, t.Protocol}
	if !s.seen[key] {
		s.seen[key] = true
		o := option{l, t, d, s.exercises(l.from, l.to, l.conn(t), d)}
		s.options = append(s.options, o)
	}
	s.found[item]++
	s.truncated = s.truncated || s.found[item] >= s.each
	return s.found[item] >= s.each
}

// tooMany is why something was not found though it may be there.
const tooMany = "none was found among as many connections as are looked at for one rule or denial"

// whyNot says why a rule has no option.
func (s *searcher) whyNot(r *rule) string {
	switch {
	case r.idle:
		return "policyTypes leave its direction out, so it has no effect"
	case len(r.subjects) == 0:
		return "its policy selects no pod"
	case s.looked > maxTries:
		return tooMany
	}
	for _, subject := range r.subjects {
		for l := range s.about(subject, r.Direction) {
			for _, t := range s.tries(l) {
				if s.spent() {
					return tooMany
				}
				if c := l.conn(t); r.matches(c) {
					v := s.snapshot.Judge(c)
					return fmt.Sprintf("where it matches, something else decides: for example, %s to %s %d/%s: %s", c.From, c.To, c.Port, c.Protocol, v.Rule())
				}
			}
		}
	}
	switch {
	case r.outside:
		return "its peers are addresses that no pod has: a probe from pod to pod cannot exercise it"
	case r.alone == nil:
		return "no pod matches its peers and ports, or a rule that comes before it matches too"
	}
	return "no pod matches its peers and ports"
}

// whyNever says why the denial of an isolated class has no option.
func (s *searcher) whyNever(d denial) string {
	if s.looked > maxTries {
		return tooMany
	}
	other := map[networkingv1.PolicyType]string{networkingv1.PolicyTypeEgress: "target", networkingv1.PolicyTypeIngress: "source"}[d.direction]
	doubt := ""
	for l := range s.about(d.subject, d.direction) {
		for _, t := range s.tries(l) {
			switch s.decide(l, t) {
			case verdict.Unknown:
				doubt = cmp.Or(doubt, s.snapshot.Judge(l.conn(t)).Rule())
			case verdict.Deny:
				v := s.snapshot.Judge(l.conn(t))
				side := v.Ingress
				if d.direction == networkingv1.PolicyTypeEgress {
					side = v.Egress
				}
				if side.Decision == verdict.Deny {
					return fmt.Sprintf("whatever it denies, the policies of the %s deny too, so a probe could not tell which did", other)
				}
			}
		}
	}
	if doubt != "" {
		return "no connection is certainly denied: " + doubt
	}
	return "its policies allow every connection between pods that was tried"
}
