package preview

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/lint"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Preview is what a rollout would do.
type Preview struct {
	Rollout string // namespace/name
	// Digest of what is decided ("sha256:…"): a run that is planned from the same has it in
	// status.planDigest.
	Digest string
	Pods   int // that were judged
	// Controller is what the controller would do with the rollout as it is.
	Controller Act
	Paths      []Path
	Summary    rollout.Summary
	// Impacts are the changes of Summary, what somebody uses first.
	Impacts []Impact
	Steps   []rollout.StepPlan
	// Findings are the mistakes in the candidates that break or may break something,
	// those that nobody suppressed.
	Findings []lint.Finding
	// Assumed says what the input does not show and was taken for granted.
	Assumed []string
	// Notes say what is odd about the rollout and stops nothing.
	Notes []string
	// Unseen is what the controller's preflight looks at, and nobody could look at here.
	Unseen []string

	preflight *Preflight                // nil: nobody ran it
	applied   int                       // refusals of policies that a tool applies
	name      func(*verdict.Pod) string // of a pod's workload
}

// Path is a path of a suite, judged for every pod behind its target.
type Path struct {
	Name    string
	Expect  v1alpha1.Expectation
	Warning bool // it never stops a rollout
	Finding Finding
	Now     verdict.Decision // without the candidates
	Then    verdict.Decision // with them
	Rule    string           // that decides then, or why nothing is known
	// Accepted is the reason of the exception for this predicted cut; empty: there is none.
	Accepted string
	// Repair says what to add to the candidates so that a predicted cut is none: where
	// it goes, and the YAML. Or it says why no policy can. Empty where nothing is cut.
	Repair string
}

// Finding is what is predicted of a path. The zero Finding is Inconclusive.
type Finding uint8

// The findings.
const (
	Inconclusive Finding = iota // the objects do not say
	Holds
	Cut  // it must work, and would not
	Leak // it must not work, and would
)

// String names the finding for people.
func (f Finding) String() string {
	return [...]string{"inconclusive", "holds", "cut", "leak"}[f]
}

// MarshalText writes the name.
func (f Finding) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Result is the worst that a preview says. The zero Result is Unclear.
type Result uint8

// The results, in the order in which one hides another.
const (
	Unclear Result = iota // some path is inconclusive
	Clean                 // every critical path holds
	Breaks                // some critical path would be cut or leak
	Refused               // the change would not be tried, unless exceptions of type Unisolation and SuspendedSync accept what is refused
)

// String names the result for people.
func (r Result) String() string {
	return [...]string{"unclear", "clean", "breaks", "refused"}[r]
}

// Result says how it ends: with no path at all, nothing was shown.
func (p Preview) Result() Result {
	worst := Clean
	if len(p.Paths) == 0 {
		worst = Unclear
	}
	for _, path := range p.Paths {
		switch {
		case path.Warning:
		case path.Finding == Cut, path.Finding == Leak:
			worst = Breaks
		case path.Finding == Inconclusive && worst != Breaks:
			worst = Unclear
		}
	}
	if len(p.Refusals()) > 0 {
		return Refused
	}
	return worst
}

