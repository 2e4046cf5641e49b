package probes

import (
	"encoding/json"
	"fmt"
	"time"
)

// lineJSON is a Line as it is printed: short, because a cluster's logs hold many.
type lineJSON struct {
	Agent  string      `json:"agent"`
	Boot   string      `json:"boot,omitempty"`
	Seq    uint64      `json:"seq"`
	Digest string      `json:"digest"`
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to"`
	Error  string      `json:"error,omitempty"`
	Counts []countJSON `json:"counts,omitempty"`
}

// countJSON is a Count as it is printed. Times are microseconds before the line's end.
type countJSON struct {
	ID     string          `json:"id"`
	Ended  map[Outcome]int `json:"ended"`
	Last   *Outcome        `json:"last,omitempty"` // absent: the only one in ended
	Streak int             `json:"streak"`
	Since  int64           `json:"since"`
	Newest int64           `json:"newest"`
	Status int             `json:"status,omitempty"`
	Detail string          `json:"detail,omitempty"`
}

// longestAgo is how long before its line a time may be, in microseconds: ten years.
const longestAgo = 10 * 365 * 24 * 3600 * 1_000_000

func (c Count) json(end time.Time) countJSON {
	out := countJSON{
		ID: c.ID, Ended: c.Outcomes, Streak: c.Streak, Status: c.Status, Detail: c.Detail,
		Since: end.Sub(c.Since).Microseconds(), Newest: end.Sub(c.Newest).Microseconds(),
	}
	if _, told := c.Outcomes[c.Last]; !told || len(c.Outcomes) > 1 {
		out.Last = &c.Last
	}
	return out
}

// MarshalJSON writes what ParseLine reads.
func (l Line) MarshalJSON() ([]byte, error) {
	out := lineJSON{Agent: l.Agent, Boot: l.Boot, Seq: l.Seq, Digest: l.Digest, From: l.From, To: l.To, Error: l.Error}
	for _, c := range l.Counts {
		out.Counts = append(out.Counts, c.json(l.To))
	}
	return json.Marshal(out)
}

// Size is how many bytes the line takes without its counts, but with their brackets.
func (l Line) Size() int {
	l.Counts = nil
	return sizeOf(l) + len(`,"counts":[]`)
}

// Size is how many bytes the count takes in a line that ends then.
func (c Count) Size(end time.Time) int { return sizeOf(c.json(end)) }

func sizeOf(v any) int {
	raw, err := json.Marshal(v)
	if err != nil {
		return MaxLine // a time beyond the year 9999: it does not fit
	}
	return len(raw)
}

// line is what was printed; an error if it has times that no agent prints.
func (l lineJSON) line() (Line, error) {
	out := Line{Agent: l.Agent, Boot: l.Boot, Seq: l.Seq, Digest: l.Digest, From: l.From, To: l.To, Error: l.Error}
	for _, c := range l.Counts {
		if c.Newest < 0 || c.Since < c.Newest || c.Since > longestAgo {
			return out, fmt.Errorf("check %.60q: a streak from %d to %d µs before the line is none", c.ID, c.Since, c.Newest)
		}
		count := Count{ID: c.ID, Outcomes: c.Ended, Streak: c.Streak, Status: c.Status, Detail: c.Detail}
		count.Since, count.Newest = ago(l.To, c.Since), ago(l.To, c.Newest)
		switch {
		case c.Last != nil:
			count.Last = *c.Last
		case len(c.Ended) != 1:
			return out, fmt.Errorf("check %.60q does not say how its last attempt ended", c.ID)
		}
		if c.Last == nil {
			for only := range c.Ended {
				count.Last = only
			}
		}
		out.Counts = append(out.Counts, count)
	}
	return out, nil
}

func ago(end time.Time, microseconds int64) time.Time {
	return end.Add(-time.Duration(microseconds) * time.Microsecond)
}
