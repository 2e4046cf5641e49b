package verdict

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/selection"
)

// selector is a label selector that was read once, to be matched often.
type selector struct {
	key      string // selectors of one key select alike
	requires []requirement
	err      error // the selector is invalid, and what it selects is unknown
}

// requirement holds where a label's being absent, or its value's being one of
// values, is as wanted.
type requirement struct {
	key    string
	values []string // nil: any value
	absent bool     // the outcome without the key
	among  bool     // the outcome with a value of values
}

func readSelector(s *metav1.LabelSelector) *selector {
	parsed, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return &selector{key: "!", err: err}
	}
	all, _ := parsed.Requirements()
	r := &selector{}
	var key strings.Builder
	for _, q := range all {
		one := requirement{key: q.Key(), values: q.ValuesUnsorted(), among: true}
		slices.Sort(one.values)
		one.values = slices.Compact(one.values) // a value may be there twice; a class must be found once
		switch q.Operator() {
		case selection.NotIn, selection.NotEquals:
			one.absent, one.among = true, false
		case selection.Exists:
			one.values = nil
		case selection.DoesNotExist:
			one.values, one.absent, one.among = nil, true, false
		}
		r.requires = append(r.requires, one)
		one.write(&key)
	}
	r.key = key.String()
	return r
}

// write spells the requirement; the bytes that separate are in no label.
func (r requirement) write(b *strings.Builder) {
	b.WriteString(r.key)
	b.WriteByte(map[bool]byte{true: '=', false: '!'}[r.among])
	for _, v := range r.values {
		b.WriteString(v)
		b.WriteByte(',')
	}
	if r.values == nil {
		b.WriteByte('*')
	}
	b.WriteByte(';')
}

func (r *requirement) holds(set map[string]string) bool {
	v, ok := set[r.key]
	switch {
	case !ok:
		return r.absent
	case r.values == nil || len(r.values) == 1 && r.values[0] == v || len(r.values) > 1 && slices.Contains(r.values, v):
		return r.among
	}
	return !r.among
}

// everything reports whether the selector is empty.
func (s *selector) everything() bool { return s.err == nil && len(s.requires) == 0 }

func (s *selector) truth(set map[string]string) truth {
	if s.err != nil {
		return maybe
	}
	for i := range s.requires {
		if !s.requires[i].holds(set) {
			return no
		}
	}
	return yes
}

func (s *selector) matches(set map[string]string) answer {
	if s.err != nil {
		return unsure("a selector is invalid: %v", s.err)
	}
	return answer{is: s.truth(set)}
}

// posting is a label that every set has that the selector matches, one of those
// that are given; ok is false if the selector does not demand one.
func (s *selector) posting() (key string, values []string, ok bool) {
	for _, r := range s.requires {
		if r.among && r.values != nil {
			return r.key, r.values, true
		}
	}
	return "", nil, false
}
