package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
)

// established says what became of connections that were open. err is why that was not
// seen.
func (x *examiner) established(e enforcing.Established, err error) {
	all := e.All()
	switch {
	case err != nil:
		x.add(checkEstablished, Unknown, err.Error())
		return
	case all == "":
		x.add(checkEstablished, Unknown, cmp.Or(e.Why, "nobody saw what becomes of them"))
		return
	}
	x.found.Established = string(all)
	switch all {
	case enforcing.Survived:
		x.add(checkEstablished, Note, fmt.Sprintf("they live on: data still went both ways %v after new connections were denied; "+
			"a client that keeps its connections feels a policy only when it connects again, and an attack that is under way goes on", e.Watched()))
	case enforcing.Cut:
		x.add(checkEstablished, Note, fmt.Sprintf("they are cut, at most %s after the policy was written: a policy that is too tight is felt at once", ms(millis(slowest(e)))))
	default:
		var parts []string
		for _, d := range enforcing.Directions {
			parts = append(parts, fmt.Sprintf("by a policy of %s: %s", strings.ToLower(string(d)), cmp.Or(e.FateOf(d), "not known")))
		}
		x.add(checkEstablished, Note, "some are cut and some live on, by direction or node; "+strings.Join(parts, ", "))
	}
}

func slowest(e enforcing.Established) (longest time.Duration) {
	for _, after := range e.After {
		longest = max(longest, after)
	}
	return longest
}

// allForms are the forms in the order in which they are told.
var allForms = []enforcing.Form{enforcing.Create, enforcing.Delete, enforcing.Select, enforcing.Deselect, enforcing.Label, enforcing.Unlabel}

// forms says which forms of write act. err is why not all were tried.
func (x *examiner) forms(r enforcing.Result, tried []enforcing.Tried, err error) {
	const name = checkForms
	last := func(form enforcing.Form, flips []enforcing.Flip) {
		t := enforcing.Tried{Form: form}
		for _, f := range flips { // the slowest of all rounds
			t.Flip = f.Worse(t.Flip)
		}
		tried = append(tried, t)
	}
	last(enforcing.Create, r.Added)
	last(enforcing.Delete, r.Removed)
	var good, unknown []string
	for _, form := range allForms {
		at := slices.IndexFunc(tried, func(t enforcing.Tried) bool { return t.Form == form })
		e := FormEffect{Form: string(form), Acts: string(v1alpha1.Unknown)}
		if at >= 0 {
			e.Acts, e.Slowest = string(v1alpha1.No), millis(tried[at].Flip.Slowest())
		}
		switch {
		case at < 0:
			unknown = append(unknown, e.Form)
		case tried[at].Acts():
			e.Acts = string(v1alpha1.Yes)
			good = append(good, fmt.Sprintf("%s within %s", e.Form, ms(e.Slowest)))
		default:
			x.add(name, Problem, fmt.Sprintf("%s did not act within %v: a rollout is refused, because its rollback could not be promised", form, form.Within()),
				"look at the network plugin, and at whether it reconciles policies and labels that change")
		}
		x.found.Forms = append(x.found.Forms, e)
	}
	if len(good) > 0 {
		x.add(name, OK, "these act: "+strings.Join(good, ", "))
	}
	if len(unknown) > 0 {
		why := "the form before did not act"
		if err != nil {
			why = err.Error()
		}
		x.add(name, Unknown, strings.Join(unknown, ", ")+": "+why)
	}
}

// whereOf says of each node which directions it was seen to enforce.
func whereOf(nodes []string, r enforcing.Result) map[string]v1alpha1.EnforcedWhere {
	of := func(node string, d networkingv1.PolicyType) v1alpha1.Answer {
		pair := enforcing.Pair{Node: node, Direction: d}
		switch {
		case slices.Contains(r.Open(), pair), slices.Contains(r.Stuck(), pair):
			return v1alpha1.No
		case len(enforcing.TimesOf(r.Added, pair)) > 0 && len(enforcing.TimesOf(r.Removed, pair)) > 0:
			return v1alpha1.Yes
		}
		return v1alpha1.Unknown
	}
	out := map[string]v1alpha1.EnforcedWhere{}
	for _, node := range nodes {
		out[node] = v1alpha1.EnforcedWhere{Ingress: of(node, networkingv1.PolicyTypeIngress), Egress: of(node, networkingv1.PolicyTypeEgress)}
	}
	return out
}
