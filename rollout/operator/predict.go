package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/repair"
)

// maxExposures bounds what a plan lists; the rest is counted in the last line.
const maxExposures = 50

// maxUntested bounds what a report lists of rules that no path exercises.
const maxUntested = 50

// prospect is the worlds between which a run moves, compiled.
type prospect struct {
	before, after *verdict.Snapshot
}

func (p *Plan) prospect(w *world) prospect {
	return prospect{verdict.Compile(p.before(w), nil), verdict.Compile(p.after(w), nil)}
}

// after is the world once the candidates are in force everywhere.
func (p *Plan) after(w *world) verdict.World {
	return rollout.Change{World: p.before(w), Candidates: p.candidatePolicies(), Remove: p.Removed()}.After()
}

// before is the world without anything of the run.
func (p *Plan) before(w *world) verdict.World {
	return verdict.World{Namespaces: w.verdict.Namespaces, Policies: p.outside(w)}
}

// outside lists every policy that is not of this run, in all namespaces, the
// originals as they were before it.
func (p *Plan) outside(w *world) []verdict.Policy {
	var out []verdict.Policy
	for i := range w.policies {
		if w.policies[i].Labels[v1alpha1.LabelRun] != p.Run {
			out = append(out, p.asWas(w, verdict.PolicyOf(&w.policies[i])))
		}
	}
	return out
}

// live is the world as it is now, compiled.
func (p *Plan) live(w *world) *verdict.Snapshot { return verdict.Compile(p.liveWorld(w), nil) }

// liveWorld is the world as it is now, with our temporary objects under the names
// that people gave them, so that a rule reads as they wrote it. While the final
// object of that name is there as well, a word tells the two apart: a snapshot
// holds one policy of a name. An original beside the candidate that replaces it is
// told apart in the same way. The policies named in without are left out.
func (p *Plan) liveWorld(w *world, without ...string) verdict.World {
	names, final, still := map[string]string{}, map[string]bool{}, map[string]bool{}
	for _, c := range p.Candidates {
		names[c.Namespace+"/"+c.Object] = c.Name
	}
	for i := range w.policies {
		still[w.policies[i].Namespace+"/"+w.policies[i].Name] = p.stillOriginal(&w.policies[i])
	}
	for _, np := range w.verdict.Policies {
		final[np.Key()] = !still[np.Key()]
	}
	out := verdict.World{Namespaces: w.verdict.Namespaces}
	for _, np := range w.verdict.Policies {
		if slices.Contains(without, np.Key()) {
			continue
		}
		if still[np.Key()] {
			np.Name += original
		}
		if name, ok := names[np.Key()]; ok {
			if np.Name != name && final[np.Namespace+"/"+name] {
				name += temporary
			}
			np.Name = name
		}
		out.Policies = append(out.Policies, np)
	}
	return out
}

// What tells two policies of a name apart: a candidate's object beside its final one,
// and an original beside the object of the candidate that replaces it.
const (
	temporary = " (temporary)"
	original  = " (before the rollout)"
)

// predict lists the paths whose verdict under the candidates is not what the
// suite expects, and the exposures on the way. A cut that nobody accepted stops
// the run here: packets would only show what is known, and on production.
func (p *Plan) predict(w *world, to prospect, spec *v1alpha1.PolicyRolloutSpec, no *refusal) {
	for _, path := range p.Paths {
		if path.Expect == v1alpha1.ExpectDeny {
			p.predictLeak(w, to, path)
		} else {
			p.predictCut(w, to, path, spec, no)
		}
	}
	p.Waves = planner.Waves(p.prove(w, spec, no), spec.Waves)
}

func (p *Plan) predictLeak(w *world, to prospect, path plan.Path) {
	for _, c := range p.connections(w, path) {
		if v := to.after.Judge(c); v.Decision == verdict.Allow {
			p.Predicted = append(p.Predicted, report.Prediction{Path: path.Name, Finding: "Leak", Rule: v.Rule()})
			return
		}
	}
}

