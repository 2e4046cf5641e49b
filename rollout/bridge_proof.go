package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// ProveBridges proves, from selectors alone and so for every pod there is or
// will be, that the bridges keep the baseline what it is wherever a candidate
// isolates. In each namespace and direction in question
//
//   - no bridge selects a pod that the baseline isolates: it would open it;
//   - every pod is selected by a bridge or isolated by the baseline: one that is
//     neither would have no state in which it may do all it may do today.
//
// baseline is K and R of the protocol; candidates that it has already with an
// equal spec need no bridge. It shares no code with the planner: labels
// are split by what the selectors can tell apart, and every case is looked at. The error names
// the bridge and the policy, or the namespace, and the labels of a pod for which
// it does not hold; or it says that the proof takes too long, which is as good as
// none.
func ProveBridges(baseline, candidates []verdict.Policy, bridges []Bridge) error {
	scopes, err := isolated(Change{World: verdict.World{Policies: baseline}, Candidates: candidates}.news())
	if err != nil {
		return err
	}
	for _, b := range bridges {
		if s := (scope{b.Namespace, b.Direction}); !slices.Contains(scopes, s) {
			return fmt.Errorf("a bridge of namespace %s, %s (%s): no candidate isolates there, so there is nothing to bridge", s.namespace, s.direction, text(b.Selector))
		}
	}
	for _, s := range scopes {
		if err := s.prove(baseline, bridges); err != nil {
			return err
		}
	}
	return nil
}

func (s scope) prove(baseline []verdict.Policy, bridges []Bridge) error {
	var isolating []verdict.Policy
	var all []clause
	for _, p := range baseline {
		if p.Namespace == s.namespace && p.Affects(s.direction) {
			reqs, err := ownedBy(p)
			if err != nil {
				return err
			}
			isolating, all = append(isolating, p), append(all, reqs)
		}
	}
	for _, b := range bridges {
		if (scope{b.Namespace, b.Direction}) != s {
			continue
		}
		reqs, err := requirementsOf(b.Selector)
		if err != nil {
			return fmt.Errorf("a bridge of namespace %s, %s: %w", s.namespace, s.direction, err)
		}
		for i, p := range isolating {
			if labels, both := clause(slices.Concat(reqs, all[i])).satisfy(); both {
				return fmt.Errorf("the bridge %s of namespace %s, %s, would open pods that policy %s isolates, for example one with labels %s",
					text(b.Selector), s.namespace, s.direction, p.Key(), labelText(labels))
			}
		}
		all = append(all, reqs)
	}
	labels, gap, err := uncovered(nil, all, maxCases)
	if err != nil {
		return fmt.Errorf("namespace %s, %s: %w", s.namespace, s.direction, err)
	}
	if gap {
		return fmt.Errorf("namespace %s, %s: no bridge selects a pod with labels %s, which the baseline leaves open, so a candidate would cut it off at once",
			s.namespace, s.direction, labelText(labels))
	}
	return nil
}

// clause is a selector: all its requirements have to hold.
type clause []metav1.LabelSelectorRequirement

// satisfy returns the fewest labels that the clause matches; false: none do.
func (c clause) satisfy() (map[string]string, bool) {
	labels := map[string]string{}
	for _, key := range c.keys() {
		value := slices.IndexFunc(valuesOf([]clause{c}, key), func(v *string) bool { return c.holds(key, v) })
		if value < 0 {
			return nil, false
		}
		if v := valuesOf([]clause{c}, key)[value]; v != nil {
			labels[key] = *v
		}
	}
	return labels, true
}

