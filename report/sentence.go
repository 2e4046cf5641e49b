package report

import (
	"cmp"
	"fmt"
	"strings"
)

// Sentence says in one line how the run ended and why, for people: the first
// line of every document and the last of a command. It is sanitized.
func Sentence(r *Report) string {
	word := resultMark(r.Result).Word
	switch {
	case r.Result == "Committed":
		return stop(word + ": " + committed(r))
	case r.Result == "Held" && len(r.Leaks) > 0:
		return stop(word + ": " + leaked(r))
	case r.Result == "PartlyCommitted":
		return stop(word + ": " + partly(r))
	case (r.Result == "RolledBack" || r.Result == "RollbackFailed") && len(r.Cuts) > 0:
		return stop(word + ": " + wasCut(r) + "; " + baseline(r))
	}
	fallback := "nothing was proved"
	switch r.Result {
	case "RolledBack":
		fallback = "the baseline is back"
	case "RollbackFailed":
		fallback = "it is not proved that the baseline is back"
	case "Held":
		fallback = "the rollout goes neither forward nor back"
	case "Refused":
		fallback = "nothing was changed"
	}
	said := cmp.Or(Headline(r), Sanitize(r.Cause), fallback)
	said = strings.TrimSpace(strings.TrimPrefix(said, word+":"))
	if r.Result == "RollbackFailed" && said != fallback {
		said = fallback + ": " + said
	}
	return stop(word + ": " + said)
}

// partly says how the last wave ended, and that the ones before it stay.
func partly(r *Report) string {
	said := cmp.Or(Headline(r), Sanitize(r.Cause), "this wave is not in force")
	if len(r.Cuts) > 0 {
		said = wasCut(r)
	}
	return said + "; the waves before it stay in force"
}

// Headline is the first line of the message, sanitized.
func Headline(r *Report) string {
	first, _, _ := strings.Cut(r.Message, "\n")
	return Sanitize(first)
}

// maxDetail is how many lines of a message are shown after the first.
const maxDetail = 60

// details are the lines of the message after the first, each sanitized, with its
// own indentation: what to do, often as YAML.
func details(r *Report) []string {
	_, rest, more := strings.Cut(strings.TrimRight(r.Message, "\n"), "\n")
	if !more {
		return nil
	}
	var all []string
	for i, line := range strings.Split(rest, "\n") {
		if i == maxDetail {
			return append(all, "…")
		}
		text := strings.TrimLeft(line, " ")
		indent := min(len(line)-len(text), 40)
		all = append(all, strings.TrimRight(strings.Repeat(" ", indent)+Sanitize(text), " "))
	}
	return all
}

func stop(s string) string {
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "…") {
		return s
	}
	return s + "."
}

func committed(r *Report) string {
	paths := pathsOf(r)
	under := "under " + count(candidates(r), "policy")
	if len(paths) == 0 {
		return "no path was tested " + under
	}
	s := fmt.Sprintf("%d of %s %s", holding(paths), count(len(paths), "path"), verb(len(paths), "holds", "hold"))
	s += " " + under
	by := map[Finding]int{}
	for _, p := range paths {
		by[p.seen]++
	}
	for _, f := range []Finding{CutFinding, Leak, Inconclusive} {
		if by[f] > 0 {
			s += fmt.Sprintf("; %d %s", by[f], f.word())
		}
	}
	return s
}

// candidates counts the policies that the rollout put in force, or meant to.
func candidates(r *Report) int {
	n := 0
	for _, p := range r.Policies {
		if p.SHA256 != "" || p.Before == "" {
			n++
		}
	}
	return n
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// wasCut tells of the first cut, and how many more there were.
func wasCut(r *Report) string {
	c := r.Cuts[0]
	s := indexOf(r).eventName(c) + " was cut"
	if c.Phase != "" {
		s += " in " + shorten(Sanitize(c.Phase), 60)
	}
	s += " because " + reason(c)
	if more := otherPaths(r.Cuts); more > 0 {
		s += " (and " + count(more, "more path") + ")"
	}
	return s
}

func leaked(r *Report) string {
	c := r.Leaks[0]
	s := indexOf(r).eventName(c) + " got through"
	if c.Phase != "" {
		s += " in " + shorten(Sanitize(c.Phase), 60)
	}
	s += ", though it must not"
	if c.Rule != "" {
		s += " (" + shorten(Sanitize(c.Rule), 200) + ")"
	}
	if more := otherPaths(r.Leaks); more > 0 {
		s += fmt.Sprintf(", and %s too", count(more, "more path"))
	}
	return s + "; nothing was rolled back, because that would widen it"
}

func otherPaths(list []Cut) int {
	names := map[string]bool{}
	for _, c := range list {
		names[c.Path] = true
	}
	return len(names) - 1
}

// reason is the rule where one explains the cut, and else the cause in words.
func reason(c Cut) string {
	if c.Rule != "" {
		return shorten(Sanitize(c.Rule), 240)
	}
	switch c.Cause {
	case "DNS":
		return "its target's name did not resolve"
	case "TargetDown":
		return "its target was down"
	case "", "Unexplained":
		return "of something that no rule explains"
	}
	return "of " + shorten(Sanitize(c.Cause), 80)
}

// baseline says when the state before the run was back, which only a rollback
// that was verified may claim.
func baseline(r *Report) string {
	if r.Result == "RollbackFailed" {
		s := "it is not proved that the baseline is back"
		if r.Message != "" {
			s += " (" + strings.TrimSuffix(shorten(Headline(r), 200), ".") + ")"
		}
		return s
	}
	if l := r.Cuts[0].Latencies; l.Restore != nil {
		return "the baseline was back " + millis(l.Restore) + " after the decision"
	}
	return "the baseline is back"
}
