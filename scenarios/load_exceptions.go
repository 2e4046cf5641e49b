package scenarios

import (
	"slices"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

var exceptionTypes = []v1alpha1.ExceptionType{v1alpha1.ExceptionPredictedCut, v1alpha1.ExceptionUnqualifiedPath}

// maxReason bounds a reason, in bytes, as the API does.
const maxReason = 1024

// checkExceptions wants each to name a path of the suite that it can be about, and
// a reason. Whether the path is predicted to be cut is for the plan to say.
func (p *positions) checkExceptions(at string, all []v1alpha1.Exception, s *Scenario) {
	var paths []v1alpha1.Path
	if s.Spec.Suite != nil {
		paths = s.Spec.Suite.Paths
	}
	var names []string
	for _, path := range paths {
		names = append(names, path.Name)
	}
	for i, e := range all {
		at := index(at, i)
		if !slices.Contains(exceptionTypes, e.Type) {
			p.add(at+".type", "%q is not %s", strict.Show(string(e.Type)), strict.OneOf(exceptionTypes))
		}
		switch n := slices.Index(names, e.Path); {
		case n < 0:
			p.add(at+".path", "the suite has no path %q%s", strict.Show(e.Path), strict.DidYouMean(e.Path, names))
		case e.Type == v1alpha1.ExceptionPredictedCut && paths[n].Expect == v1alpha1.ExpectDeny:
			p.add(at+".path", "path %q must not work, so it cannot be cut", strict.Show(e.Path))
		}
		if e.Reason == "" || len(e.Reason) > maxReason {
			p.add(at+".reason", "has %d bytes: say in at most %d why this is accepted", len(e.Reason), maxReason)
		}
		if slices.ContainsFunc(all[:i], func(other v1alpha1.Exception) bool { return other.Type == e.Type && other.Path == e.Path }) {
			p.add(at, "path %q is accepted twice", strict.Show(e.Path))
		}
	}
}
