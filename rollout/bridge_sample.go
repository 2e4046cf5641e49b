package rollout

import (
	"fmt"
	"maps"
	"slices"
)

// Sample is a set of labels that the bridge's selector matches, the fewest that
// do; nil if it matches every pod. A pod that wears them stands for all that the
// bridge is for.
func (b Bridge) Sample() (map[string]string, error) {
	reqs, err := requirementsOf(b.Selector)
	if err != nil {
		return nil, fmt.Errorf("bridge of namespace %s: %w", b.Namespace, err)
	}
	var sample map[string]string
	for key, d := range termOf(reqs) {
		if d.absent {
			continue
		}
		if sample == nil {
			sample = map[string]string{}
		}
		sample[key] = d.value()
	}
	return sample, nil
}

// value is one that the domain accepts, always the same; "" only if it accepts
// the empty value or none.
func (d domain) value() string {
	if !d.allBut {
		accepted := slices.Sorted(maps.Keys(d.values))
		if len(accepted) == 0 {
			return ""
		}
		return accepted[0]
	}
	for i := 0; ; i++ {
		if v := fmt.Sprintf("x%d", i); d.accepts(v) {
			return v
		}
	}
}
