package lint

import (
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/repair"
)

// tell chooses labels that select the class and, as far as labels can, nothing
// else of its namespace.
func (v *view) tell(c *class) repair.Told {
	if told, ok := v.told[c]; ok {
		return told
	}
	var unfixed []string
	if c.workload != nil {
		unfixed = c.workload.Unfixed
	}
	var others []*verdict.Pod
	for _, o := range v.in(c.Namespace) {
		if o != c && (o.workload == nil || o.workload != c.workload) {
			others = append(others, &o.Pod)
		}
	}
	v.told[c] = repair.Extend(c.identity(), repair.Fixed(&c.Pod, unfixed...), others)
	return v.told[c]
}

// classesOf are the classes that the pods speak for.
func (v *view) classesOf(pods []*verdict.Pod) []*class {
	var all []*class
	for _, p := range pods {
		for _, c := range v.in(p.Namespace) {
			if p == &c.Pod {
				all = append(all, c)
			}
		}
	}
	return all
}
