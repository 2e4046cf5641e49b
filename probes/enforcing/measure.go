package enforcing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/probes"
)

// Within is how long a cluster may take to show what was written to a policy, and
// LabelWithin the same for a label of a pod: there are clusters where a label moves a
// pod to another identity first, and by default may take most of a minute for that.
const (
	Within      = 15 * time.Second
	LabelWithin = 90 * time.Second
)

// Directions are both, in the order in which they are told.
var Directions = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

// ErrNoNetwork says that pods could not reach each other before any policy was
// there, so that nothing can be said of policies.
var ErrNoNetwork = errors.New("pods do not reach each other although no policy is there")

// Flip is how the pairs followed one write. The zero Flip shows nothing.
type Flip struct {
	Took   map[Pair]time.Duration // from the acknowledged write to the first attempt that shows it
	Late   []Pair                 // that did not show it in time
	Denied map[Pair]probes.Outcome
}

// Slowest is the longest time that a pair took to follow; 0: none did.
func (f Flip) Slowest() (slowest time.Duration) {
	for _, took := range f.Took {
		slowest = max(slowest, took)
	}
	return slowest
}

// Worse is the one of two flips of which more pairs are late, or else the slower one.
func (f Flip) Worse(g Flip) Flip {
	if len(g.Late) > len(f.Late) || len(g.Late) == len(f.Late) && g.Slowest() > f.Slowest() {
		return g
	}
	return f
}

// Result is what Measure saw. The zero Result shows nothing: Enforces is false.
type Result struct {
	Added, Removed []Flip // of each round: the denying policies written, and deleted
}

// Measure denies and allows again, as often as rounds says. It stops at the first
// round in which a pair does not follow: then there is nothing more to time.
func (b *Bench) Measure(ctx context.Context, rounds int) (Result, error) {
	var r Result
	if _, late, err := b.shown(ctx, time.Now(), false, Within); err != nil {
		return r, err
	} else if len(late) > 0 {
		return r, fmt.Errorf("%w: look at the network of %s", ErrNoNetwork, names(late))
	}
	began := time.Now()
	for n := range rounds {
		if n > 0 && b.Budget > 0 && time.Since(began) > b.Budget {
			break
		}
		added, err := b.deny(ctx)
		if err != nil {
			return r, err
		}
		r.Added = append(r.Added, added)
		if len(added.Late) > 0 {
			return r, nil
		}
		removed, err := b.allow(ctx)
		if err != nil {
			return r, err
		}
		r.Removed = append(r.Removed, removed)
		if len(removed.Late) > 0 {
			return r, nil
		}
	}
	return r, nil
}

// deny writes both policies and waits for their effect.
func (b *Bench) deny(ctx context.Context) (Flip, error) {
	for _, d := range Directions {
		if err := b.Placer.Write.Create(ctx, b.policy(d)); err != nil {
			return Flip{}, fmt.Errorf("write a policy that denies %s: %w", d, err)
		}
	}
	return b.flip(ctx, time.Now(), true, Within)
}

// allow deletes both policies and waits for that.
func (b *Bench) allow(ctx context.Context) (Flip, error) {
	for _, d := range Directions {
		np := b.policy(d)
		if err := b.Placer.Live.Get(ctx, client.ObjectKeyFromObject(np), np); err != nil {
			return Flip{}, fmt.Errorf("read the policy that denies %s: %w", d, err)
		}
		if err := b.Placer.Write.Delete(ctx, np); err != nil {
			return Flip{}, fmt.Errorf("delete the policy that denies %s: %w", d, err)
		}
	}
	return b.flip(ctx, time.Now(), false, Within)
}

func (b *Bench) flip(ctx context.Context, written time.Time, denied bool, within time.Duration) (Flip, error) {
	took, late, err := b.shown(ctx, written, denied, within)
	f := Flip{Took: took, Late: late, Denied: map[Pair]probes.Outcome{}}
	for pair, at := range b.checks {
		if st, ok := b.set.State(at.agent, at.id); ok && st.Last.Blocked() {
			f.Denied[pair] = st.Last
		}
	}
	return f, err
}

