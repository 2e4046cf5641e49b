package evidence

import (
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Row is a cell of the run: one path by one way.
type Row struct {
	Path      string               `json:"path"`
	Namespace string               `json:"namespace"` // of the source
	From      string               `json:"from"`      // its identity
	ToNS      string               `json:"toNamespace"`
	To        string               `json:"to"` // a Service
	Port      int32                `json:"port"`
	Protocol  string               `json:"protocol"`
	Via       v1alpha1.Via         `json:"via"`
	Expect    v1alpha1.Expectation `json:"expect"`
	Advisory  bool                 `json:"advisory,omitempty"` // it may not stop a rollout
	MayFail   bool                 `json:"mayFail,omitempty"`  // the author accepts that it does not work before the change
}

// Allow reports whether the path must work.
func (r Row) Allow() bool { return r.Expect == v1alpha1.ExpectAllow }

// serviceFactor multiplies the failures in a row that a path through a Service
// needs to count as cut: one dead backend of two makes four misses in a row with
// p = 1/16, and that is no policy.
const serviceFactor = 3

// MinSamples is how many conclusive samples a check needs before its cell is proved.
const MinSamples = 3

// Needed is how many failures in a row make a cut by one way, where so many make one
// at the address of a pod.
func Needed(confirmations int, via v1alpha1.Via) int {
	need := max(confirmations, MinSamples)
	if via == v1alpha1.ViaService {
		return need * serviceFactor
	}
	return need
}
