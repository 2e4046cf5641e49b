package preview

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// writeRepair says how to go on with a path that would be cut.
func (p Preview) writeRepair(out *page, path Path) {
	switch {
	case path.Accepted != "":
		out.line("       accepted by an exception: %s", path.Accepted)
	case path.Repair != "":
		out.line("       if it must work, add")
		out.block("         ", path.Repair)
	}
}

// block writes lines of text that keep their own indentation.
func (p *page) block(indent, text string) {
	for _, line := range strings.Split(text, "\n") {
		rest := strings.TrimLeft(line, " ")
		p.raw(indent + line[:len(line)-len(rest)] + report.Sanitize(rest) + "\n")
	}
}

// conclude says what the controller would do, and what to do before.
func (p Preview) conclude(out *page) {
	switch cuts := p.unaccepted(); {
	case p.Result() == Refused:
		out.line("Nothing was applied. The controller would refuse it, %s. Next: see what stands in the way, above.", p.unless())
	case p.inForce():
		out.line("Nothing was applied, and nothing is to be done: every policy of the rollout is in force already.")
	case len(cuts) > 0 && p.Controller == Refuse:
		would := "would be cut"
		if !slices.ContainsFunc(p.Paths, func(path Path) bool { return path.Finding == Cut && path.Now != verdict.Deny }) {
			would = "must work, and neither what is there nor the rollout allows it"
		}
		out.line("Nothing was applied. The controller would refuse it: %s %s. Next: add the rules above (tightrope lint finds more), and plan again.", count(len(cuts), "path"), would)
		out.line("Or, if a cut is wanted, accept it in the PolicyRollout; packets then decide, and a cut is rolled back:")
		out.block("  ", rollout.ExceptionYAML(v1alpha1.ExceptionPredictedCut, cuts...))
	case p.Controller == Hold:
		out.line("Nothing was applied. The controller would hold it as soon as a leak shows, because rolling back would not close it. Next: close what leaks and plan again.")
	case p.Result() == Breaks:
		out.line("Nothing was applied. The controller would try it, because exceptions accept every predicted cut; a cut that packets show is rolled back.")
	case p.Result() == Clean:
		out.line("Nothing was applied. Every critical path would keep working. Next: apply the rollout; probes then show what packets do.")
	default:
		out.line("Nothing was applied. Some paths cannot be judged from these objects. Next: add what is missing, or plan on the cluster.")
	}
}

// unless says what exceptions can do about the refusals: those of two types accept what
// they name, and nothing accepts an exposure.
func (p Preview) unless() string {
	var types []string
	rest := len(p.Refusals()) - p.applied
	for _, u := range p.Summary.Proof.Unisolated {
		if !u.Allowed {
			types, rest = []string{string(v1alpha1.ExceptionUnisolation)}, rest-1
		}
	}
	if p.applied > 0 {
		types = append(types, string(v1alpha1.ExceptionSuspendedSync))
	}
	switch {
	case len(types) == 0:
		return "and no exception changes that"
	case rest > 0:
		return "and exceptions accept only some of what is refused"
	case len(p.Refusals()) == 1:
		return "unless an exception of type " + types[0] + " accepts it"
	}
	return "unless exceptions of type " + strings.Join(types, " and ") + " accept all of it"
}

// inForce reports whether the rollout changes nothing: all its policies are there.
func (p Preview) inForce() bool {
	return len(p.Summary.Removed) == 0 &&
		!slices.ContainsFunc(p.Summary.Selected, func(s rollout.Selection) bool { return !s.InForce })
}

func policies(n int) string {
	if n == 1 {
		return "1 policy"
	}
	return fmt.Sprintf("%d policies", n)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
