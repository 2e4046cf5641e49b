package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// Wave is a part of a change: policies that are activated, enforced for all their
// pods and committed together, before those of the next wave are touched.
type Wave struct {
	// Name is the namespace, or the wave's number where only exposures make waves. A
	// namespace that takes several waves has its number behind the name: data, data-2.
	Name string `json:"name"`
	// Policies are the keys (namespace/name) of candidates and of policies that go, sorted.
	Policies []string `json:"policies"`
}

// Of is the part of a change that a wave makes. World stays as it is: the caller
// says what is there when the wave begins.
func (c Change) Of(w Wave) Change {
	c.Candidates = slices.DeleteFunc(slices.Clone(c.Candidates), func(p verdict.Policy) bool { return !slices.Contains(w.Policies, p.Key()) })
	c.Remove = slices.DeleteFunc(slices.Clone(c.Remove), func(key string) bool { return !slices.Contains(w.Policies, key) })
	return c
}

// waves cuts the changed policies into an order in which no exposure comes up. It
// returns nil, and the exposures that ask for it, where no order does. A policy
// that is replaced or goes is in the wave of the candidates that could select its
// pods: they are one block.
func (o *order) waves(by v1alpha1.Waves) ([]Wave, []Exposure) {
	if cyclic := o.circles(); len(cyclic) > 0 {
		return nil, cyclic
	}
	var all []Wave
	parts, done, times := o.parts(by), map[int]bool{}, map[string]int{}
	for len(done) < len(o.blocks()) {
		name, blocks := o.next(parts, done)
		w := Wave{Name: cmp.Or(name, strconv.Itoa(len(all)+1)), Policies: o.keys(blocks)}
		if times[name]++; name != "" && times[name] > 1 {
			w.Name = fmt.Sprintf("%s-%d", name, times[name])
		}
		for _, b := range blocks {
			done[b] = true
		}
		all = append(all, w)
	}
	return all, nil
}

// part is what would be one wave if no exposure stood against it.
type part struct {
	name   string // of the namespace; empty: everything
	blocks []int
}

// parts are in the order that the author wants: the namespaces that are to come
// first, then the others by name. A block has one namespace.
func (o *order) parts(by v1alpha1.Waves) []part {
	if by.By != v1alpha1.WaveByNamespace {
		return []part{{blocks: o.blocks()}}
	}
	var all []part
	for _, b := range o.blocks() { // sorted by namespace, as the policies are
		ns := o.policies[b].Namespace
		i := slices.IndexFunc(all, func(p part) bool { return p.name == ns })
		if i < 0 {
			i, all = len(all), append(all, part{name: ns})
		}
		all[i].blocks = append(all[i].blocks, b)
	}
	rank := func(p part) int {
		if i := slices.Index(by.First, p.name); i >= 0 {
			return i
		}
		return len(by.First)
	}
	slices.SortStableFunc(all, func(a, b part) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a.name, b.name)) })
	return all
}

// next is the first part that can be done whole, else the first of which something
// can, and what that is. Nothing goes in a circle, so something always can.
func (o *order) next(parts []part, done map[int]bool) (name string, blocks []int) {
	for _, p := range parts {
		left := slices.DeleteFunc(slices.Clone(p.blocks), func(b int) bool { return done[b] })
		ready := slices.DeleteFunc(slices.Clone(left), func(b int) bool { return !o.ready(b, done) })
		if len(ready) == 0 {
			continue
		}
		if len(ready) == len(left) && p.name != "" {
			return p.name, ready
		}
		if blocks == nil {
			name, blocks = p.name, ready
		}
	}
	return name, blocks
}

// ready reports whether everything that a block has to wait for is done.
func (o *order) ready(block int, done map[int]bool) bool {
	for c := range o.before {
		if c[1] == block && !done[c[0]] {
			return false
		}
	}
	return true
}

// blocks are the first policies of the blocks, in the order of the policies.
func (o *order) blocks() []int {
	var all []int
	for i, b := range o.block {
		if i == b {
			all = append(all, i)
		}
	}
	return all
}

// keys of the policies of some blocks, each once, sorted as the policies are.
func (o *order) keys(blocks []int) []string {
	var all []string
	for i, p := range o.policies {
		if slices.Contains(blocks, o.block[i]) {
			all = append(all, p.Key())
		}
	}
	return slices.Compact(all)
}

// UnknownFirst says which namespaces are to come first although the rollout has no
// policy in them.
func UnknownFirst(waves v1alpha1.Waves, namespaces []string) []string {
	var all []string
	for _, ns := range waves.First {
		if !slices.Contains(namespaces, ns) {
			all = append(all, fmt.Sprintf("spec.waves.first names namespace %q, and the rollout has no policy there: it has some in %s", ns, strings.Join(namespaces, ", ")))
		}
	}
	return all
}