func (p *Plan) predictCut(w *world, to prospect, path plan.Path, spec *v1alpha1.PolicyRolloutSpec, no *refusal) {
	for _, c := range p.connections(w, path) {
		v := to.after.Judge(c)
		if v.Decision != verdict.Deny {
			continue
		}
		before := to.before.Judge(c).Decision
		accepted := spec.Accepts(v1alpha1.ExceptionPredictedCut, path.Name)
		if before == verdict.Deny {
			accepted = cmp.Or(accepted, spec.Accepts(v1alpha1.ExceptionUnqualifiedPath, path.Name))
		}
		p.Predicted = append(p.Predicted, report.Prediction{Path: path.Name, Finding: "Cut", Rule: v.Rule(), Accepted: accepted})
		if accepted != "" || !path.Votes() {
			return
		}
		why := "path %q would be cut: %s"
		if before == verdict.Deny {
			why = "path %q must work, and neither the policies that are there nor the candidates allow it: %s"
		}
		no.addCut(ForeseenCut{Path: path.Name, Rule: v.Rule(), Add: p.mend(w, c), reason: fmt.Sprintf(why, path.Name, v.Rule())})
		return
	}
}

// addCut adds a predicted cut, with what a person may do about it.
func (no *refusal) addCut(c ForeseenCut) {
	c.repair = fmt.Sprintf("To allow %q, add %s\nTo see the data plane cut it all the same, add to the rollout:\n%s", c.Path, c.Add,
		rollout.ExceptionYAML(v1alpha1.ExceptionPredictedCut, c.Path))
	no.reasons, no.repairs, no.cuts = append(no.reasons, c.reason), append(no.repairs, c.repair), append(no.cuts, c)
}

// mend says what to add so that the candidates allow a connection.
func (p *Plan) mend(w *world, c verdict.Conn) string {
	own := func(key string) bool {
		return slices.ContainsFunc(p.Candidates, func(c plan.Candidate) bool { return c.Key() == key })
	}
	var pods []verdict.Pod
	for _, pod := range w.pods {
		if pod.Labels[v1alpha1.LabelRole] == "" { // probe pods go when the run ends
			pods = append(pods, verdict.PodOf(pod))
		}
	}
	return repair.Of(p.after(w), c, repair.Options{Own: own, Inline: true, Pods: pods}).String()
}

// connections are what a path stands for: one to every pod behind its target, and
// where it goes by name the questions of its source to the name servers, unless
// the suite has those as a path of their own, which then speaks for all.
func (p *Plan) connections(w *world, path plan.Path) []verdict.Conn {
	src := p.sourcePod(path.From)
	if src == nil {
		return nil
	}
	var out []verdict.Conn
	for _, b := range w.backends(path.To.Service) {
		out = append(out, connect(src, verdictPod(b.pod), b.port, path.Protocol()))
	}
	byName := slices.Contains(path.Ways(), v1alpha1.ViaService) && !path.Probe.Type.Traits().AsksNames
	if path.Expect == v1alpha1.ExpectAllow && byName && !p.asksNames(w, path.From) {
		for _, b := range w.nameServers() {
			out = append(out, connect(src, verdictPod(b.pod), b.port, "UDP"))
		}
	}
	return out
}

// asksNames reports whether a path of the suites has an identity ask the name
// servers over UDP.
func (p *Plan) asksNames(w *world, identity string) bool {
	names := w.nameService()
	return names != nil && slices.ContainsFunc(p.Paths, func(path plan.Path) bool {
		t := path.To.Service
		return path.From == identity && path.Votes() && path.Protocol() == "UDP" && t.Namespace == names.Namespace && t.Name == names.Name && path.Expect == v1alpha1.ExpectAllow
	})
}

