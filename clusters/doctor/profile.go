package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// maxProfileNodes and maxProfileKinds bound what a profile lists.
const (
	maxProfileNodes = 64
	maxProfileKinds = 64
)

// ErrNotSaved says that what was found was not stored.
var ErrNotSaved = errors.New("the EnforcementProfile was not stored")

// save stores what was found as the EnforcementProfile of the cluster, in place of the
// one before.
func (x *examiner) save(ctx context.Context) error {
	status, err := profileOf(&x.found)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	p := &v1alpha1.EnforcementProfile{}
	p.Name = v1alpha1.ProfileName
	err = x.api.Get(ctx, client.ObjectKeyFromObject(p), p)
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%w: the cluster does not know the kind: tightrope install makes it known", ErrNotSaved)
	case apierrors.IsNotFound(err):
		p = &v1alpha1.EnforcementProfile{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ProfileName}}
		err = x.placer.Write.Create(ctx, p)
	}
	if err == nil {
		status.Conditions = p.Status.Conditions
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionCurrent, Status: metav1.ConditionTrue, Reason: "Measured", ObservedGeneration: p.Generation,
			Message: "tightrope doctor measured the cluster as it is; a rollout that finds another node, network plugin or configuration of it goes by its own measurement alone",
		})
		p.Status = status
		err = x.placer.Write.UpdateStatus(ctx, p)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	return nil
}

// profileOf is an examination as a profile.
func profileOf(e *Examination) (v1alpha1.EnforcementProfileStatus, error) {
	var s v1alpha1.EnforcementProfileStatus
	switch {
	case len(e.flips) == 0:
		return s, errors.New("nothing was measured that it could say")
	case e.identity.Nodes == "":
		return s, errors.New("it is not known which nodes and which network plugin were measured, so it could never be told to be void; the checks above say why")
	}
	s.MeasuredAt, s.Identity = metav1.NewTime(e.MeasuredAt), e.identity
	s.Established, s.Deny = cmp.Or(e.Established, string(v1alpha1.Unknown)), cmp.Or(e.Deny, string(v1alpha1.Unknown))
	if e.settle != nil {
		s.Settle = v1alpha1.SettleTimes{P50: duration(e.settle.Median), P99: duration(e.settle.P99)}
	}
	s.Enforces = v1alpha1.EnforcedWhere{Ingress: v1alpha1.Yes, Egress: v1alpha1.Yes}
	for _, node := range e.Nodes {
		where := e.flips[node]
		s.Enforces.Ingress, s.Enforces.Egress = worst(s.Enforces.Ingress, where.Ingress), worst(s.Enforces.Egress, where.Egress)
		if len(s.Nodes) < maxProfileNodes {
			s.Nodes = append(s.Nodes, v1alpha1.NodeProfile{Name: node, Enforces: where, Slowest: duration(slowestOn(e, node))})
		}
	}
	for _, k := range e.PolicyKinds[:min(len(e.PolicyKinds), maxProfileKinds)] {
		understood := v1alpha1.No
		if k.Understood {
			understood = v1alpha1.Yes
		}
		s.PolicyKinds = append(s.PolicyKinds, v1alpha1.PolicyKindProfile{Kind: k.Kind, Group: k.Group, Understood: understood})
	}
	for _, f := range e.Forms {
		s.Writes = append(s.Writes, v1alpha1.WriteProfile{Form: f.Form, Acts: v1alpha1.Answer(f.Acts), Slowest: duration(f.Slowest)})
	}
	return s, nil
}

// worst is No if one is, else Unknown if one is.
func worst(a, b v1alpha1.Answer) v1alpha1.Answer {
	for _, answer := range []v1alpha1.Answer{v1alpha1.No, v1alpha1.Unknown} {
		if a == answer || b == answer {
			return answer
		}
	}
	return a
}

// slowestOn is the longest that a policy took to act on a node, in milliseconds.
func slowestOn(e *Examination, node string) (longest float64) {
	for _, effect := range e.PerNode {
		for _, t := range []*Times{effect.Added, effect.Removed} {
			if effect.Node == node && t != nil {
				longest = max(longest, t.Max)
			}
		}
	}
	return longest
}

// duration is of milliseconds, whole ones: what is measured is no finer.
func duration(ms float64) metav1.Duration {
	return metav1.Duration{Duration: time.Duration(math.Ceil(ms)) * time.Millisecond}
}
