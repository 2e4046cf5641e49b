package probes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Plan is all that a probe agent is told: what to try and how often. It comes
// in by a mounted file and says nothing about what is expected, so an agent
// cannot be talked into a result. The zero Plan tries nothing.
type Plan struct {
	Run      string        `json:"run"`      // PolicyRolloutRun the plan belongs to
	Agent    string        `json:"agent"`    // name of the probe pod it is for
	Interval time.Duration `json:"interval"` // between attempts of one check, in nanoseconds
	Timeout  time.Duration `json:"timeout"`  // of one attempt, in nanoseconds
	Confirm  Confirmation  `json:"confirm"`
	Checks   []Check       `json:"checks"`
}

// Confirmation is the burst of fresh attempts that follows a change of outcome,
// so that one lost packet is not taken for a policy.
type Confirmation struct {
	Every time.Duration `json:"every"` // between attempts of the burst, in nanoseconds; 20ms
	Count int           `json:"count"` // attempts of the burst
}

// Check is one thing to try, over and over.
type Check struct {
	ID       string `json:"id"`              // unique in the plan; chosen by the operator
	Type     string `json:"type"`            // a v1alpha1.ProbeType, or Stream
	Protocol string `json:"protocol"`        // TCP or UDP: DNS is asked over either
	Host     string `json:"host"`            // an address, or a name to resolve afresh on each attempt
	Port     int32  `json:"port"`            // 1 to 65535
	Path     string `json:"path,omitempty"`  // where the type takes one
	Query    string `json:"query,omitempty"` // where the type asks for a name
}

// Stream is a type of check that no suite asks for: one connection that stays open,
// over which every attempt asks.
const Stream = "Stream"

// traits of the check's type; the zero traits where it does not exist.
func (c Check) traits() v1alpha1.ProbeTraits {
	switch c.Type {
	case Stream:
		return v1alpha1.ProbeTraits{Type: Stream, Over: []string{"TCP"}, Proves: v1alpha1.ProvesReply}
	case "": // a plan says what it means
		return v1alpha1.ProbeTraits{}
	}
	return v1alpha1.ProbeType(c.Type).Traits()
}

// Named reports whether the host is a name, which is looked up for each attempt.
func (c Check) Named() bool {
	_, err := netip.ParseAddr(c.Host)
	return err != nil
}

// Digest names the content of the plan. An agent echoes it, so that results
// of an older plan are never counted for a newer one.
func (p Plan) Digest() string {
	raw, err := json.Marshal(p)
	if err != nil {
		return "" // no field of a Plan can fail to marshal
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}
