package preview

import (
	"slices"
	"strings"
)

// Preflight is what the controller's own preflight says of a rollout, run on a cluster
// before anything is applied, as far as that can be.
type Preflight struct {
	// Refused are the reasons to refuse the rollout, apart from cuts; empty: there are none
	// among what could be looked at.
	Refused []string
	// Repairs say what to write, or to run, for some of them.
	Repairs []string
	Cuts    []PreflightCut
	// Unseen is what preflight looks at, and could not be looked at now.
	Unseen []string
}

// PreflightCut is a path that would be cut and that no exception accepts.
type PreflightCut struct {
	Path, Rule string
	Add        string // what to add to the candidates so that it is none
}

// accepts reports whether the controller goes on as far as preflight can be foreseen.
func (f *Preflight) accepts() bool { return f != nil && len(f.Refused)+len(f.Cuts) == 0 }

// Confirm makes the controller's preflight the last word on what would be refused: it
// sees more than policies and pods, and what it does not refuse is tried.
func (p *Preview) Confirm(f Preflight) {
	p.preflight = &f
	p.Unseen = f.Unseen
	for _, cut := range f.Cuts {
		i := slices.IndexFunc(p.Paths, func(path Path) bool { return path.Name == cut.Path })
		if i >= 0 && p.Paths[i].Finding != Cut {
			p.Paths[i].Finding, p.Paths[i].Rule, p.Paths[i].Repair = Cut, cut.Rule, cut.Add
		}
	}
	sortPaths(p.Paths)
	p.Controller = p.act()
}

// Refusals are why the rollout would not be tried, apart from cuts.
func (p Preview) Refusals() []string {
	if p.preflight.accepts() {
		return nil
	}
	all := slices.Clone(p.Summary.Refusals)
	if p.preflight != nil {
		for _, why := range p.preflight.Refused {
			if !slices.Contains(all, why) {
				all = append(all, why)
			}
		}
	}
	return all
}

// writeRefusals says what stands in the way, what to do about it, and what nobody has
// looked at.
func (p Preview) writeRefusals(out *page) {
	if all := p.Refusals(); len(all) > 0 {
		out.line("")
		out.line("WHAT THE CONTROLLER WOULD REFUSE: %d", len(all))
		for _, why := range all {
			out.line("  REFUSED  %s", why)
		}
		if p.preflight != nil {
			for _, text := range p.preflight.Repairs {
				out.block("           ", text)
			}
		}
	}
	if len(p.Unseen) > 0 {
		out.line("")
		out.line("NOT LOOKED AT, and the controller does:")
		for _, what := range p.Unseen {
			out.line("  %s", strings.ReplaceAll(what, "\n", " "))
		}
	}
}
