package lint

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// labelsNotOnPods finds selectors for a label that a workload's object has and its
// pod template has not: Kubernetes does not copy labels down to pods.
func labelsNotOnPods(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		p.selectors(func(where path, s *metav1.LabelSelector) {
			for key, values := range alternatives(s) {
				for _, value := range values {
					if w := v.holder(v.homeOf(p, where), key, value); w != nil {
						drafts = append(drafts, notOnPods(p, where, w, key, value))
					}
				}
			}
		})
	}
	slices.SortFunc(drafts, func(a, b draft) int { return strings.Compare(a.what, b.what) })
	return unique(drafts)
}

func notOnPods(p *policy, where path, w *manifest.Workload, key, value string) draft {
	return draft{
		policy: p, at: where, severity: Warning,
		what: fmt.Sprintf("No pod has the label %s: %s; it is on %s itself and not on its pod template.", key, value, w.Source),
		why:  "Selectors of a policy look at the labels of pods (NetworkPolicy specification). Kubernetes gives a pod the labels of the pod template, and not those of the object that makes it.",
		fix:  fmt.Sprintf("Write the label into %s.metadata.labels of %s, or select a label that its pods have.", w.TemplatePath, w.Source),
	}
}

// homeOf is the namespace that a selector of the policy looks in; empty where it
// is not the policy's own, or not one alone.
func (v *view) homeOf(p *policy, where path) string {
	for _, r := range p.allRules() {
		for i := range r.peers {
			if r.at(r.peersKey(), i, "podSelector").String() != where.String() || r.peers[i].NamespaceSelector == nil {
				continue
			}
			scope, _ := v.scope(p.Namespace, &r.peers[i])
			if len(scope) == 0 || slices.ContainsFunc(scope, func(c *class) bool { return c.Namespace != scope[0].Namespace }) {
				return ""
			}
			return scope[0].Namespace
		}
	}
	return p.Namespace
}

// holder is a workload of the namespace that has the label itself, where no pod of
// the namespace has it.
func (v *view) holder(namespace, key, value string) *manifest.Workload {
	var holder *manifest.Workload
	for _, c := range v.in(namespace) {
		if c.Labels[key] == value {
			return nil
		}
		if own, ok := c.workload.Labels[key]; ok && own == value && holder == nil && c.workload.TemplatePath != "" {
			holder = c.workload
		}
	}
	return holder
}