// Of previews a rollout on the pods, Services and policies of a set, with the
// suites that are in the set. An error says what is wrong with the rollout.
func Of(set *manifest.Set, r manifest.Rollout) (Preview, error) {
	p := Preview{Rollout: r.Namespace + "/" + r.Name, Pods: len(set.Pods)}
	var err error
	if p.Steps, err = rollout.Steps(r.Object.Spec.Stages); err != nil {
		return p, fmt.Errorf("%s %s: %w", r.Where("spec.stages"), r, err)
	}
	change := rollout.Change{World: set.World, Pods: set.Pods}
	for _, c := range r.Candidates {
		policy := verdict.PolicyOf(c.Object)
		policy.Spec = verdict.Defaulted(policy.Spec)
		change.Candidates = append(change.Candidates, policy)
	}
	for _, ref := range r.Object.Spec.Policies.Remove {
		change.Remove = append(change.Remove, ref.Key())
		if !slices.ContainsFunc(set.World.Policies, func(p verdict.Policy) bool { return p.Key() == ref.Key() }) {
			p.Notes = append(p.Notes, fmt.Sprintf("policy %s is to be removed, and there is no such policy", ref.Key()))
		}
	}
	slices.SortFunc(change.Candidates, func(a, b verdict.Policy) int { return strings.Compare(a.Key(), b.Key()) })
	t := targets{set: set, world: &change.World}
	paths, edges, err := t.edges(r)
	if err != nil {
		return p, err
	}
	p.Assumed = t.assumed
	p.name = workloads(set)
	p.Summary = rollout.Summarize(change, edges, rollout.SummaryOptions{
		ProofOptions: rollout.ProofOptions{Ports: t.ports, AllowUnisolation: rollout.AllowedUnisolations(&r.Object.Spec), Waves: r.Object.Spec.Waves}, Name: p.name, DeclaredOnly: true, PodsOnly: true})
	settled := settledBy(set, r)
	p.Digest = digest(set, r, settled, p.Summary.Proof.Waves)
	for _, key := range settled.Unmarked() {
		p.Notes = append(p.Notes, fmt.Sprintf("policy %s is in force with other labels or annotations: the rollout leaves those as they are, because no traffic depends on them; write them with kubectl label or annotate", key))
	}
	p.Summary.Refusals = append(p.Summary.Refusals, refused(set, r)...)
	p.Summary.Refusals = append(p.Summary.Refusals, rollout.UnknownFirst(r.Object.Spec.Waves, namespaces(change))...)
	if why := planner.TooManyPaths(len(paths)); why != "" {
		p.Summary.Refusals = append(p.Summary.Refusals, why)
	}
	for _, np := range set.Objects.NetworkPolicies {
		if why := rollout.WrittenOver(np.Object, &r.Object.Spec); why != "" && slices.Contains(p.Summary.Removed, np.Namespace+"/"+np.Name) {
			p.Summary.Refusals = append(p.Summary.Refusals, why)
			p.applied++
		}
	}
	p.Impacts = impacts(set, edges, p.Summary.Changes.List, p.name)
	p.Paths = judged(paths, p.Summary.Paths)
	if err := p.except(r); err != nil {
		return p, err
	}
	p.mend(change, r)
	p.Controller = p.act()
	p.Findings = findings(set, r)
	return p, nil
}

// refused is what the controller refuses of a rollout and its suites, whatever the cluster is.
func refused(set *manifest.Set, r manifest.Rollout) []string {
	ro := *r.Object
	ro.Namespace = r.Namespace // a manifest may leave it out
	_, all := planner.Begin(&ro)
	if why := planner.LongName(ro.Name); why != "" {
		all = append(all, why)
	}
	for _, ref := range ro.Spec.Suites {
		if suite := (&targets{set: set}).suite(r.Namespace, ref.Name); suite != nil { // else edges says so
			all = append(all, planner.Reserved(ref.Name, suite.Spec.Identities)...)
		}
	}
	var candidates []*networkingv1.NetworkPolicy
	for _, c := range r.Candidates {
		candidates = append(candidates, c.Object)
		all = append(all, rollout.Unkept(c.Object, &ro.Spec)...)
	}
	return append(all, planner.Misplaced(&ro.Spec, candidates)...)
}

