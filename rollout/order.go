package rollout

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// order knows which changed policies have to be enforced before others. Policies
// that could select one pod in one direction stay together, also if no pod of
// today has the labels for it: a pod with only some of its policies would be in
// none of the three states.
type order struct {
	policies []verdict.Policy // R and C, sorted by key; a replaced one is there twice
	block    []int            // of each policy: the index of the first policy of its block
	before   map[[2]int]Exposure
	never    []Exposure // that no order avoids
	max      int        // of never
}

func newOrder(changed []verdict.Policy, max int) (*order, error) {
	o := &order{policies: slices.Clone(changed), before: map[[2]int]Exposure{}, max: max}
	slices.SortStableFunc(o.policies, func(a, b verdict.Policy) int { return strings.Compare(a.Key(), b.Key()) })
	var reqs []clause
	for i, p := range o.policies {
		r, err := ownedBy(p)
		if err != nil {
			return nil, err
		}
		reqs, o.block = append(reqs, r), append(o.block, i)
		for j := range i {
			if o.together(j, i, reqs) {
				o.join(o.block[j], o.block[i])
			}
		}
	}
	return o, nil
}

// together reports whether two policies are of one key, or could select one pod
// in one direction.
func (o *order) together(i, j int, reqs []clause) bool {
	p, q := o.policies[i], o.policies[j]
	if p.Key() == q.Key() {
		return true
	}
	if p.Namespace != q.Namespace || !slices.ContainsFunc(directions, func(d networkingv1.PolicyType) bool { return p.Affects(d) && q.Affects(d) }) {
		return false
	}
	_, both := clause(slices.Concat(reqs[i], reqs[j])).satisfy()
	return both
}

func (o *order) join(a, b int) {
	first, other := min(a, b), max(a, b)
	for i := range o.block {
		if o.block[i] == other {
			o.block[i] = first
		}
	}
}

// after notes what an exposure asks for: the blocks that decide about one end
// come before those of the other.
func (o *order) after(e Exposure) {
	source, target := o.blocksOf(e.From, networkingv1.PolicyTypeEgress), o.blocksOf(e.To, networkingv1.PolicyTypeIngress)
	if e.First == SourceFirst {
		source, target = target, source
	}
	if e.First == NoOrder || len(source) == 0 || len(target) == 0 {
		if len(o.never) < o.max {
			o.never = append(o.never, e)
		}
		return
	}
	for _, earlier := range target {
		for _, later := range source {
			if _, ok := o.before[[2]int{earlier, later}]; !ok {
				o.before[[2]int{earlier, later}] = e
			}
		}
	}
}

func (o *order) blocksOf(p *verdict.Pod, d networkingv1.PolicyType) []int {
	var all []int
	for i, policy := range o.policies {
		m := class.Member{Was: p, Is: p}
		if m.MayIsolate(policy, d) && !slices.Contains(all, o.block[i]) {
			all = append(all, o.block[i])
		}
	}
	return all
}

// circles are the exposures that no order avoids, or whose order goes in a circle.
func (o *order) circles() []Exposure {
	cyclic := slices.Clone(o.never)
	for c, e := range o.before {
		if o.reaches(c[1], c[0]) && len(cyclic) < o.max {
			cyclic = append(cyclic, e)
		}
	}
	slices.SortFunc(cyclic, compareExposures)
	return slices.CompactFunc(cyclic, func(a, b Exposure) bool { return compareExposures(a, b) == 0 })
}

// reaches reports whether one block has to come before another, over any number
// of steps, none included.
func (o *order) reaches(from, to int) bool {
	seen, todo := map[int]bool{}, []int{from}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if at == to {
			return true
		}
		if seen[at] {
			continue
		}
		seen[at] = true
		for c := range o.before {
			if c[0] == at {
				todo = append(todo, c[1])
			}
		}
	}
	return false
}
