package lint

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unseen gathers selectors of pods that are not in the input, and may be in the
// cluster. One remark for a namespace is enough: which pods are not known is one
// fact, however many policies name them.
type unseen struct{ sites []site }

// site is a selector that selects no pod of the input.
type site struct {
	policy   *policy
	at       path
	selector string
}

func (u *unseen) add(p *policy, where path, s *metav1.LabelSelector) {
	u.sites = append(u.sites, site{p, where, metav1.FormatLabelSelector(s)})
}

// drafts are remarks, each at the first place of its namespace. They say what one
// policy does, or several do, with pods of such labels.
func (u *unseen) drafts(does, do, why string) []draft {
	var drafts []draft
	for len(u.sites) > 0 {
		first := u.sites[0]
		var policies, selectors []string
		u.sites = slices.DeleteFunc(u.sites, func(o site) bool {
			if o.policy.Namespace != first.policy.Namespace || !slices.Equal(o.policy.ignored, first.policy.ignored) {
				return false // what an annotation suppresses is not mixed with what none does
			}
			policies, selectors = append(policies, o.policy.Key()), append(selectors, o.selector)
			return true
		})
		policies, selectors = slices.Compact(policies), distinct(selectors)
		drafts = append(drafts, draft{
			policy: first.policy, at: first.at, severity: Info,
			what: fmt.Sprintf("The input has no pod with %s, which %s.", few(selectors), subject(policies, does, do)),
			why:  why,
			fix:  "Compare the labels with the pods of the cluster, or add the pods to what is checked.",
		})
	}
	return drafts
}

// few joins at most eight of the selectors, and says how many more there are.
func few(selectors []string) string {
	if more := len(selectors) - 8; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(selectors[:8], "; "), more)
	}
	return strings.Join(selectors, "; ")
}

func subject(policies []string, does, do string) string {
	if len(policies) == 1 {
		return "policy " + policies[0] + " " + does
	}
	return "policies " + some(policies) + " " + do
}

// distinct keeps the first of each.
func distinct(all []string) []string {
	var kept []string
	for _, s := range all {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}
