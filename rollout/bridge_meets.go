package rollout

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Meets reports whether a pod may exist, today or later, that both the bridge and
// a selector of pods select. False is a proof: on some label the two demand what
// no pod can have at once. A selector that the API server would refuse may select
// any pod.
func (b Bridge) Meets(pods metav1.LabelSelector) bool {
	ours, err := requirementsOf(b.Selector)
	if err != nil {
		return true
	}
	theirs, err := requirementsOf(pods)
	return err != nil || !termOf(slices.Concat(ours, theirs)).empty()
}