// prove goes through every mix of pod states, and refuses exposures that no order of
// the policies avoids, and paths that would be cut on the way only. It returns the
// waves that avoid the other exposures.
func (p *Plan) prove(w *world, spec *v1alpha1.PolicyRolloutSpec, no *refusal) []rollout.Wave {
	var ports []verdict.Port
	for _, path := range p.Paths {
		for _, b := range w.backends(path.To.Service) {
			ports = append(ports, verdict.Port{Number: b.port, Protocol: corev1.Protocol(path.Protocol())})
		}
	}
	proof, err := rollout.Prove(p.change(w), p.mustHold(w), rollout.ProofOptions{Ports: ports, MaxExposures: maxExposures,
		AllowUnisolation: rollout.AllowedUnisolations(spec), Waves: spec.Waves})
	if err != nil {
		no.add("%v", err)
		return nil
	}
	for _, f := range proof.Failures {
		if f.OnTheWay() && f.Decision == verdict.Deny {
			no.add("%s", f)
		}
	}
	for _, reason := range proof.Refusals() {
		no.add("%s", reason)
	}
	for _, u := range proof.Unisolated {
		if u.Allowed {
			freed := report.NotTested{What: fmt.Sprintf("pods of %s for %s once policy %s is gone", metav1.FormatLabelSelector(&u.Selector), strings.ToLower(string(u.Direction)), u.Policy),
				Reason: "an exception of the rollout lets them be without isolation"}
			if !slices.Contains(p.Unprobeable, freed) { // a wave is proved after the whole was
				p.Unprobeable = append(p.Unprobeable, freed)
			}
		}
	}
	p.Exposures = nil // of a whole that is narrowed to a wave, which has none
	for _, e := range proof.Exposures {
		p.Exposures = append(p.Exposures, report.Exposure{From: e.From.Key(), To: e.To.Key(), Port: fmt.Sprintf("%d/%s", e.Port.Number, e.Port.Protocol)})
	}
	if proof.ExposuresLeftOff > 0 {
		p.Exposures = append(p.Exposures, report.Exposure{From: fmt.Sprintf("and %d more", proof.ExposuresLeftOff)})
	}
	return proof.Waves
}

// mustHold are the edges of the paths that must work and may stop a rollout.
func (p *Plan) mustHold(w *world) []rollout.Edge {
	return slices.DeleteFunc(p.edges(w), func(e rollout.Edge) bool {
		return e.Expect != v1alpha1.ExpectAllow || !slices.ContainsFunc(p.Paths, func(path plan.Path) bool { return path.Name == e.Path && path.Votes() })
	})
}

// edges are the connections from the identities of the paths to the pods behind their
// targets.
func (p *Plan) edges(w *world) []rollout.Edge {
	var edges []rollout.Edge
	for _, path := range p.Paths {
		src := p.sourcePod(path.From)
		for _, b := range w.backends(path.To.Service) {
			if src != nil {
				edges = append(edges, rollout.Edge{Path: path.Name, Expect: path.Expect, Conn: connect(src, verdictPod(b.pod), b.port, path.Protocol())})
			}
		}
	}
	return edges
}

func (p *Plan) change(w *world) rollout.Change {
	return rollout.Change{World: p.before(w), Candidates: p.candidatePolicies(), Remove: p.Removed(), Pods: w.production()}
}

// untested lists what no path of the suites exercises of the candidates: it may be
// wrong without this run noticing.
func (p *Plan) untested(w *world) []report.NotTested {
	t := p.change(w).Tested(p.edges(w), nil)
	var all []report.NotTested
	for _, what := range t.Missing {
		all = append(all, report.NotTested{What: what, Reason: "no path of the suites exercises it"})
	}
	for _, u := range t.Unreachable {
		all = append(all, report.NotTested{What: u.What, Reason: "no pod to try it with: " + u.Why})
	}
	if more := len(all) - maxUntested; more > 0 {
		all = append(all[:maxUntested], report.NotTested{What: fmt.Sprintf("and %d more rules and denials", more), Reason: "tightrope plan lists all of them"})
	}
	return all
}

