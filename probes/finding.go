package probes

import (
	"fmt"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Finding is what attempts prove about a path. The zero value is Inconclusive
// and never counts as a pass.
type Finding int

// The findings. A cut and a leak call for opposite acts: a cut rolls back, a
// leak holds, because rolling back would widen it.
const (
	Inconclusive Finding = iota // proves nothing
	Holds                       // as expected
	Cut                         // must work, does not: the policy is too tight
	Leak                        // must not work, does: the policy is too loose
)

var findingNames = [...]string{"Inconclusive", "Holds", "Cut", "Leak"}

// String is the finding's name; Finding(n) for one that does not exist.
func (f Finding) String() string {
	if f < 0 || int(f) >= len(findingNames) {
		return fmt.Sprintf("Finding(%d)", int(f))
	}
	return findingNames[f]
}

// MarshalText writes the name, for JSON values and keys. A finding that does not
// exist is an error.
func (f Finding) MarshalText() ([]byte, error) {
	if f < 0 || int(f) >= len(findingNames) {
		return nil, fmt.Errorf("finding %d does not exist: use Inconclusive, Holds, Cut or Leak", int(f))
	}
	return []byte(findingNames[f]), nil
}

// UnmarshalText reads what MarshalText wrote; nothing else.
func (f *Finding) UnmarshalText(text []byte) error {
	for i, name := range findingNames {
		if name == string(text) {
			*f = Finding(i)
			return nil
		}
	}
	return fmt.Errorf("finding %.40q does not exist: use Inconclusive, Holds, Cut or Leak", text)
}

// Alive is what is known of a target by other means than the path on trial: a
// witness that gets through, or the target's own readiness.
type Alive int

// The zero value is AliveUnknown: nobody looked.
const (
	AliveUnknown Alive = iota
	AliveYes           // a witness got through in the same window
	AliveNo            // known to be down, so that a failure says nothing about the policy
)

// Judge says what one attempt proves. Inconclusive is a full answer: an attempt
// that never left the pod proves nothing, nor does a failure on a forbidden path
// whose target nobody saw alive, nor a failure of a target known to be down.
//
// A path that must work and does not is a cut whatever made it so, unless the
// target is known to be down: waiting for proof of life would let the policy
// that cuts the witness too hide behind it. A name that does not resolve counts
// as blocked: for the workload, the path does not work. The same path tried by
// address is what tells whether the target itself is out of reach. A reset of an
// established connection counts too: that is how a proxy on the way says no.
//
// A forbidden path holds only if the network stopped the attempt (Stopped) while
// a witness got through. The other failures prove neither way. A reset after the
// connection was established, and ICMP port unreachable from the target's
// address, may come from the target, over an open path, or from a proxy or a
// policy that answers in its place, over a closed one. A name that does not
// resolve says nothing of a path that was never tried. They are no leak either: a
// leak is raised only on an answer, and an inconclusive path never passes.
func Judge(expect v1alpha1.Expectation, got Outcome, alive Alive) Finding {
	switch {
	case expect == v1alpha1.ExpectAllow && got.Connected():
		return Holds
	case expect == v1alpha1.ExpectAllow && got.Blocked() && alive != AliveNo:
		return Cut
	case expect == v1alpha1.ExpectDeny && got.Connected():
		return Leak
	case expect == v1alpha1.ExpectDeny && got.Stopped() && alive == AliveYes:
		return Holds
	}
	return Inconclusive
}
