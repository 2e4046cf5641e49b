package lint

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// SARIFOptions describe the run that a SARIF log is of. The zero value works.
type SARIFOptions struct {
	Version string   // of the program
	Notes   []string // what the input does not say
	Fixes   map[Finding]Replacement
	// Relative makes a file's name relative to the root of the sources; nil: it is.
	Relative func(file string) string
}

// SARIF is the findings as a log of SARIF 2.1.0, for code review: those that are
// suppressed are among them, marked. Paths are relative to the root of the
// repository if the command runs there.
func SARIF(findings []Finding, o SARIFOptions) *SARIFLog {
	run := sarifRun{
		Tool: sarifTool{Driver: sarifDriver{Name: "tightrope", Version: o.Version, Rules: []sarifRule{}}}, ColumnKind: "utf16CodeUnits",
		Invocations: []sarifInvocation{{Successful: true, Notifications: []sarifNotification{}}}, Results: []sarifResult{},
	}
	for _, n := range o.Notes {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{Level: "note", Message: sarifText{n}})
	}
	index := map[string]int{}
	for i, m := range mistakes {
		index[m.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, m.sarif())
	}
	seen := map[string]int{}
	for _, f := range findings {
		r := f.sarif(o)
		r.RuleIndex = index[f.Rule]
		print := fingerprint(f)
		if seen[print]++; seen[print] > 1 {
			print = fmt.Sprintf("%s:%d", print, seen[print])
		}
		r.Fingerprints = map[string]string{"tightrope/v1": print}
		run.Results = append(run.Results, r)
	}
	return &SARIFLog{Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// sarif is the mistake as a rule, with a page of help.
func (m Mistake) sarif() sarifRule {
	what := strings.ToUpper(m.What[:1]) + m.What[1:] + "."
	advice := fmt.Sprintf("If it is meant, annotate the policy with %s: %s.", Annotation, m.ID)
	return sarifRule{ID: m.ID, Short: sarifText{what}, Full: sarifText{what},
		Help: sarifHelp{
			Text:     fmt.Sprintf("%s\nSource: %s\n%s", what, m.Source, advice),
			Markdown: fmt.Sprintf("%s\n\nSource: %s\n\nIf it is meant, annotate the policy with `%s: %s`.", what, m.Source, Annotation, m.ID),
		},
		Properties: sarifProperties{Tags: []string{"kubernetes", "network-policy"}},
	}
}

func (f Finding) sarif(o SARIFOptions) sarifResult {
	r := sarifResult{RuleID: f.Rule, Level: map[Severity]string{Error: "error", Warning: "warning", Info: "note"}[f.Severity],
		Message: sarifText{fmt.Sprintf("%s\nWhy: %s\nFix: %s", oneLine(f.What), oneLine(f.Why), oneLine(f.Fix))}, Suppressions: []sarifSuppression{}}
	name := f.Object.String()
	if f.Position.Field != "" {
		name += " " + f.Position.Field
	}
	at := sarifLocation{Logical: []sarifLogical{{Name: name, Kind: "object"}}}
	if f.Position.File != "" && f.Position.File != "-" {
		at.Physical = &sarifPhysical{Artifact: o.artifact(f.Position.File)}
		if f.Position.Line > 0 {
			at.Physical.Region = &sarifRegion{StartLine: f.Position.Line}
		}
	}
	r.Locations = []sarifLocation{at}
	if f.Suppressed {
		r.Suppressions = append(r.Suppressions, sarifSuppression{Kind: "inSource", Justification: "The annotation " + Annotation + " of the policy names the rule."})
	}
	if fix, ok := o.Fixes[f]; ok && at.Physical != nil {
		region := sarifRegion{StartLine: fix.First, StartColumn: 1, EndLine: fix.Last, EndColumn: fix.Column}
		r.Fixes = []sarifFix{{Description: sarifText{oneLine(f.Fix)}, Changes: []sarifChange{{
			Artifact: o.artifact(fix.File), Replacements: []sarifReplacement{{Deleted: region, Inserted: sarifText{fix.Text}}},
		}}}}
	}
	return r
}

// artifact names a file by a relative URI where that is possible.
func (o SARIFOptions) artifact(file string) sarifArtifact {
	if o.Relative != nil {
		file = o.Relative(file)
	}
	u := url.URL{Path: filepath.ToSlash(filepath.Clean(file))}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
	}
	return sarifArtifact{URI: u.String()}
}

// fingerprint stays the same where lines move or words change.
func fingerprint(f Finding) string {
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + f.Object.String() + "\x00" + f.Position.Field))
	return hex.EncodeToString(sum[:16])
}
