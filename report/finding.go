package report

// known returns f, or Inconclusive for the zero value and for any word that is
// not a finding: what cannot be read proves nothing.
func (f Finding) known() Finding {
	switch f {
	case Holds, CutFinding, Leak:
		return f
	}
	return Inconclusive
}

// severity orders findings so that the worst of several ways speaks for a path:
// a failure absorbs what is not known, and that absorbs what holds.
func (f Finding) severity() int {
	switch f.known() {
	case CutFinding:
		return 3
	case Leak:
		return 2
	case Inconclusive:
		return 1
	}
	return 0
}

func worse(a, b Finding) Finding {
	if b.severity() > a.severity() {
		return b.known()
	}
	return a.known()
}

// symbol and word go together: neither colour nor shape alone carries a finding.
func (f Finding) symbol() string {
	switch f.known() {
	case Holds:
		return "✓"
	case CutFinding:
		return "✕"
	case Leak:
		return "!"
	}
	return "?"
}

func (f Finding) word() string {
	switch f.known() {
	case Holds:
		return "holds"
	case CutFinding:
		return "cut"
	case Leak:
		return "leak"
	}
	return "inconclusive"
}

// tone is the class of colour that a document gives a thing, always beside a
// symbol and a word.
type tone string

const (
	good    tone = "good"
	bad     tone = "bad"
	warn    tone = "warn"
	neutral tone = "neutral"
)

func (f Finding) tone() tone {
	switch f.known() {
	case Holds:
		return good
	case CutFinding:
		return bad
	case Leak:
		return warn
	}
	return neutral
}

// mark is how a document shows the end of a run or of a phase.
type mark struct {
	Symbol string
	Word   string
	Tone   tone
}

func resultMark(result string) mark {
	switch result {
	case "Committed":
		return mark{"✓", "Committed", good}
	case "Verified":
		return mark{"✓", "Verified", good}
	case "Violated":
		return mark{"✕", "Violated", bad}
	case "RolledBack":
		return mark{"↺", "Rolled back", warn}
	case "PartlyCommitted":
		return mark{"↺", "Partly committed", warn}
	case "RollbackFailed":
		return mark{"✕", "Rollback failed", bad}
	case "Held":
		return mark{"!", "Held", warn}
	case "Refused":
		return mark{"✕", "Refused", neutral}
	case "Inconclusive", "":
		return mark{"?", "Inconclusive", neutral}
	}
	return mark{"?", shorten(Sanitize(result), 40), neutral}
}

func phaseMark(outcome string) mark {
	switch outcome {
	case "Passed":
		return mark{"✓", "passed", good}
	case "Cut":
		return mark{"✕", "cut", bad}
	case "Leak":
		return mark{"!", "leak", warn}
	case "Failed":
		return mark{"✕", "failed", bad}
	case "Refused":
		return mark{"✕", "refused", neutral}
	case "Aborted":
		return mark{"!", "aborted", warn}
	case "Silent":
		return mark{"?", "silent", neutral}
	case "Paused":
		return mark{"…", "paused", neutral}
	case "Resumed":
		return mark{"✓", "resumed", neutral}
	case "Running":
		return mark{"…", "running", neutral}
	case "":
		return mark{"?", "not recorded", neutral}
	}
	return mark{"?", shorten(Sanitize(outcome), 40), neutral}
}
