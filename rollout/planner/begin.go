package planner

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// Defaults of a rollout's analysis.
const (
	Interval = 250 * time.Millisecond
	Timeout  = 250 * time.Millisecond
	Budget   = 1e-6 // false rollbacks per hour
)

// Limits of a rollout that states none.
var Limits = rollout.Limits{Preflight: 5 * time.Minute, Inconclusive: 60 * time.Second, Rollback: 60 * time.Second}

// Begin is what the rollout alone decides, and what is wrong with it, in words.
func Begin(ro *v1alpha1.PolicyRollout) (p plan.Plan, wrong []string) {
	p = plan.Plan{Schema: plan.Schema, Rollout: ro.Namespace + "/" + ro.Name, Interval: Interval, Timeout: Timeout, Budget: Budget, Limits: Limits,
		Exceptions: ro.Spec.Exceptions, Protected: ro.Spec.ProtectedNamespaces}
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if d := ro.Spec.Analysis.Interval.Duration; d != 0 {
		p.Interval = d
	}
	if d := ro.Spec.Analysis.Timeout.Duration; d != 0 {
		p.Timeout = d
	}
	if d := ro.Spec.InconclusiveDeadline.Duration; d != 0 {
		p.Limits.Inconclusive = d
	}
	if s := ro.Spec.Analysis.FalseRollbackBudget; s != "" {
		budget, err := strconv.ParseFloat(s, 64)
		if err != nil || !(budget > 0 && budget < 1e6) {
			refuse("analysis.falseRollbackBudget is %q, want a positive decimal number per hour such as 1e-6", s)
			budget = Budget
		}
		p.Budget = budget
	}
	if p.Interval < 10*time.Millisecond || p.Timeout < 10*time.Millisecond {
		refuse("analysis.interval %v and timeout %v must be at least 10ms: nothing could answer faster", p.Interval, p.Timeout)
	}
	if scope := ro.Spec.RollbackScope; scope != "" && scope != v1alpha1.RollbackWave {
		refuse("spec.rollbackScope is %q, and only %s is served: a rollback restores what the last committed wave has left", scope, v1alpha1.RollbackWave)
	}
	steps, err := rollout.Steps(ro.Spec.Stages)
	if err != nil {
		refuse("rollout %s: %v", p.Rollout, err)
	}
	p.Steps = steps
	if ro.Spec.ServiceAccountName != "" {
		p.Account = types.NamespacedName{Namespace: ro.Namespace, Name: ro.Spec.ServiceAccountName}
	}
	return p, wrong
}

// AddIdentity adds an identity of a suite, and reports whether its name was free.
func AddIdentity(p *plan.Plan, id v1alpha1.Identity) bool {
	if _, dup := p.Identity(id.Name); dup {
		return false
	}
	p.Identities = append(p.Identities, id)
	return true
}

// PathOf is a path of a suite before its ways and its witness are settled.
func PathOf(path v1alpha1.Path) plan.Path {
	return plan.Path{Path: path, Asked: path.Via, WitnessPath: -1}
}

// MaxPaths of a rollout, over all its suites: as many as one suite may have. The plan,
// the evidence and the report of so many fit into what etcd takes.
const MaxPaths = 2048

// TooManyPaths refuses a rollout whose suites have so many paths; empty: it may have them.
func TooManyPaths(n int) string {
	if n <= MaxPaths {
		return ""
	}
	return fmt.Sprintf("the suites have %d paths, and a rollout tests at most %d: leave paths out, or split the rollout and its suites", n, MaxPaths)
}

// HasPath reports whether the plan has a path of that name: exceptions and reports tell
// paths apart by it.
func HasPath(p *plan.Plan, name string) bool {
	return slices.ContainsFunc(p.Paths, func(q plan.Path) bool { return q.Name == name })
}
