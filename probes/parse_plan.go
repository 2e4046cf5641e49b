package probes

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxPlan is the longest plan an agent reads, in bytes: as much as a ConfigMap holds.
const MaxPlan = 1 << 20

// The pace a plan may ask for.
const (
	minInterval, maxInterval = 10 * time.Millisecond, time.Hour
	minTimeout, maxTimeout   = time.Millisecond, time.Minute
	maxConfirm               = 64 // attempts of a burst
)

// ParsePlan reads a plan and refuses one that an agent could not follow or not
// report on: unknown fields, a pace out of bounds, a check without an ID of its
// own. A check that cannot be tried for another reason does not spoil the others:
// see Check.Validate. The zero Plan is fine: it tries nothing.
func ParsePlan(raw []byte) (Plan, error) {
	if len(raw) > MaxPlan {
		return Plan{}, fmt.Errorf("probe plan has %d bytes, more than %d: split it over several agents", len(raw), MaxPlan)
	}
	var p Plan
	if err := decode(raw, &p); err != nil {
		return Plan{}, fmt.Errorf("probe plan is not one JSON object of the agreed fields: %w", err)
	}
	if err := p.check(); err != nil {
		return Plan{}, fmt.Errorf("probe plan of run %.60q: %w", p.Run, err)
	}
	return p, nil
}

func (p Plan) check() error {
	if err := short(MaxID, p.Run, p.Agent); err != nil || len(p.Checks) == 0 {
		return err
	}
	switch {
	case len(p.Checks) > MaxChecks:
		return fmt.Errorf("%d checks are more than %d: split it over several agents", len(p.Checks), MaxChecks)
	case p.Interval < minInterval || p.Interval > maxInterval:
		return fmt.Errorf("interval %v is not from %v to %v", p.Interval, minInterval, maxInterval)
	case p.Timeout < minTimeout || p.Timeout > maxTimeout:
		return fmt.Errorf("timeout %v is not from %v to %v", p.Timeout, minTimeout, maxTimeout)
	case p.Confirm.Count < 0 || p.Confirm.Count > maxConfirm:
		return fmt.Errorf("a burst of %d confirmations is not from 0 to %d", p.Confirm.Count, maxConfirm)
	case p.Confirm.Count > 0 && (p.Confirm.Every < time.Millisecond || p.Confirm.Every > maxTimeout):
		return fmt.Errorf("confirmations every %v are not from %v to %v apart", p.Confirm.Every, time.Millisecond, maxTimeout)
	}
	seen := make(map[string]bool, len(p.Checks))
	for _, c := range p.Checks {
		if seen[c.ID] {
			return fmt.Errorf("check %.60q is there twice", c.ID)
		}
		seen[c.ID] = true
		if err := c.checkID(); err != nil {
			return fmt.Errorf("check %.60q: %w", c.ID, err)
		}
	}
	return nil
}

func (c Check) checkID() error {
	if c.ID == "" || len(c.ID) > MaxID {
		return fmt.Errorf("an ID has 1 to %d bytes", MaxID)
	}
	return nil
}

// Validate says why a check cannot be tried; nil if it can. Whoever writes plans
// asks it before, because an agent that finds such a check in its plan never tries
// it: it reports the check as Unsent, with this text as the detail.
func (c Check) Validate() error {
	traits := c.traits()
	switch {
	case !traits.Carries(c.Protocol):
		return fmt.Errorf("type and protocol %.40q are none that this release can try", c.Type+"/"+c.Protocol)
	case c.Type == Stream && c.Named():
		return errors.New("a stream needs an address, and not a name: it would be another one after each look-up")
	case c.Host == "" || len(c.Host) > 253 || !plain(c.Host):
		return fmt.Errorf("host %.60q is neither an address nor a name", c.Host)
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("port %d is not from 1 to 65535", c.Port)
	case traits.Path != "" && (!strings.HasPrefix(c.Path, "/") || len(c.Path) > 2048 || !plain(c.Path)):
		return fmt.Errorf("path %.60q is not a / and up to 2047 printable ASCII characters", c.Path)
	case traits.AsksNames && (c.Query == "" || len(c.Query) > 254 || !plain(c.Query)):
		return errors.New("a DNS check needs the name to ask for in query, 1 to 254 printable ASCII characters")
	}
	return c.checkID()
}

// plain tells whether a text is printable ASCII without blanks, so that it
// cannot end a request's line and begin another.
func plain(s string) bool {
	for _, b := range []byte(s) {
		if b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return true
}
