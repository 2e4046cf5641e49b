package profile

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Lens shows policies as a data plane with delays and losses has got to know
// them: it hears of every version at once and says which is in force when. Use
// one for each node, from one goroutine.
//
//	Hear(version) ─► news, each with its time ─► Settle: what is in force from now on
type Lens struct {
	name   uint64 // a hash of the node's
	seed   uint64 // that random was made with
	random *rand.Rand
	node   Profile
	known  map[types.NamespacedName]*history
	open   map[types.NamespacedName]bool // those with news
}

// NewLens makes the lens of a node whose profile is the zero Profile. Delays
// depend on the seed, the node's name and the order of the news alone.
func NewLens(node string) *Lens {
	h := fnv.New64a()
	h.Write([]byte(node))
	l := &Lens{name: h.Sum64(), known: map[types.NamespacedName]*history{}, open: map[types.NamespacedName]bool{}}
	l.sow(0)
	return l
}

func (l *Lens) sow(seed uint64) {
	l.seed, l.random = seed, rand.New(rand.NewPCG(seed, l.name))
}

// history is what the API said about one policy and what of it is in force.
type history struct {
	last    *networkingv1.NetworkPolicy // as the API has it; nil: deleted
	inForce *networkingv1.NetworkPolicy // nil: none
	news    []news                      // in the order in which they came
	ignored bool
}

// news is a version of a policy that will be in force from due on, unless an
// earlier one of the same policy is late.
type news struct {
	policy *networkingv1.NetworkPolicy // nil: no rules of it
	due    time.Time
	never  bool // never by itself: only newer news supersede it
}

// Tune gives the node another profile. What waits for something that the new
// profile does not have any more is due at once.
func (l *Lens) Tune(now time.Time, node Profile) {
	if node.Seed != l.seed {
		l.sow(node.Seed)
	}
	l.node = node
	for key, h := range l.known {
		own, _ := l.own(h.last)
		switch {
		case own.Ignore != h.ignored && own.Ignore:
			h.news = []news{{due: now}}
		case own.Ignore != h.ignored:
			h.news = []news{{policy: h.last, due: now}}
		case own.Updates == Applied && own.Delay == (Delay{}):
			h.release(now)
		}
		h.ignored, l.open[key] = own.Ignore, true
	}
}

// own is the profile that counts for one policy. An annotation that cannot be
// read counts for nothing; the error says what is wrong with it.
func (l *Lens) own(p *networkingv1.NetworkPolicy) (Profile, error) {
	if p == nil {
		return l.node, nil
	}
	text, annotated := p.Annotations[Annotation]
	if !annotated {
		return l.node, nil
	}
	return OfPolicy(text, l.node)
}

// Hear notes that the API has this version of the policy; nil means that it is
// gone. What was heard before is no news. The error is about the policy's
// annotation.
func (l *Lens) Hear(now time.Time, key types.NamespacedName, p *networkingv1.NetworkPolicy) error {
	own, err := l.own(p)
	h := l.known[key]
	if h == nil {
		h = &history{}
	}
	if h.last == p {
		return err
	}
	l.known[key] = h
	update := h.last != nil && p != nil && (len(h.news) > 0 || h.inForce != nil)
	h.last, h.ignored, l.open[key] = p, own.Ignore, true
	wait := own.Delay.Sample(l.random)
	switch {
	case own.Ignore:
		h.news = append(h.news, news{due: now})
		return err
	case !update || own.Updates == Applied:
		h.news = append(h.news, news{policy: p, due: now.Add(wait)})
		return err
	case own.Updates == Lost:
		h.news = append(h.news, news{due: now.Add(wait)})
	}
	h.news = append(h.news, news{policy: p, due: now.Add(wait + own.Resync), never: own.Resync == 0})
	return err
}

// Settle returns the policies of which another version is in force at now than
// at the last Settle, nil for none at all, and when the next one follows by
// itself; the zero time means never.
func (l *Lens) Settle(now time.Time) (changed map[types.NamespacedName]*networkingv1.NetworkPolicy, next time.Time) {
	changed = map[types.NamespacedName]*networkingv1.NetworkPolicy{}
	for key := range l.open {
		h := l.known[key]
		before := h.inForce
		due, waits := h.settle(now)
		if h.inForce != before {
			changed[key] = h.inForce
		}
		if !waits {
			delete(l.open, key)
		}
		if !waits && h.last == nil {
			delete(l.known, key)
		}
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return changed, next
}

// settle puts what is due in force, and says whether news are left and when
// the first of them is due.
func (h *history) settle(now time.Time) (next time.Time, waits bool) {
	for i, n := range h.news {
		switch {
		case n.never && i < len(h.news)-1: // superseded
			continue
		case n.never:
			h.news = h.news[i:]
			return time.Time{}, true
		case n.due.After(now):
			h.news = h.news[i:]
			return n.due, true
		}
		h.inForce = n.policy
	}
	h.news = nil
	return time.Time{}, false
}

// release makes all that waits due.
func (h *history) release(now time.Time) {
	for i := range h.news {
		h.news[i].due, h.news[i].never = now, false
	}
}
