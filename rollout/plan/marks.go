package plan

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Marks are labels and annotations that a policy is to have; nil: that it is not to
// have. They say nothing about others that it has. No traffic depends on them.
type Marks struct {
	Labels      map[string]*string `json:"labels,omitempty"`
	Annotations map[string]*string `json:"annotations,omitempty"`
}

// MarksOf are the labels and annotations of an object.
func MarksOf(o metav1.Object) Marks {
	return Marks{Labels: pointers(o.GetLabels()), Annotations: pointers(o.GetAnnotations())}
}

func pointers(have map[string]string) map[string]*string {
	if len(have) == 0 {
		return nil
	}
	out := map[string]*string{}
	for key, value := range have {
		out[key] = &value
	}
	return out
}

// IsZero reports whether there are none.
func (m Marks) IsZero() bool { return len(m.Labels)+len(m.Annotations) == 0 }

// Changing are those of the marks that an object does not have so, and what it has in
// their place.
func (m Marks) Changing(o metav1.Object) (set, was Marks) {
	set.Labels, was.Labels = changing(m.Labels, o.GetLabels())
	set.Annotations, was.Annotations = changing(m.Annotations, o.GetAnnotations())
	return set, was
}

func changing(want map[string]*string, have map[string]string) (set, was map[string]*string) {
	for key, value := range want {
		now := now(have, key)
		if same(now, value) {
			continue
		}
		if set == nil {
			set, was = map[string]*string{}, map[string]*string{}
		}
		set[key], was[key] = value, now
	}
	return set, was
}

// On puts the marks on an object.
func (m Marks) On(o metav1.Object) {
	o.SetLabels(put(o.GetLabels(), m.Labels, nil))
	o.SetAnnotations(put(o.GetAnnotations(), m.Annotations, nil))
}

// Instead puts the marks on an object in place of others. Where it does not have those
// any more somebody has written there since, and that stays.
func (m Marks) Instead(of Marks, o metav1.Object) {
	o.SetLabels(put(o.GetLabels(), m.Labels, of.Labels))
	o.SetAnnotations(put(o.GetAnnotations(), m.Annotations, of.Annotations))
}

// put is what an object has once it has the marks; those that it has to have had are
// compared, where any are given.
func put(have map[string]string, marks, had map[string]*string) map[string]string {
	if len(marks) == 0 {
		return have // nil stays nil
	}
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	for key, value := range marks {
		switch {
		case had != nil && !same(now(have, key), had[key]):
		case value == nil:
			delete(out, key)
		default:
			out[key] = *value
		}
	}
	return out
}

func now(have map[string]string, key string) *string {
	if value, ok := have[key]; ok {
		return &value
	}
	return nil
}

func same(a, b *string) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}
