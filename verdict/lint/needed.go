package lint

import (
	"slices"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// mostRounds bounds how often a set is examined again to correct it.
const mostRounds = 5

// needed leaves out rules to add that are no longer missing once other mistakes of
// the set are corrected: a peer that is misspelt and a peer that may not come in may
// be one fault. What changes a rule goes first; then one added rule of each policy
// after the other is taken to be there.
func needed(set *manifest.Set, found []mistaken) []mistaken {
	var made, open []mistaken // edits that are taken as made, and rules that may not be needed
	for _, m := range found {
		if m.adds {
			open = append(open, m)
		} else if !m.moves {
			made = append(made, m)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(found), func(m mistaken) bool { return m.adds })
	for range mostRounds {
		if len(open) == 0 || len(made) == 0 && !several(open) {
			break
		}
		if len(made) > 0 {
			open = missing(open, examined(viewOf(set, corrections(set, made))))
		}
		var first, rest []mistaken
		for _, m := range open {
			if slices.ContainsFunc(first, m.beside) {
				rest = append(rest, m)
			} else {
				first = append(first, m)
			}
		}
		kept, made, open = append(kept, first...), append(made, first...), rest
	}
	return append(kept, open...)
}

// Additions are the findings from the severity on whose correction is a policy to add,
// each policy once: those that are still missing once Correct's corrections are made.
func Additions(set *manifest.Set, from Severity) []Finding {
	var edited, added []mistaken
	for _, m := range examine(set) {
		switch {
		case m.severity < from || m.suppressed():
		case m.document != "":
			added = append(added, m)
		case m.edit != nil:
			edited = append(edited, m)
		}
	}
	if len(added) == 0 {
		return nil
	}
	if made := slices.DeleteFunc(needed(set, edited), func(m mistaken) bool { return m.moves }); len(made) > 0 {
		added = missing(added, examined(viewOf(set, corrections(set, made))))
	}
	var all []Finding
	for _, m := range added {
		all = append(all, m.finding())
	}
	order(all)
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(f Finding) bool {
		again := seen[f.Corrected]
		seen[f.Corrected] = true
		return again
	})
}

func (m mistaken) beside(o mistaken) bool { return m.policy.Key() == o.policy.Key() }

// several reports whether two of the mistakes are of one policy.
func several(all []mistaken) bool {
	for i, m := range all {
		if slices.ContainsFunc(all[:i], m.beside) {
			return true
		}
	}
	return false
}

// corrections are the policies of the set with the edits made, from the end of each
// to its beginning.
func corrections(set *manifest.Set, made []mistaken) []*policy {
	all := policiesOf(set)
	for i, p := range all {
		own := slices.DeleteFunc(slices.Clone(made), func(m mistaken) bool { return m.policy.Key() != p.Key() })
		if len(own) == 0 {
			continue
		}
		inReverse(own)
		var changes []edit
		for _, m := range own {
			changes = append(changes, m.edit)
		}
		if spec, ok := p.edited(edits(changes...)); ok {
			after := *p
			after.Spec, after.object = spec, p.object.DeepCopy()
			after.object.Spec = spec
			all[i] = &after
		}
	}
	return all
}

// missing are those of the mistakes that the other examination finds, too, if perhaps
// in other words because less is missing.
func missing(before, after []mistaken) []mistaken {
	return slices.DeleteFunc(slices.Clone(before), func(m mistaken) bool {
		return !slices.ContainsFunc(after, func(a mistaken) bool {
			return a.like(m) && (a.what == m.what || !slices.ContainsFunc(before, func(b mistaken) bool { return b.like(a) && b.what == a.what }))
		})
	})
}

func (m mistaken) like(o mistaken) bool {
	return m.id == o.id && m.beside(o) && m.at.String() == o.at.String()
}
