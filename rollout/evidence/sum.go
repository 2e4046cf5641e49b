package evidence

import (
	"slices"

	"github.com/tightrope-dev/tightrope/rollout"
)

// Sum adds the judgement of every row up, for rollout.Step. The weakest path speaks
// for all. What a step knows besides (its clocks, what somebody changed) is not in it.
func (l *Look) Sum(rows []Row, judged []Judged) rollout.Evidence {
	e := rollout.Evidence{Settled: l.Settled}
	for i, j := range judged {
		row := rows[i]
		if j.Required {
			e.Required++
		}
		if j.Proved && l.Settled {
			e.Proved++
		}
		add(&e.Cut, row, j.Cut != 0)
		add(&e.Leaks, row, j.Leak != 0)
		add(&e.Failing, row, j.Undecided)
		add(&e.Unqualified, row, l.Scope == rollout.Nobody && j.Required && !j.Works && row.Allow())
		add(&e.Unexplained, row, j.Shared != 0 && l.Checks[j.Shared-1].Is(Recent))
	}
	for _, names := range []*[]string{&e.Cut, &e.Leaks, &e.Unexplained, &e.Unqualified, &e.Failing} {
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	return e
}

func add(names *[]string, row Row, is bool) {
	if is {
		*names = append(*names, row.Path)
	}
}

// SameSum reports whether two sums say the same of the rows.
func SameSum(a, b rollout.Evidence) bool {
	return a.Settled == b.Settled && a.Required == b.Required && a.Proved == b.Proved &&
		slices.Equal(a.Cut, b.Cut) && slices.Equal(a.Leaks, b.Leaks) && slices.Equal(a.Unexplained, b.Unexplained) &&
		slices.Equal(a.Unqualified, b.Unqualified) && slices.Equal(a.Failing, b.Failing)
}