// shown waits until every pair shows that it is denied, or reached, and says how
// long after the write each was, and which are late.
func (b *Bench) shown(ctx context.Context, written time.Time, denied bool, within time.Duration) (took map[Pair]time.Duration, late []Pair, err error) {
	b.set.Mark(written)
	took = map[Pair]time.Duration{}
	deadline := time.After(within)
	for {
		for pair, at := range b.checks {
			st, ok := b.set.State(at.agent, at.id)
			if _, done := took[pair]; !done && ok && (denied && st.ShowsDeny() || !denied && st.ShowsAllow()) {
				took[pair] = max(0, st.StreakBegan().Sub(written))
			}
		}
		if len(took) == len(b.checks) {
			return took, nil, nil
		}
		select {
		case <-ctx.Done():
			return took, nil, context.Cause(ctx)
		case <-deadline:
			return took, b.missing(took), nil
		case <-time.After(look):
		}
	}
}

// missing are the pairs that are not among those that were shown, in order.
func (b *Bench) missing(took map[Pair]time.Duration) []Pair {
	var out []Pair
	for pair := range b.checks {
		if _, ok := took[pair]; !ok {
			out = append(out, pair)
		}
	}
	return sorted(out)
}

func sorted(pairs []Pair) []Pair {
	slices.SortFunc(pairs, func(a, b Pair) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), -strings.Compare(string(a.Direction), string(b.Direction)))
	})
	return pairs
}

func names(pairs []Pair) string {
	var all []string
	for _, p := range pairs {
		all = append(all, p.String())
	}
	return strings.Join(all, ", ")
}

// Open are the pairs over which a connection got through a policy that denies it.
func (r Result) Open() []Pair {
	for _, f := range r.Added {
		if len(f.Late) > 0 {
			return f.Late
		}
	}
	return nil
}

// Stuck are the pairs that stayed denied after the policy was deleted.
func (r Result) Stuck() []Pair {
	for _, f := range r.Removed {
		if len(f.Late) > 0 {
			return f.Late
		}
	}
	return nil
}

// Enforces reports whether every pair was denied by a policy, and reached again
// without it.
func (r Result) Enforces() bool {
	return len(r.Removed) > 0 && len(r.Open()) == 0 && len(r.Stuck()) == 0
}

// Problem says in a sentence why nothing can be proved on this cluster; empty: it
// enforces.
func (r Result) Problem() string {
	switch open, stuck := r.Open(), r.Stuck(); {
	case r.Enforces():
		return ""
	case len(open) > 0 && len(open) == r.pairs():
		return "this cluster does not enforce NetworkPolicy: a connection got through a policy that denies it, in every direction on every node; " +
			"use a cluster whose network plugin enforces policies"
	case len(open) > 0:
		return fmt.Sprintf("this cluster does not enforce NetworkPolicy everywhere: %v after a policy that denies it was written, a connection still got through for %s; look at the network plugin there", Within, names(open))
	case len(stuck) > 0:
		return fmt.Sprintf("this cluster is slow to let go: %v after the policy that denied it was deleted, nothing got through for %s", Within, names(stuck))
	}
	return "nobody looked whether this cluster enforces NetworkPolicy"
}

func (r Result) pairs() int {
	if len(r.Added) == 0 {
		return 0
	}
	return len(r.Added[0].Took) + len(r.Added[0].Late)
}

// Slowest is the longest time that any write took to act; 0: none did.
func (r Result) Slowest() time.Duration {
	var slowest time.Duration
	for _, f := range slices.Concat(r.Added, r.Removed) {
		slowest = max(slowest, f.Slowest())
	}
	return slowest
}

// TimesOf are how long writes took to act on one pair, shortest first.
func TimesOf(flips []Flip, pair Pair) []time.Duration {
	var out []time.Duration
	for _, f := range flips {
		if took, ok := f.Took[pair]; ok {
			out = append(out, took)
		}
	}
	slices.Sort(out)
	return out
}

// Times are how long writes took to act, shortest first: of all pairs of a direction.
func Times(flips []Flip, direction networkingv1.PolicyType) []time.Duration {
	var out []time.Duration
	for _, f := range flips {
		for pair := range maps.Keys(f.Took) {
			if pair.Direction == direction {
				out = append(out, f.Took[pair])
			}
		}
	}
	slices.Sort(out)
	return out
}
