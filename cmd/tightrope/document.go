package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/tightrope-dev/tightrope/clusters/doctor"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/preview"
	"github.com/tightrope-dev/tightrope/verdict/explain"
	"github.com/tightrope-dev/tightrope/verdict/lint"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

// outputVersion is the API version of what -o json writes. Fields are added to it;
// one that goes, or means something else, takes a new version.
const outputVersion = "output.tightrope.dev/v1alpha1"

// document is what every document of -o json begins with, as Kubernetes' own do.
type document struct {
	APIVersion string `json:"apiVersion" jsonschema:"enum=output.tightrope.dev/v1alpha1"`
	Kind       string `json:"kind"`
	// InputNotes say what of the input was left out, was assumed or is not known, and
	// which rollouts are judged as if they were applied.
	InputNotes []string `json:"inputNotes"`
}

// lintReport is what lint -o json writes.
type lintReport struct {
	document
	Findings []lint.Finding `json:"findings"` // by file and line
}

// explanation is what explain -o json writes.
type explanation struct {
	document
	explain.Answer
}

// planReport is what plan -o json writes.
type planReport struct {
	document
	Plans []preview.Document `json:"plans"` // one for each rollout
}

// matrixDocument is what matrix -o json writes, row by row.
type matrixDocument struct {
	document
	Results []matrix.Entry `json:"results"`
}

// workloadMatrix is what matrix -o json --by workload writes, row by row.
type workloadMatrix struct {
	document
	Results []matrix.WorkloadEntry `json:"results"`
}

// matrixDifference is what matrix --diff -o json writes.
type matrixDifference struct {
	document
	matrix.Difference
}

// examination is what doctor -o json writes.
type examination struct {
	document
	doctor.Examination
}

// head is the beginning of a document of the kind.
func (s *source) head(kind string, set *manifest.Set) document {
	return document{outputVersion, kind, s.notes(set, true)}
}

// notes are what the input does not say, and what becomes of its rollouts. Briefly,
// they are the first few, and how much more there is to say.
func (s *source) notes(set *manifest.Set, all bool) []string {
	notes := slices.Clone(s.unchecked)
	if notes == nil {
		notes = []string{} // of JSON an empty list
	}
	for _, r := range set.Objects.Rollouts {
		switch {
		case s.planned:
		case s.withRollout:
			notes = append(notes, r.InWords()+": judged as if applied")
		default:
			notes = append(notes, r.InWords()+": not applied; --with-rollout judges as if they were")
		}
	}
	for i, n := range set.Notes {
		if i == maxNotes && !all {
			notes = append(notes, fmt.Sprintf("and %d more: -v lists them", len(set.Notes)-i))
			break
		}
		notes = append(notes, n.String())
	}
	objects := 0
	for _, k := range set.Skipped {
		objects += k.Count
		if all {
			notes = append(notes, k.String()+": the kind is not read")
		}
	}
	if objects > 0 && !all {
		notes = append(notes, fmt.Sprintf("%s of %s not read: -v names the kinds", many(objects, "object"), many(len(set.Skipped), "kind")))
	}
	return notes
}

// maxNotes of the input are told; the rest is counted, unless all are asked for.
const maxNotes = 5

// tell tells the notes to people.
func (s *source) tell(w io.Writer, set *manifest.Set) {
	for _, n := range s.notes(set, s.verbose) {
		fmt.Fprintf(w, "note: %s\n", report.SanitizeParagraph(n))
	}
}
