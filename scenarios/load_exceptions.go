package scenarios

import (
	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// checkExceptions wants each to name a path of the suite that it can be about.
func (p *positions) checkExceptions(at string, all []v1alpha1.Exception, s *Scenario) {
	var paths []v1alpha1.Path
	if s.Spec.Suite != nil {
		paths = s.Spec.Suite.Paths
	}
	p.addAll(strict.CheckExceptions(at, all, paths))
}