// production lists the pods that are not ours and have an address, sorted.
func (w *world) production() []verdict.Pod {
	var pods []verdict.Pod
	for _, pod := range w.pods {
		if !finished(pod) && len(pod.Status.PodIPs) > 0 && pod.Labels[v1alpha1.LabelRole] == "" {
			pods = append(pods, *verdictPod(pod))
		}
	}
	slices.SortFunc(pods, func(a, b verdict.Pod) int { return strings.Compare(a.Key(), b.Key()) })
	return pods
}

// sourcePod is the identity's probe pod as policies will see it.
func (p *Plan) sourcePod(identity string) *verdict.Pod {
	if identity == controlIdentity {
		return &verdict.Pod{Namespace: p.control().Namespace, Name: controlIdentity, Labels: map[string]string{v1alpha1.LabelIdentity: controlIdentity}}
	}
	id, ok := p.Identity(identity)
	if !ok {
		return nil
	}
	return &verdict.Pod{Namespace: id.Namespace, Name: id.Name, Labels: id.Labels}
}

func connect(from, to *verdict.Pod, port int32, protocol string) verdict.Conn {
	c := verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: port, Protocol: corev1.Protocol(protocol)}
	if len(from.IPs) > 0 {
		c.From.IP = from.IPs[0]
	}
	if len(to.IPs) > 0 {
		c.To.IP = to.IPs[0]
	}
	return c
}

// settleWitnesses finds, for every path that must not work, someone who must
// get through to the same target: the declared witness, else any Allow path to
// it, else the control pod where every state of the policies lets it through.
func (p *Plan) settleWitnesses(w *world, to prospect, no *refusal) {
	for i := range p.Paths {
		path := &p.Paths[i]
		if path.Expect != v1alpha1.ExpectDeny {
			continue
		}
		from := ""
		if path.Witness != nil {
			from = path.Witness.From
		}
		path.WitnessPath = p.witnessPath(*path, from, true)
		if path.WitnessPath >= 0 {
			continue
		}
		identity := cmp.Or(from, controlIdentity)
		why := p.cannotWitness(w, to, *path, identity)
		if why == "" {
			path.WitnessedBy(identity)
			continue
		}
		if path.WitnessPath = p.witnessPath(*path, from, false); path.WitnessPath < 0 {
			no.add("path %q must not work, and nobody could show that its target is alive: %s; without a witness \"blocked\" proves nothing. Add an Allow path to the same target, or name one in witness.from", path.Name, why)
		}
	}
}

// witnessPath is the index of an Allow path to the same target, from an identity if
// one is named; -1: none. By every way that the forbidden path has, if asked: that a
// pod answers at its address does not show that its Service leads to it.
func (p *Plan) witnessPath(path plan.Path, from string, everyWay bool) int {
	return slices.IndexFunc(p.Paths, func(q plan.Path) bool {
		lacks := func(via v1alpha1.Via) bool { return everyWay && !slices.Contains(q.Ways(), via) }
		return q.Expect == v1alpha1.ExpectAllow && q.SameTarget(path) && (from == "" || q.From == from) && !slices.ContainsFunc(path.Ways(), lacks)
	})
}

// cannotWitness says why an identity could not serve as witness; empty: it can.
func (p *Plan) cannotWitness(w *world, to prospect, path plan.Path, from string) string {
	src := p.sourcePod(from)
	if src == nil {
		return fmt.Sprintf("witness %q is not an identity of any suite", from)
	}
	for _, state := range []*verdict.Snapshot{to.before, to.after} {
		for _, b := range w.backends(path.To.Service) {
			if v := state.Judge(connect(src, verdictPod(b.pod), b.port, path.Protocol())); v.Decision != verdict.Allow {
				return fmt.Sprintf("%s would not get through to it either (%s)", from, v.Rule())
			}
		}
	}
	return ""
}
