package probes

import (
	"errors"
	"fmt"
	"slices"
)

// maxAttempts is the most attempts that a count may claim: an hour of the
// fastest agent. It keeps sums far from overflow.
const maxAttempts = 100_000_000

var outcomes = []Outcome{Unsent, Reached, Refused, PortUnreachable, Reset, TimedOut, Unreachable, DNSFailure, TLSFailure}

// ParseLine reads one line of an agent's output, without its newline. Anybody who
// can write to that output may have written it: it is bounded, and what an agent
// of ours would not say is refused. It never panics.
func ParseLine(raw []byte) (Line, error) {
	if len(raw) > MaxLine {
		return Line{}, fmt.Errorf("agent line has %d bytes, more than %d: it is not of an agent of ours", len(raw), MaxLine)
	}
	var printed lineJSON
	if err := decode(raw, &printed); err != nil {
		return Line{}, fmt.Errorf("agent line is not one JSON object of the agreed fields: %w", err)
	}
	line, err := printed.line()
	if err == nil {
		err = line.check()
	}
	if err != nil {
		return Line{}, fmt.Errorf("agent line %d: %w", line.Seq, err)
	}
	return line, nil
}

func (l Line) check() error {
	switch {
	case l.Seq == 0:
		return errors.New("has no sequence number")
	case l.From.IsZero() || l.To.Before(l.From):
		return fmt.Errorf("its window from %v to %v is none", l.From, l.To)
	case len(l.Counts) > MaxChecks:
		return fmt.Errorf("counts %d checks, more than %d", len(l.Counts), MaxChecks)
	case len(l.Counts) > 0 && l.Digest == "":
		return errors.New("counts attempts of no plan")
	}
	if err := errors.Join(short(MaxID, l.Agent, l.Boot, l.Digest), short(MaxError, l.Error)); err != nil {
		return err
	}
	seen := make(map[string]bool, len(l.Counts))
	for _, c := range l.Counts {
		if seen[c.ID] {
			return fmt.Errorf("counts check %q twice", c.ID)
		}
		seen[c.ID] = true
		if err := c.check(); err != nil {
			return fmt.Errorf("check %q: %w", c.ID, err)
		}
	}
	return nil
}

func (c Count) check() error {
	switch {
	case c.ID == "":
		return errors.New("has no ID")
	case len(c.Outcomes) == 0:
		return errors.New("is counted and was not tried")
	case !slices.Contains(outcomes, c.Last):
		return fmt.Errorf("outcome %.20q does not exist", string(c.Last))
	case c.Streak < 1 || c.Streak > maxAttempts:
		return fmt.Errorf("a streak of %d is none", c.Streak)
	case c.Since.IsZero() || c.Newest.Before(c.Since):
		return fmt.Errorf("its streak from %v to %v is none", c.Since, c.Newest)
	case c.Status < 0 || c.Status > 999:
		return fmt.Errorf("status %d does not exist", c.Status)
	}
	for outcome, n := range c.Outcomes {
		if !slices.Contains(outcomes, outcome) {
			return fmt.Errorf("outcome %.20q does not exist", string(outcome))
		}
		if n < 1 || n > maxAttempts {
			return fmt.Errorf("%d attempts ended %q", n, string(outcome))
		}
	}
	return errors.Join(short(MaxID, c.ID), short(MaxDetail, c.Detail))
}
