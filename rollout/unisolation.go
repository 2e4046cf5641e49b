package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Unisolation is a direction in which pods are isolated before and not after.
type Unisolation struct {
	Policy    string // of R, by which they are isolated: namespace/name
	Direction networkingv1.PolicyType
	// Selector of the policy.
	Selector metav1.LabelSelector
	// Labels of a pod that it would happen to; there may be none such today.
	Labels map[string]string
	// Pods of today that it happens to, sorted by key.
	Pods []string
	// Allowed says that the author of the rollout accepts it for all of them.
	Allowed bool
}

// unisolations lists, for every policy that goes and each of its directions,
// whether what stays and what comes isolates all that it did: by selectors, so
// that it holds for pods of tomorrow too. One that what is allowed covers as well is
// allowed; of one that it covers in part, the rest is told.
func (c Change) unisolations(allowed []verdict.Policy) ([]Unisolation, error) {
	stays := c.After().Policies
	var all []Unisolation
	for _, p := range c.replaced() {
		for _, d := range directions {
			if !p.Affects(d) {
				continue
			}
			labels, gap, err := freed(p, d, stays)
			if err != nil {
				return nil, fmt.Errorf("policy %s, %s: %w", p.Key(), d, err)
			}
			if gap {
				u := Unisolation{Policy: p.Key(), Direction: d, Selector: p.Spec.PodSelector, Labels: labels}
				rest, left, err := freed(p, d, slices.Concat(stays, allowed))
				if err != nil {
					return nil, fmt.Errorf("policy %s, %s: %w", p.Key(), d, err)
				}
				if u.Allowed = !left; left {
					u.Labels = rest
				}
				u.Pods, err = c.freedPods(p, d, stays)
				if err != nil {
					return nil, err
				}
				all = append(all, u)
			}
		}
	}
	slices.SortFunc(all, func(a, b Unisolation) int {
		return cmp.Or(strings.Compare(a.Policy, b.Policy), strings.Compare(string(a.Direction), string(b.Direction)))
	})
	return all, nil
}

// freed returns labels that the policy selects and none of those that stay does.
func freed(p verdict.Policy, d networkingv1.PolicyType, stays []verdict.Policy) (map[string]string, bool, error) {
	within, err := ownedBy(p)
	if err != nil {
		return nil, false, err
	}
	var all []clause
	for _, q := range stays {
		if q.Namespace != p.Namespace || !q.Affects(d) {
			continue
		}
		reqs, err := ownedBy(q)
		if err != nil {
			return nil, false, err
		}
		all = append(all, reqs)
	}
	return uncovered(within, all, maxCases)
}

func (c Change) freedPods(p verdict.Policy, d networkingv1.PolicyType, stays []verdict.Policy) ([]string, error) {
	var keys []string
	for _, pod := range c.Pods {
		was, err := p.Isolates(pod, d)
		if err != nil {
			return nil, err
		}
		still, err := anyIsolates(stays, pod, d)
		if err != nil {
			return nil, err
		}
		if was && !still {
			keys = append(keys, pod.Key())
		}
	}
	slices.Sort(keys)
	return keys, nil
}

func anyIsolates(policies []verdict.Policy, pod verdict.Pod, d networkingv1.PolicyType) (bool, error) {
	for _, p := range policies {
		if on, err := p.Isolates(pod, d); on || err != nil {
			return on, err
		}
	}
	return false, nil
}
