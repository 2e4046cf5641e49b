package report

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// approvals notes what people let the run do, and refuses a decision that rests on more
// than the approvals that it names come to.
func (b *Book) approvals(t *evidence.Turn) error {
	for _, a := range t.Approvals {
		if !slices.ContainsFunc(b.Report.Approvals, func(known Approval) bool { return known.UID == string(a.UID) }) {
			b.Report.Approvals = append(b.Report.Approvals, Approval{Name: a.Name, UID: string(a.UID), Action: string(a.Action), Stage: a.Stage, Gate: a.Gate,
				Approver: a.Approver, At: a.At, Reason: a.Reason, PlanDigest: a.PlanDigest})
		}
	}
	var gates []v1alpha1.Gate
	stage := ""
	if t.At.Step >= 0 && t.At.Step < len(b.steps) {
		gates, stage = b.steps[t.At.Step].Gates, b.steps[t.At.Step].Name
	}
	for _, a := range t.Approvals {
		if a.Stage != stage {
			return fmt.Errorf("approval %s is of stage %q, and the decision of stage %q", Sanitize(a.Name), Sanitize(a.Stage), Sanitize(stage))
		}
	}
	got, want := t.Evidence.Approvals, evidence.Granted(gates, t.Approvals)
	if got.Promoted != want.Promoted || got.Resumed != want.Resumed || !maps.Equal(got.Open, want.Open) {
		return errors.New("the approvals that a decision names are not what it rests on")
	}
	return nil
}
