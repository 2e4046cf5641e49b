package manifest

import (
	"cmp"
	"slices"
)

// Skipped is a kind that is not read, and how many objects of it the input has.
type Skipped struct {
	Kind  string
	Count int // at least 1
}

// String is the number and the kind, as "2 ServiceAccounts".
func (s Skipped) String() string { return count(s.Count, s.Kind) }

// skippedKinds are sorted by kind.
func (r *reading) skippedKinds() []Skipped {
	var all []Skipped
	for kind, n := range r.skipped {
		all = append(all, Skipped{kind, n})
	}
	slices.SortFunc(all, func(a, b Skipped) int { return cmp.Compare(a.Kind, b.Kind) })
	return all
}
