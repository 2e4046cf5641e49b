package lint

import (
	"slices"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// draft is a finding as the search for a mistake makes it.
type draft struct {
	policy    *policy // nil: about a namespace
	namespace string  // where there is no policy
	at        path    // of the field, from the policy's root
	severity  Severity
	what      string
	why       string
	fix       string
	edit      edit   // from the policy's root; nil where only a person knows what is right
	document  string // a policy to add, where none is to be edited
}

// Check lists the mistakes in the set, sorted by file, line and rule; objects of
// a live cluster come first. Findings that an annotation suppresses are among
// them, marked. A nil or empty set has none. Check changes nothing.
func Check(set *manifest.Set) []Finding {
	findings := []Finding{}
	if set == nil {
		return findings
	}
	v := newView(set)
	for _, m := range mistakes {
		for _, d := range m.find(v) {
			findings = append(findings, d.finding(m.ID))
		}
	}
	order(findings)
	return findings
}

func (d draft) finding(id string) Finding {
	f := Finding{Rule: id, Severity: d.severity, What: d.what, Why: d.why, Fix: d.fix, Corrected: d.document}
	if d.policy == nil {
		f.Object = Object{Kind: "Namespace", Name: d.namespace}
		return f
	}
	p := d.policy
	f.Object = Object{Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name}
	f.Position = p.position(d.at)
	f.Suppressed = slices.Contains(p.ignored, id)
	if d.edit != nil {
		f.Corrected = p.corrected(d.edit)
	}
	return f
}
