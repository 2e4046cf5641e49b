package report

import (
	"fmt"
	"strings"
)

// The exit codes of docs/exit-codes.md that a report can tell. An interrupted run
// exits 130 or 143 instead; only the command knows that.
const (
	ExitCommitted      = 0 // committed, or a scenario ended exactly as it expects
	ExitCut            = 1 // a path was cut and the baseline is back, or a path leaked and the rollout is held
	ExitRollbackFailed = 2 // the rollback failed or could not be verified
	ExitInconclusive   = 3 // nothing proved
	ExitRefused        = 4 // bad input, or refused before anything was changed
)

// ExitCode is what a command ends with after this run.
//
// Outside a scenario it follows the result alone. In a scenario (Expected is
// set) it is 0 if and only if the result is the expected one and nothing is
// unmet; otherwise it is the result's own code, or 1 where that would be 0. So
// a scenario that expected a rollback and got a commit exits 1, and one that
// proved nothing exits 3 whatever else it expected. A result that is not known
// here proves nothing: 3.
func ExitCode(r *Report) int {
	ok, _ := r.Verdict()
	code := resultCode(r.Result)
	switch {
	case ok:
		return ExitCommitted
	case code == ExitCommitted:
		return ExitCut
	}
	return code
}

func resultCode(result string) int {
	switch result {
	case "Committed", "Verified":
		return ExitCommitted
	case "RolledBack", "PartlyCommitted", "Held", "Violated":
		return ExitCut
	case "RollbackFailed":
		return ExitRollbackFailed
	case "Refused":
		return ExitRefused
	}
	return ExitInconclusive
}

// maxUnmet is how many unmet expectations Verdict names.
const maxUnmet = 8

// Verdict says whether the run ended as it had to, and in words why not; the
// words are empty when it did, and sanitized. Outside a scenario only Committed is good, and for paths that were tried without a rollout Verified.
// In a scenario it is the expected result, with nothing unmet.
func (r *Report) Verdict() (ok bool, why string) {
	var not []string
	switch want := r.Expected; {
	case want == "" && r.Result != r.wanted():
		not = append(not, "the result is "+resultMark(r.Result).Word)
	case want != "" && r.Result != want:
		not = append(not, "the result is "+resultMark(r.Result).Word+", expected "+resultMark(want).Word)
	}
	for i, u := range r.Unmet {
		if i == maxUnmet {
			not = append(not, fmt.Sprintf("and %d more unmet", len(r.Unmet)-i))
			break
		}
		not = append(not, "unmet: "+Sanitize(u))
	}
	return len(not) == 0, strings.Join(not, "; ")
}
