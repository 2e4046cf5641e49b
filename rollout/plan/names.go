package plan

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// PodEnding is what the names of probe pods end with, after the dash that tells replicas.
const PodEnding = "-0"

// Revision names the ControllerRevision with the snapshot of a run's plan. The
// baseline is part of it.
func Revision(run string) types.NamespacedName {
	return types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-" + run + "-plan"}
}

// ClaimName is the name of the ConfigMap by which a run has a namespace to itself.
const ClaimName = "tightrope-claim"

// ObjectName is the name of a numbered object of a run: short, so that it fits
// wherever a name does.
func ObjectName(run, kind string, i int) string {
	return fmt.Sprintf("tightrope-%s-%s-%d", run, kind, i)
}

// AgentName is the name of a probe pod of an identity. The two of an identity differ before
// the last dash: the VPC CNI of EKS takes pods of one node that do not for replicas of the
// same workload, and gives them one state.
func (p *Plan) AgentName(identity string, front bool) string {
	side := "rear"
	if front {
		side = "front"
	}
	return fmt.Sprintf("tightrope-%s-%s-%s", p.Run, identity, side) + p.PodEnding
}

// HomeNamespace is that of the control pod.
func (p *Plan) HomeNamespace() string { return cmp.Or(p.Home, v1alpha1.SystemNamespace) }

// The roles of policies of ours, as their labels state them.
const (
	RoleBridge    = "bridge"
	RoleCandidate = "candidate"
	RoleFinal     = "final"
	RoleMarker    = "marker"
	RoleCheck     = "check"
)

// PolicyRoles are the roles that policies of ours have.
var PolicyRoles = []string{RoleBridge, RoleCandidate, RoleFinal, RoleMarker, RoleCheck}
