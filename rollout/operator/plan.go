package operator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// Plan is everything a run will do, fixed at preflight and stored as a snapshot.
// A restarted operator works from it and not from the rollout, whose author may
// have edited it since.
type Plan struct {
	Schema  string    `json:"schema"`
	Run     string    `json:"run"`
	RunUID  types.UID `json:"runUID"`
	Rollout string    `json:"rollout"` // namespace/name
	// Sources that the rollout names, as they were when they were read.
	Sources []v1alpha1.Source `json:"sources"`
	// Account that everything forward is written as; none: the controller itself.
	Account types.NamespacedName `json:"account,omitzero"`
	// Waves of the rollout, all of them, as the first planned them; none: there is one only.
	Waves []rollout.Wave `json:"waves,omitempty"`
	// Wave that this run makes, from 1. Everything below is about this wave; 0: an earlier release planned.
	Wave     int64              `json:"wave,omitempty"`
	Steps    []rollout.StepPlan `json:"steps"`
	Limits   rollout.Limits     `json:"limits"`
	Interval time.Duration      `json:"interval"`
	Timeout  time.Duration      `json:"timeout"`
	Budget   float64            `json:"budget"` // false rollbacks per hour
	// PodEnding of the names of probe pods; empty in a plan that an earlier release stored.
	PodEnding string `json:"podEnding,omitempty"`
	// Home is the namespace of the control pod; empty: Tightrope's own.
	Home string `json:"home,omitempty"`
	// ClusterDomain of DNS; empty: not known, names are completed by search lists.
	ClusterDomain string              `json:"clusterDomain"`
	Identities    []v1alpha1.Identity `json:"identities"`
	Paths         []PlannedPath       `json:"paths"`
	Candidates    []Candidate         `json:"candidates"`
	Bridges       []PlannedBridge     `json:"bridges"`
	Originals     []Original          `json:"originals,omitempty"` // that candidates replace, or that go
	Baseline      []verdict.Policy    `json:"baseline"`            // of the namespaces that candidates are in
	Predicted     []report.Prediction `json:"predicted"`
	Exposures     []report.Exposure   `json:"exposures"`
	Unprobeable   []report.NotTested  `json:"unprobeable"`

	hands  *hands   // of the account; nil: not needed so far
	digest string   // of the text it was read from; empty: it was not
	down   []string // which paths lead to a Service without a ready pod, in words
}

// PlannedPath is a path of a suite with its witness settled.
type PlannedPath struct {
	v1alpha1.Path
	// WitnessPath is the index of an Allow path to the same target that shows it is alive; -1: none.
	WitnessPath int `json:"witnessPath"`
	// WitnessIdentity must get through where no such path exists: an identity, or controlIdentity.
	WitnessIdentity string `json:"witnessIdentity,omitempty"`
	// WitnessWays are the ways that WitnessIdentity tries the target by. A plan that an
	// earlier release stored has none: there it tries addresses only, for either way.
	WitnessWays []v1alpha1.Via `json:"witnessWays,omitempty"`
	// MayFail says that the author accepts that the path does not work before the change.
	MayFail bool `json:"mayFail,omitempty"`
	// Later says that the path must not work, and that a later wave is to close it: it has no vote yet.
	Later bool `json:"later,omitempty"`
}

// Candidate is a policy to roll out, as the API server defaults it, and the
// name of the temporary object that carries it until the commit.
type Candidate struct {
	verdict.Policy
	Object string `json:"object"`
}

// PlannedBridge is a bridge and the name of its object.
type PlannedBridge struct {
	rollout.Bridge
	Object string `json:"object"`
}

// Digest is that of the snapshot the plan was read from, as armed in the run's
// status; empty for a plan that is not stored.
func (p *Plan) Digest() string { return p.digest }

func digestOf(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data always marshals
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// namespaces that the plan writes policies to, sorted.
func (p *Plan) namespaces() []string {
	var names []string
	for _, c := range p.Candidates {
		names = append(names, c.Namespace)
	}
	for _, o := range p.Originals {
		names = append(names, o.Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (p *Plan) identity(name string) (v1alpha1.Identity, bool) {
	i := slices.IndexFunc(p.Identities, func(id v1alpha1.Identity) bool { return id.Name == name })
	if i < 0 {
		return v1alpha1.Identity{}, false
	}
	return p.Identities[i], true
}

// policies lists what the report says was rolled out, and what went.
func (p *Plan) policies() []report.Policy {
	out := make([]report.Policy, 0, len(p.Candidates))
	for _, c := range p.Candidates {
		was := ""
		if o := p.original(c.Namespace, c.Name); o != nil {
			was = digestOf(o.Spec)
		}
		out = append(out, report.Policy{Name: c.Key(), SHA256: digestOf(c.Spec), Before: was})
	}
	for _, o := range p.Originals {
		if o.Becomes == "" {
			out = append(out, report.Policy{Name: o.Key(), Before: digestOf(o.Spec)})
		}
	}
	return out
}

// candidatePolicies are the candidates under their own names.
func (p *Plan) candidatePolicies() []verdict.Policy {
	out := make([]verdict.Policy, 0, len(p.Candidates))
	for _, c := range p.Candidates {
		out = append(out, c.Policy)
	}
	return out
}

// key names the plan's run for good.
func (p *Plan) key() runKey { return runKey{Name: p.Run, UID: p.RunUID} }

// objectName is the name of a numbered object of a run: short, so that it fits
// wherever a name does.
func objectName(run, kind string, i int) string {
	return fmt.Sprintf("tightrope-%s-%s-%d", run, kind, i)
}

// votes reports whether the path may stop a rollout.
func (p PlannedPath) votes() bool {
	return p.Criticality != v1alpha1.CriticalityWarning && !p.Later
}

func (p PlannedPath) ways() []v1alpha1.Via {
	if len(p.Via) == 0 {
		return []v1alpha1.Via{v1alpha1.ViaService, v1alpha1.ViaPodIP}
	}
	return p.Via
}

func (p PlannedPath) protocol() string {
	if p.To.Service.Protocol == "" {
		return "TCP"
	}
	return p.To.Service.Protocol
}

func (p PlannedPath) sameTarget(q PlannedPath) bool {
	a, b := p.To.Service, q.To.Service
	return a.Namespace == b.Namespace && a.Name == b.Name && a.Port == b.Port && p.protocol() == q.protocol()
}

// refusal is a preflight answer for a person: nothing was changed, and why. The
// first line says it in a sentence; what to write to repair it comes below.
type refusal struct {
	reasons []string
	repairs []string // YAML or commands, with a line that says where it goes, or what for
}

func (r *refusal) Error() string {
	return strings.Join(append([]string{strings.Join(r.reasons, "; ")}, r.repairs...), "\n")
}

// repair adds what to write or to run, once.
func (r *refusal) repair(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.repairs, text) {
		r.repairs = append(r.repairs, text)
	}
}

func (r *refusal) add(format string, args ...any) {
	r.reasons = append(r.reasons, fmt.Sprintf(format, args...))
}