// namespaces that a change has policies in, or takes some from, sorted.
func namespaces(c rollout.Change) []string {
	var all []string
	for _, p := range c.Candidates {
		all = append(all, p.Namespace)
	}
	for _, key := range c.Remove {
		ns, _, _ := strings.Cut(key, "/")
		all = append(all, ns)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// settledBy is what the planner settles of a rollout.
func settledBy(set *manifest.Set, r manifest.Rollout) planner.Change {
	change := planner.Change{Remove: r.Object.Spec.Policies.Remove}
	for _, c := range r.Candidates {
		policy := verdict.PolicyOf(c.Object)
		policy.Spec = verdict.Defaulted(policy.Spec)
		change.Candidates = append(change.Candidates, plan.Candidate{Policy: plan.Policy(policy), Marks: plan.MarksOf(c.Object)})
	}
	slices.SortFunc(change.Candidates, func(a, b plan.Candidate) int { return strings.Compare(a.Key(), b.Key()) })
	for _, np := range set.Objects.NetworkPolicies {
		change.Policies = append(change.Policies, *np.Object)
	}
	return change
}

// digest is that of the plan that the controller would make: of the first wave, where
// there are several.
func digest(set *manifest.Set, r manifest.Rollout, change planner.Change, waves []rollout.Wave) string {
	ro := *r.Object
	ro.Namespace = r.Namespace // a manifest may leave it out
	decided, _ := planner.Begin(&ro)
	for _, ref := range ro.Spec.Suites {
		suite := (&targets{set: set}).suite(r.Namespace, ref.Name)
		if suite == nil {
			continue // edges says so
		}
		for _, id := range suite.Spec.Identities {
			planner.AddIdentity(&decided, id)
		}
		for _, path := range suite.Spec.Paths {
			if !planner.HasPath(&decided, path.Name) {
				decided.Paths = append(decided.Paths, planner.PathOf(path))
			}
		}
	}
	planner.Settle(&decided, change)
	if decided.Wave, decided.Waves = 1, planner.Waves(waves, ro.Spec.Waves); len(decided.Waves) > 1 {
		planner.Narrow(&decided, decided.Waves[0])
	}
	_ = planner.Bridge(&decided, change.Policies) // the summary plans the same bridges, and says why there are none
	return decided.Digest()
}

// workloads names pods for people.
func workloads(set *manifest.Set) func(*verdict.Pod) string {
	names := map[string]string{}
	for _, w := range set.Workloads {
		for _, i := range w.Pods {
			names[set.Pods[i].Key()] = w.Namespace + "/" + w.Name
		}
	}
	return func(p *verdict.Pod) string {
		if name, ok := names[p.Key()]; ok {
			return name
		}
		return p.Key()
	}
}

// judged finds the worst of the edges of each path, and puts what is not as it
// should be first.
func judged(paths []Path, edges []rollout.PathChange) []Path {
	for i := range paths {
		p := &paths[i]
		if p.Rule != "" {
			continue // there is nothing to judge
		}
		first := true
		for _, e := range edges {
			if e.Edge.Path != p.Name {
				continue
			}
			if f := finding(p.Expect, e.After.Decision); first || severity(f) > severity(p.Finding) {
				p.Finding, p.Now, p.Then, p.Rule, first = f, e.Before.Decision, e.After.Decision, e.After.Rule(), false
			}
		}
	}
	sortPaths(paths)
	return paths
}

// sortPaths puts what is not as it should be first.
func sortPaths(paths []Path) {
	slices.SortStableFunc(paths, func(a, b Path) int { return severity(b.Finding) - severity(a.Finding) })
}

func finding(want v1alpha1.Expectation, got verdict.Decision) Finding {
	switch {
	case got == verdict.Unknown:
		return Inconclusive
	case want == v1alpha1.ExpectAllow && got == verdict.Deny:
		return Cut
	case want == v1alpha1.ExpectDeny && got == verdict.Allow:
		return Leak
	}
	return Holds
}

func severity(f Finding) int { return slices.Index([]Finding{Holds, Inconclusive, Leak, Cut}, f) }

// findings are the mistakes in the candidates of the rollout.
func findings(set *manifest.Set, r manifest.Rollout) []lint.Finding {
	candidate := map[lint.Object]bool{{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}: true}
	for _, c := range r.Candidates {
		candidate[lint.Object{Kind: "NetworkPolicy", Namespace: c.Object.Namespace, Name: c.Object.Name}] = true
	}
	return slices.DeleteFunc(lint.Check(set), func(f lint.Finding) bool { return f.Suppressed || f.Severity == lint.Info || !candidate[f.Object] })
}

// protocol of a target; empty means TCP.
func protocol(t v1alpha1.ServiceTarget) corev1.Protocol {
	if t.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return corev1.Protocol(t.Protocol)
}
