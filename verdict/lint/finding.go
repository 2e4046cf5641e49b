package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says how bad a finding is. The zero Severity is Info.
type Severity uint8

// The severities.
const (
	Info    Severity = iota // worth knowing; nothing breaks by it alone
	Warning                 // breaks or exposes something in some clusters, or later
	Error                   // breaks or exposes something here
)

// String names the severity as reports show it.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "info"
}

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Severity) UnmarshalText(text []byte) error {
	for _, known := range []Severity{Info, Warning, Error} {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("severity %q is none of info, warning, error", text)
}

// Object names what a finding is about.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is Kind namespace/name.
func (o Object) String() string {
	return o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
}

// Position is where the mistake stands. Field is the path within the object, for
// example spec.egress[0].ports; empty means the object itself. An object of a
// live cluster has no File and no Line.
type Position struct {
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"` // from 1
	Field string `json:"field,omitempty"`
}

// String is file:line; empty for an object of a live cluster.
func (p Position) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Finding is one mistake.
type Finding struct {
	Rule     string   `json:"rule"` // one of Rules, stable
	Severity Severity `json:"severity"`
	Object   Object   `json:"object"`
	Position Position `json:"position"`
	What     string   `json:"what"` // one sentence
	Why      string   `json:"why"`  // the pods, ports, clause or source behind it
	Fix      string   `json:"fix"`  // what to do
	// Corrected is the whole YAML document of the object with this mistake
	// corrected: the source's with its comments and order, re-encoded where there
	// is no source. It is empty where only a person knows what is right.
	Corrected string `json:"corrected,omitempty"`
	// New is true where Corrected is a policy to add beside the object, which stays
	// as it is.
	New bool `json:"new,omitempty"`
	// Suppressed is true where the policy's annotation asks to leave it out.
	Suppressed bool `json:"suppressed,omitempty"`
}

// String says it in at most 8 lines, without the corrected YAML.
func (f Finding) String() string {
	where := cmp.Or(f.Position.String(), f.Object.String())
	if f.Position.File != "" {
		where += ": " + f.Object.String()
	}
	if f.Position.Field != "" {
		where += " " + f.Position.Field
	}
	mark := ""
	if f.Suppressed {
		mark = " (suppressed)"
	}
	return fmt.Sprintf("%s: %s [%s]%s\n  %s\n  why: %s\n  fix: %s", f.Severity, where, f.Rule, mark, oneLine(f.What), oneLine(f.Why), oneLine(f.Fix))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// order sorts by file, line and rule; objects of a cluster by kind, namespace
// and name, before those of files. It is total, so that reports are stable.
func order(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(
			strings.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line),
			strings.Compare(a.Rule, b.Rule), strings.Compare(a.Object.String(), b.Object.String()),
			strings.Compare(a.Position.Field, b.Position.Field), strings.Compare(a.What, b.What),
		)
	})
}
