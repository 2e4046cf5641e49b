package preview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/repair"
)

// Act is what the controller would do with a rollout as it is. The zero Act is to
// refuse it.
type Act uint8

// The acts, in the order in which one hides another.
const (
	Refuse Act = iota // before anything is applied
	Hold              // once a leak is seen: rolling back would widen it
	Try               // and go on while packets confirm what must work
)

// String names the act for people.
func (a Act) String() string { return [...]string{"refuse", "hold", "try"}[a] }

// MarshalText writes the name.
func (a Act) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// act says what the controller would do, from what is predicted.
func (p Preview) act() Act {
	worst := Try
	if len(p.Refusals()) > 0 {
		worst = Refuse
	}
	for _, path := range p.Paths {
		switch {
		case path.Warning:
		case path.Finding == Cut && path.Accepted == "" && !p.preflight.accepts():
			worst = Refuse
		case path.Finding == Leak:
			worst = min(worst, Hold)
		}
	}
	return worst
}

// unaccepted are the names of voting paths that would be cut and that no exception
// accepts, in the order of Paths.
func (p Preview) unaccepted() (names []string) {
	for _, path := range p.Paths {
		if path.Finding == Cut && !path.Warning && path.Accepted == "" {
			names = append(names, path.Name)
		}
	}
	return names
}

// except fills in which predicted cuts the rollout accepts, and notes exceptions
// that change nothing. An exception of a path that no suite has is an error: it was
// meant for another one.
func (p *Preview) except(r manifest.Rollout) error {
	for i, e := range r.Object.Spec.Exceptions {
		if !e.OfPath() {
			continue
		}
		n := slices.IndexFunc(p.Paths, func(path Path) bool { return path.Name == e.Path })
		if n < 0 {
			at := fmt.Sprintf("spec.exceptions[%d].path", i)
			return fmt.Errorf("%s %s: %s: no suite of the rollout has a path %q: name one, or take the exception out", r.Where(at), r, at, e.Path)
		}
		path := &p.Paths[n]
		switch {
		case e.Type == v1alpha1.ExceptionUnqualifiedPath && path.Finding == Cut && path.Now == verdict.Deny:
			path.Accepted = cmp.Or(path.Accepted, e.Reason) // what is there cuts it, too
		case e.Type != v1alpha1.ExceptionPredictedCut: // only packets tell whether a path works now
		case path.Finding == Cut:
			path.Accepted = e.Reason
		default:
			p.Notes = append(p.Notes, fmt.Sprintf("the exception for %s changes nothing: it is not predicted to be cut", e.Path))
		}
	}
	return nil
}

// mend says for each path that would be cut what to add to the candidates. Each
// repair starts from what the one before has added, so that all fit together.
func (p *Preview) mend(c rollout.Change, r manifest.Rollout) {
	candidates := map[string]bool{}
	for _, policy := range c.Candidates {
		candidates[policy.Key()] = true
	}
	o := repair.Options{Own: func(policy string) bool { return candidates[policy] }, Inline: r.Object.Spec.Policies.ConfigMapRef == nil,
		Pods: c.Pods, Workload: p.name}
	world := c.After()
	for i := range p.Paths {
		path := &p.Paths[i]
		if path.Finding != Cut {
			continue
		}
		var texts []string
		for _, e := range p.Summary.Paths {
			if e.Edge.Path != path.Name || e.After.Decision != verdict.Deny {
				continue
			}
			mended := repair.Of(world, e.Edge.Conn, o)
			world = mended.World
			if text := mended.String(); text != "" && !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
		path.Repair = strings.Join(texts, "\n")
		if path.Repair == "" {
			path.Repair = "What repairs another path repairs this one too."
		}
	}
}
