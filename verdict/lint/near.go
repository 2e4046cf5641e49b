package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// likeness says how near a class comes to what a selector asks for.
type likeness struct {
	class   *class
	score   int      // 2 for each label that it has, 1 for each that it has with a related value
	related int      // labels with a related value
	differs []string // "key: value" as the class has it, for each label that it has otherwise
}

// nearestPods is the class that has most of what a selector asks for; the zero
// likeness where no class has anything like it.
func nearestPods(s *metav1.LabelSelector, here []*class) likeness {
	var best likeness
	for _, c := range here {
		if l := like(s, c); l.score > best.score && len(l.differs) > 0 {
			best = l
		}
	}
	return best
}

// meant reports whether all that differs are values that likely name the same
// thing, so that the selector was likely written for these pods.
func (l likeness) meant() bool { return l.class != nil && l.related == len(l.differs) }

// String says which pods they are and what they have; empty of the zero likeness.
func (l likeness) String() string {
	switch {
	case l.class == nil:
		return ""
	case l.meant():
		return fmt.Sprintf("Did you mean %s, which the pods of %s have?", strings.Join(l.differs, ", "), l.class.name())
	}
	return fmt.Sprintf("The nearest pods are those of %s, which have %s.", l.class.name(), strings.Join(l.differs, ", "))
}

func like(s *metav1.LabelSelector, c *class) likeness {
	l := likeness{class: c}
	asked := alternatives(s)
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		own, has := c.Labels[key]
		switch {
		case !has:
			l.elsewhere(key, asked[key], c)
		case slices.Contains(asked[key], own):
			l.score += 2
		default:
			l.differs = append(l.differs, key+": "+own)
			if slices.ContainsFunc(asked[key], func(value string) bool { return related(value, own) }) {
				l.score, l.related = l.score+1, l.related+1
			}
		}
	}
	return l
}

// elsewhere looks for the value under another key that commonly holds the same.
func (l *likeness) elsewhere(key string, values []string, c *class) {
	for _, other := range slices.Sorted(maps.Keys(c.Labels)) {
		own := c.Labels[other]
		if sameNotion(other, key) && slices.ContainsFunc(values, func(value string) bool { return value == own || related(value, own) }) {
			l.differs = append(l.differs, other+": "+own)
			l.score, l.related = l.score+1, l.related+1
			return
		}
	}
	l.differs = append(l.differs, "no label "+key)
}

// alternatives are the values that a selector takes of each key that it names.
func alternatives(s *metav1.LabelSelector) map[string][]string {
	all := map[string][]string{}
	for k, value := range s.MatchLabels {
		all[k] = []string{value}
	}
	for _, e := range s.MatchExpressions {
		if e.Operator == metav1.LabelSelectorOpIn {
			all[e.Key] = append(all[e.Key], e.Values...)
		}
	}
	return all
}

// related reports whether two values are likely names of one thing: one letter
// or two apart, or all words of one among those of the other.
func related(a, b string) bool {
	if _, ok := nearest(a, []string{b}); ok {
		return true
	}
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	}
	few, many := words(a), words(b)
	if len(few) > len(many) {
		few, many = many, few
	}
	if len(few) == 0 || len(strings.Join(few, "")) < 3 {
		return false
	}
	return !slices.ContainsFunc(few, func(w string) bool { return !slices.Contains(many, w) })
}
