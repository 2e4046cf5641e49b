package scenarios

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// results that a scenario may expect.
var results = []string{"Committed", "PartlyCommitted", "RolledBack", "RollbackFailed", "Held", "Inconclusive", "Refused"}

var directions = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

// check wants a scenario that stands on its own: all of it, and every name in
// it leading somewhere.
func (p *positions) check(s *Scenario) {
	p.checkHeader(s)
	if s.Metadata.Namespace == "" {
		p.add("metadata.namespace", "is missing: say where to create the suite and the rollout")
	} else {
		p.checkNamespace("metadata.namespace", s.Metadata.Namespace, s.Spec.Topology)
	}
	if s.Spec.Fault != nil {
		p.add("spec.fault", "a fault is a difference from a base: state spec.base")
	}
	if len(s.Spec.Exceptions) > 0 {
		p.add("spec.exceptions", "a scenario without a base states them in spec.rollout.exceptions")
	}
	if s.Spec.Topology != nil {
		p.checkTopology(s.Spec.Topology)
	}
	if s.Spec.Suite == nil {
		p.add("spec.suite", "is missing: say what must and must not be reachable")
	} else {
		p.checkSuite(s.Spec.Suite, s.Spec.Topology)
	}
	if s.Spec.Rollout == nil {
		p.add("spec.rollout", "is missing: say which policies to roll out, in which stages")
	} else {
		p.checkRollout(s)
	}
	p.checkExpect(s)
}

// checkDerived wants a scenario with a base to leave to the base what is the base's.
func (p *positions) checkDerived(s *Scenario) {
	p.checkHeader(s)
	const rule = "is the base's: a scenario with a base states only title, description, fault, exceptions and expect"
	for path, stated := range map[string]bool{
		"metadata.namespace": s.Metadata.Namespace != "",
		"spec.topology":      s.Spec.Topology != nil,
		"spec.suite":         s.Spec.Suite != nil,
		"spec.rollout":       s.Spec.Rollout != nil,
	} {
		if stated {
			p.add(path, rule)
		}
	}
}

func (p *positions) checkHeader(s *Scenario) {
	if want := v1alpha1.GroupVersion.String(); s.APIVersion != want {
		p.add("apiVersion", "%q is not %s", strict.Show(s.APIVersion), want)
	}
	if s.Kind != Kind {
		p.add("kind", "%q is not %s", strict.Show(s.Kind), Kind)
	}
	if p.checkName("metadata.name", s.Metadata.Name) && len(s.Metadata.Name) > strict.MaxRolloutName {
		p.add("metadata.name", "%s has %d characters: use at most %d, because the names of runs are made from it", strict.Show(s.Metadata.Name), len(s.Metadata.Name), strict.MaxRolloutName)
	}
}

// checkExpect needs the suite and the stages, so that of a derived scenario
// comes after it has inherited them.
func (p *positions) checkExpect(s *Scenario) {
	e := s.Spec.Expect
	if e == nil {
		p.add("spec.expect", "is missing: say how the scenario has to end")
		return
	}
	if !slices.Contains(results, e.Result) {
		p.add("spec.expect.result", "%q is not %s", strict.Show(e.Result), strict.OneOf(results))
	}
	for i, cut := range e.Cuts {
		known := s.Spec.Suite != nil && slices.ContainsFunc(s.Spec.Suite.Paths, func(path v1alpha1.Path) bool {
			return path.Name == cut && path.Expect == v1alpha1.ExpectAllow
		})
		if !known {
			p.add(index("spec.expect.cuts", i), "the suite has no path %q that is expected to work", strict.Show(cut))
		}
	}
	if e.Stage != "" && !slices.Contains(steps(s.Spec.Rollout), e.Stage) {
		p.add("spec.expect.stage", "the rollout has no step %q: it has %s", strict.Show(e.Stage), strict.OneOf(steps(s.Spec.Rollout)))
	}
	if asks := len(e.Cuts) > 0 || e.Stage != "" || e.Rule != ""; asks && e.Result == "Committed" {
		p.add("spec.expect", "a rollout that is committed has no cut: leave out cuts, stage and rule")
	}
}

// steps are the names of a rollout's steps: its stages, and expand, which comes before
// the first that touches a production pod.
func steps(r *v1alpha1.PolicyRolloutSpec) []string {
	names := []string{}
	if r == nil {
		return names
	}
	all, err := rollout.Steps(r.Stages)
	for _, step := range all {
		names = append(names, step.Name)
	}
	if err != nil { // which is said of the stages
		for _, stage := range r.Stages {
			names = append(names, stage.Name)
		}
	}
	return names
}

// checkName wants what an object of Kubernetes can be called here: a DNS label,
// because names end up in labels and in pods' names.
func (p *positions) checkName(path, name string) bool {
	f := strict.Faults{}
	ok := f.Name(path, name)
	p.addAll(f)
	return ok
}

// checkNamespace wants one that the topology has; without a topology any will do.
func (p *positions) checkNamespace(path, name string, t *Topology) {
	if p.checkName(path, name) && t != nil && !t.hasNamespace(name) {
		p.add(path, "the topology has no namespace %s: it has %s%s", name, strict.OneOf(t.namespaces()), strict.DidYouMean(name, t.namespaces()))
	}
}

func (p *positions) checkPort(path string, port int32) {
	if port < 1 || port > 65535 {
		p.add(path, "%d is not a port: 1 to 65535", port)
	}
}

func (p *positions) checkPolicyName(path, name string) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		p.add(path, "%q is not a name of a NetworkPolicy: use lower-case letters, digits, dashes and dots", strict.Show(name))
	}
}

func (p *positions) checkLabels(path string, labels map[string]string) {
	p.addAll(strict.CheckLabels(path, labels))
}