func (c clause) keys() []string {
	var keys []string
	for _, r := range c {
		keys = append(keys, r.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// holds reports whether all requirements on the key hold for a value; nil: the
// pod does not have the key.
func (c clause) holds(key string, value *string) bool {
	return !slices.ContainsFunc(c, func(r metav1.LabelSelectorRequirement) bool { return r.Key == key && !meets(r, value) })
}

// meets reads one requirement as the API does (LabelSelectorRequirement): NotIn
// and DoesNotExist are met by a pod that does not have the key.
func meets(r metav1.LabelSelectorRequirement, value *string) bool {
	listed := value != nil && slices.Contains(r.Values, *value)
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		return listed
	case metav1.LabelSelectorOpNotIn:
		return !listed
	case metav1.LabelSelectorOpExists:
		return value != nil
	case metav1.LabelSelectorOpDoesNotExist:
		return value == nil
	}
	return false
}

// valuesOf is one value of each kind that the clauses can tell apart: none, each
// listed one, and one that is not listed.
func valuesOf(all []clause, key string) []*string {
	listed := map[string]bool{}
	for _, c := range all {
		for _, r := range c {
			if r.Key == key {
				for _, v := range r.Values {
					listed[v] = true
				}
			}
		}
	}
	other := "x"
	for listed[other] {
		other += "x"
	}
	values := []*string{nil, &other}
	for _, v := range slices.Sorted(maps.Keys(listed)) {
		values = append(values, &v)
	}
	return values
}

// maxCases bounds a proof of coverage: a second or so.
const maxCases = 200_000

// uncovered returns labels that within matches and no other clause does; false:
// they cover every pod that within matches. It splits on one key after the other,
// drops the clauses that a value contradicts, and is done with a case once a
// clause is left without requirements. It fails where that takes more cases than
// the limit.
func uncovered(within clause, all []clause, limit int) (map[string]string, bool, error) {
	labels, any := within.satisfy()
	if !any {
		return nil, false, nil
	}
	s := splitter{within: within, fewest: labels, labels: map[string]string{}, limit: limit}
	gap := s.search(all)
	if s.cases > limit {
		return nil, false, fmt.Errorf("it takes more than %d cases to prove that %d selectors leave no pod out: use selectors of fewer labels", limit, len(all))
	}
	return s.labels, gap, nil
}

type splitter struct {
	within       clause
	fewest       map[string]string // labels that within matches
	labels       map[string]string // of the case at hand
	settled      []string          // keys of the case at hand
	cases, limit int
}

func (s *splitter) search(all []clause) bool {
	if s.cases++; s.cases > s.limit || slices.ContainsFunc(all, func(c clause) bool { return len(c) == 0 }) {
		return false
	}
	if len(all) == 0 {
		for key, value := range s.fewest {
			if !slices.Contains(s.settled, key) {
				s.labels[key] = value
			}
		}
		return true
	}
	key := splitKey(all)
	s.settled = append(s.settled, key)
	seen := map[string]bool{}
	for _, value := range valuesOf(append([]clause{s.within}, all...), key) {
		if !s.within.holds(key, value) {
			continue
		}
		rest, outcome := given(all, key, value)
		if seen[outcome] { // another value that no clause tells from this one
			continue
		}
		seen[outcome] = true
		if value != nil {
			s.labels[key] = *value
		}
		if s.search(rest) {
			return true
		}
		delete(s.labels, key)
	}
	s.settled = s.settled[:len(s.settled)-1]
	return false
}

// splitKey is the key of most requirements, the first of equals.
func splitKey(all []clause) string {
	count := map[string]int{}
	for _, c := range all {
		for _, r := range c {
			count[r.Key]++
		}
	}
	best := ""
	for _, key := range slices.Sorted(maps.Keys(count)) {
		if best == "" || count[key] > count[best] {
			best = key
		}
	}
	return best
}

// given are the clauses that are left once the key has the value, without what
// that settles; outcome is equal for values that leave the same.
func given(all []clause, key string, value *string) (rest []clause, outcome string) {
	fate := make([]byte, len(all))
	for i, c := range all {
		fate[i] = '0'
		if !c.holds(key, value) {
			continue
		}
		fate[i] = '1'
		rest = append(rest, slices.DeleteFunc(slices.Clone(c), func(r metav1.LabelSelectorRequirement) bool { return r.Key == key }))
	}
	return rest, string(fate)
}

func text(sel metav1.LabelSelector) string {
	if len(sel.MatchLabels)+len(sel.MatchExpressions) == 0 {
		return "{}"
	}
	return "{" + metav1.FormatLabelSelector(&sel) + "}"
}

func labelText(labels map[string]string) string {
	if len(labels) == 0 {
		return "{} (none of those that selectors mention)"
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, key+"="+labels[key])
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// directions in the order in which they are listed.
var directions = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress}
