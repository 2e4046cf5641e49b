package lint

import (
	"slices"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// draft is a finding as the search for a mistake makes it.
type draft struct {
	policy    *policy
	namespace string // that it is about, in place of the policy, which is then the first one there
	at        path   // of the field, from the policy's root
	severity  Severity
	what      string
	why       string
	fix       string
	edit      edit   // from the policy's root; nil where only a person knows what is right
	moves     bool   // the edit makes another object of the policy, as one of another namespace
	document  string // a policy to add, where none is to be edited
	closes    bool   // the edit takes away what works today
	adds      bool   // the edit adds a rule and changes none
	isolates  bool   // the edit makes the policy select pods that it did not
}

// Check lists the mistakes in the set, sorted by file, line and rule; objects of
// a live cluster come first. Findings that an annotation suppresses are among
// them, marked. A nil or empty set has none. Check changes nothing.
func Check(set *manifest.Set) []Finding {
	findings := []Finding{}
	for _, m := range examine(set) {
		findings = append(findings, m.finding())
	}
	order(findings)
	return findings
}

// mistaken is a draft with the mistake that it is of.
type mistaken struct {
	draft
	id string
}

func examine(set *manifest.Set) []mistaken {
	if set == nil {
		return nil
	}
	return examined(newView(set))
}

func examined(v *view) []mistaken {
	var all []mistaken
	for _, m := range mistakes {
		for _, d := range m.find(v) {
			all = append(all, mistaken{v.harmless(d), m.ID})
		}
	}
	return all
}

func (m mistaken) suppressed() bool { return slices.Contains(m.policy.ignored, m.id) }

func (m mistaken) finding() Finding {
	f := Finding{Rule: m.id, Severity: m.severity, What: m.what, Why: m.why, Fix: m.fix, Corrected: m.document, New: m.document != ""}
	f.Object = Object{Kind: "NetworkPolicy", Namespace: m.policy.Namespace, Name: m.policy.Name}
	f.Position = m.policy.position(m.at)
	f.Suppressed = m.suppressed()
	if owner := m.policy.owner(); owner != "" {
		f.Fix += " " + owner + " owns the policy and may write it back: change it there."
	}
	if m.namespace != "" {
		f.Object = Object{Kind: "Namespace", Name: m.namespace}
	}
	if m.edit != nil {
		f.Corrected = m.policy.document([]edit{m.edit})
	}
	return f
}
