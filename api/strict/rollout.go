package strict

import (
	"regexp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// MaxRolloutName is how long the name of a rollout may be: the names of its runs, and
// of what they make, are made from it.
const MaxRolloutName = 40

// CheckRollout holds a PolicyRollout's spec, which stands at that path, against what
// the API server and the controller accept of it, as far as it can be told from the
// spec alone. Exceptions name paths of suites, so CheckExceptions does those.
func CheckRollout(at string, spec v1alpha1.PolicyRolloutSpec) Faults {
	f := Faults{}
	if name := spec.ServiceAccountName; name != "" && len(validation.IsDNS1123Subdomain(name)) > 0 {
		f.Add(at+".serviceAccountName", "%s cannot be the name of a service account", Show(name))
	}
	if len(spec.Suites) == 0 {
		f.Add(at+".suites", "is missing: without a suite nothing is tested")
	}
	for i, ref := range spec.Suites {
		if ref.Name == "" {
			f.Add(index(at+".suites", i)+".name", "is missing: name a ConnectivitySuite of the same namespace")
		}
		f.digest(index(at+".suites", i)+".digest", ref.Digest)
	}
	if ref := spec.Policies.ConfigMapRef; ref != nil {
		f.digest(at+".policies.configMapRef.digest", ref.Digest)
	}
	for i, p := range spec.Policies.Inline {
		if slices.Contains(append(slices.Clone(ProtectedNamespaces), spec.ProtectedNamespaces...), p.Namespace) {
			f.Add(index(at+".policies.inline", i)+".namespace", "%s is protected: no rollout writes to it", Show(p.Namespace))
		}
	}
	for i, ref := range spec.Policies.Remove {
		if slices.Contains(append(slices.Clone(ProtectedNamespaces), spec.ProtectedNamespaces...), ref.Namespace) {
			f.Add(index(at+".policies.remove", i)+".namespace", "%s is protected: no rollout takes anything away there", Show(ref.Namespace))
		}
	}
	f = append(f, CheckWaves(at+".waves", spec.Waves)...)
	f = append(f, CheckRollbackScope(at+".rollbackScope", spec.RollbackScope)...)
	f = append(f, CheckStages(at+".stages", spec.Stages)...)
	f = append(f, CheckAnalysis(at+".analysis", spec.Analysis)...)
	if spec.InconclusiveDeadline.Duration < 0 {
		f.Add(at+".inconclusiveDeadline", "%v is negative", spec.InconclusiveDeadline.Duration)
	}
	if h := spec.HistoryLimit; h != nil && (*h < 0 || *h > 1000) {
		f.Add(at+".historyLimit", "%d is not a number of runs to keep: 0 to 1000", *h)
	}
	return f
}

// CheckWaves wants waves that there are, and namespaces that come first each once.
func CheckWaves(at string, waves v1alpha1.Waves) Faults {
	f := Faults{}
	by := []v1alpha1.WaveBy{v1alpha1.WaveByNone, v1alpha1.WaveByNamespace}
	if waves.By == "Workload" {
		f.Add(at+".by", "Workload is not served: want %s; policies that share pods are in one wave, so a wave of each workload's own policies needs a rollout of its own", OneOf(by))
	} else if waves.By != "" && !slices.Contains(by, waves.By) {
		f.Add(at+".by", "%s: want %s", Show(string(waves.By)), OneOf(by))
	}
	if len(waves.First) > 0 && waves.By != v1alpha1.WaveByNamespace {
		f.Add(at+".first", "names namespaces: it goes with by: Namespace")
	}
	for i, ns := range waves.First {
		switch at := index(at+".first", i); {
		case len(validation.IsDNS1123Label(ns)) > 0:
			f.Add(at, "%s is not the name of a namespace", Show(ns))
		case slices.Contains(waves.First[:i], ns):
			f.Add(at, "%s is listed twice", Show(ns))
		}
	}
	return f
}

// CheckRollbackScope wants the scope that is served.
func CheckRollbackScope(at string, scope v1alpha1.RollbackScope) Faults {
	f := Faults{}
	switch scope {
	case "", v1alpha1.RollbackWave:
	case v1alpha1.RollbackAll:
		f.Add(at, "All is not served: a rollback restores what the last committed wave has left; to take committed waves back, roll out the policies that were there before")
	default:
		f.Add(at, "%s: want Wave, or leave it out", Show(string(scope)))
	}
	return f
}

// CheckRemove wants policies that can be named, each once, and none that the rollout
// puts in force as well.
func CheckRemove(at string, remove []v1alpha1.PolicyRef, candidate func(key string) bool) Faults {
	f := Faults{}
	seen := map[string]bool{}
	for i, ref := range remove {
		at := index(at, i)
		if ref.Kind != "" && ref.Kind != "NetworkPolicy" {
			f.Add(at+".kind", "%q: only policies of kind NetworkPolicy can be removed", Show(ref.Kind))
		}
		if len(validation.IsDNS1123Subdomain(ref.Name)) > 0 {
			f.Add(at+".name", "%q is not a name of a NetworkPolicy", Show(ref.Name))
		}
		if len(validation.IsDNS1123Label(ref.Namespace)) > 0 {
			f.Add(at+".namespace", "%q is not the name of a namespace", Show(ref.Namespace))
		}
		switch {
		case seen[ref.Key()]:
			f.Add(at+".name", "policy %s is listed twice", Show(ref.Key()))
		case candidate(ref.Key()):
			f.Add(at+".name", "policy %s is among the candidates as well: it cannot come and go", Show(ref.Key()))
		}
		seen[ref.Key()] = true
	}
	return f
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// digest wants one that can be that of a source, or none.
func (f *Faults) digest(at, digest string) {
	if digest != "" && !digestForm.MatchString(digest) {
		f.Add(at, "%s is no digest: want sha256: and 64 hexadecimal digits, as tightrope rollout digest prints it", Show(digest))
	}
}

// ProtectedNamespaces are never written to, whatever a rollout says.
var ProtectedNamespaces = []string{"kube-system", v1alpha1.SystemNamespace}

// CheckStages wants stages that can be told apart, each with what its mode needs.
func CheckStages(at string, stages []v1alpha1.Stage) Faults {
	f := Faults{}
	if len(stages) == 0 {
		f.Add(at, "is missing: say in which stages to tighten")
	}
	names := map[string]bool{}
	for i, stage := range stages {
		at := index(at, i)
		if names[stage.Name] {
			f.Add(at+".name", "stage %s is listed twice", Show(stage.Name))
		}
		names[stage.Name] = true
		if f.Name(at+".name", stage.Name) && len(stage.Name) > 40 {
			f.Add(at+".name", "%s has %d characters: use at most 40", Show(stage.Name), len(stage.Name))
		}
		if stage.MinDuration.Duration < 0 {
			f.Add(at+".minDuration", "%v is negative", stage.MinDuration.Duration)
		}
		if stage.MinCoveragePercent < 0 || stage.MinCoveragePercent > 100 {
			f.Add(at+".minCoveragePercent", "%d is not a percentage: 0 to 100", stage.MinCoveragePercent)
		}
		f.scope(at, stage)
		f.gates(at+".gates", stage.Gates)
	}
	return f
}

var modes = []v1alpha1.StageMode{v1alpha1.ModeObserve, v1alpha1.ModeShadow, v1alpha1.ModeCanary, v1alpha1.ModeEnforce}

// scope wants a canary, and no other stage, to say whom it enforces.
func (f *Faults) scope(at string, stage v1alpha1.Stage) {
	maxPods := stage.Scope.MaxPods
	switch stage.Mode {
	case v1alpha1.ModeObserve, v1alpha1.ModeShadow, v1alpha1.ModeEnforce:
		if maxPods != nil {
			f.Add(at+".scope", "only a Canary stage has a scope")
		}
		return
	case v1alpha1.ModeCanary:
	default:
		f.Add(at+".mode", "%q is not %s%s", Show(string(stage.Mode)), OneOf(modes), DidYouMean(string(stage.Mode), texts(modes)))
		return
	}
	if maxPods == nil {
		f.Add(at+".scope", "state maxPods: how many pods of each workload the canary enforces, such as 10%%; a stage that enforces probe pods only has mode: Shadow, and no scope")
		return
	}
	limit := 1 << 31
	if maxPods.Type == intstr.String {
		limit = 100
	}
	if n, err := intstr.GetScaledValueFromIntOrPercent(maxPods, 100, true); err != nil || n < 1 || n > limit {
		f.Add(at+".scope.maxPods", "%s is not a number of pods or a percentage such as 10%%", Show(maxPods.String()))
	}
}

// CheckAnalysis holds the tuning of the probes against what can be done.
func CheckAnalysis(at string, a v1alpha1.Analysis) Faults {
	f := Faults{}
	if a.Interval.Duration < 0 {
		f.Add(at+".interval", "%v is negative", a.Interval.Duration)
	}
	if a.Timeout.Duration < 0 {
		f.Add(at+".timeout", "%v is negative", a.Timeout.Duration)
	}
	if a.FalseRollbackBudget == "" {
		return f
	}
	if budget, err := strconv.ParseFloat(a.FalseRollbackBudget, 64); err != nil || !(budget > 0 && budget < 1e6) {
		f.Add(at+".falseRollbackBudget", "%s is not a number above 0, such as 1e-6 per hour", Show(a.FalseRollbackBudget))
	}
	return f
}

// Name wants what an object of Kubernetes can be called here: a DNS label, because
// names end up in labels and in pods' names. It reports whether it is one.
func (f *Faults) Name(at, name string) bool {
	if name == "" {
		f.Add(at, "is missing: give it a name")
		return false
	}
	if len(name) > 50 || len(validation.IsDNS1123Label(name)) > 0 {
		f.Add(at, "%s is not a name: use at most 50 lower-case letters, digits and dashes, with a letter or digit at both ends", Show(name))
		return false
	}
	return true
}

// label is Name for what somebody else has named already.
func (f *Faults) label(at, name string) bool {
	if name == "" {
		f.Add(at, "is missing: give it a name")
		return false
	}
	if len(validation.IsDNS1123Label(name)) > 0 {
		f.Add(at, "%s is not a name: use at most 63 lower-case letters, digits and dashes, with a letter or digit at both ends", Show(name))
		return false
	}
	return true
}

func texts[T ~string](all []T) []string {
	var out []string
	for _, one := range all {
		out = append(out, string(one))
	}
	return out
}
