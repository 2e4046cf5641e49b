package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Looks and counts are written by columns: neighbours in a column are alike, so that
// they pack to a fraction of what rows take. A column of zeros is left out.
type column []int64

func columnOf(n int, at func(int) int64) column {
	out, any := make(column, n), false
	for i := range out {
		out[i] = at(i)
		any = any || out[i] != 0
	}
	if !any {
		return nil
	}
	return out
}

func (c column) at(i int) int64 {
	if c == nil {
		return 0
	}
	return c[i]
}

// steps are the differences between neighbours, and sums the reverse.
func (c column) steps() column {
	last := int64(0)
	return columnOf(len(c), func(i int) int64 { d := c.at(i) - last; last = c.at(i); return d })
}

func (c column) sums() column {
	last := int64(0)
	return columnOf(len(c), func(i int) int64 { last += c[i]; return last })
}

// errColumns says that columns are not those of one table.
var errColumns = errors.New("its columns do not fit together: it is not of a controller of ours")

func fit(n int, all ...column) error {
	if n < 0 || n > maxChecks {
		return fmt.Errorf("%d checks: %w", n, errColumns)
	}
	for _, c := range all {
		if c != nil && len(c) != n {
			return errColumns
		}
	}
	return nil
}

// words are texts, each written once. The first is the empty one.
type words struct {
	List []string
	at   map[string]int64
}

func (w *words) of(s string) int64 {
	if s == "" {
		return 0
	}
	if w.at == nil {
		w.at = map[string]int64{}
	}
	if w.at[s] == 0 {
		w.List = append(w.List, s)
		w.at[s] = int64(len(w.List))
	}
	return w.at[s]
}

// texts reads what words wrote.
type texts []string

func (t texts) at(i int64) (string, error) {
	if i == 0 {
		return "", nil
	}
	if i < 0 || i > int64(len(t)) {
		return "", errColumns
	}
	return t[i-1], nil
}

type lookJSON struct {
	Scope   rollout.Scope `json:"scope"`
	Settled bool          `json:"settled,omitempty"`
	Unseen  bool          `json:"unseen,omitempty"`
	Whole   bool          `json:"whole,omitempty"`
	Place   string        `json:"place,omitempty"`
	Name    string        `json:"name,omitempty"`
	Confirm int           `json:"confirm"`
	Checks  int           `json:"checks"`
	Words   []string      `json:"words,omitempty"`
	Blames  []*Blame      `json:"blames,omitempty"`
	Share   []float64     `json:"share,omitempty"`

	Row       column `json:"row,omitempty"` // differences
	Agent     column `json:"agent,omitempty"`
	Last      column `json:"last,omitempty"`
	Streak    column `json:"streak,omitempty"`
	Mark      column `json:"mark,omitempty"` // Streak less StreakSinceMark
	Connected column `json:"connected,omitempty"`
	Blocked   column `json:"blocked,omitempty"`
	Stopped   column `json:"stopped,omitempty"` // Blocked less Stopped
	Flags     column `json:"flags,omitempty"`
	Open      column `json:"open,omitempty"`
	Part      column `json:"part,omitempty"`
	Poor      column `json:"poor,omitempty"`
	Gone      column `json:"gone,omitempty"`
	Blame     column `json:"blame,omitempty"`
}

// MarshalJSON writes what UnmarshalJSON reads.
func (l Look) MarshalJSON() ([]byte, error) {
	n, w := len(l.Checks), &words{}
	col := func(get func(*Check) int64) column {
		return columnOf(n, func(i int) int64 { return get(&l.Checks[i]) })
	}
	word := func(get func(*Check) string) column {
		return col(func(c *Check) int64 { return w.of(get(c)) })
	}
	out := lookJSON{Scope: l.Scope, Settled: l.Settled, Unseen: l.Unseen, Whole: l.Whole, Place: l.Place, Name: l.Name, Confirm: l.Confirm, Checks: n,
		Row:       col(func(c *Check) int64 { return int64(c.Row) }).steps(),
		Agent:     word(func(c *Check) string { return c.Agent }),
		Last:      word(func(c *Check) string { return string(c.Last) }),
		Streak:    col(func(c *Check) int64 { return int64(c.Streak) }),
		Mark:      col(func(c *Check) int64 { return int64(c.Streak - c.StreakSinceMark) }),
		Connected: col(func(c *Check) int64 { return c.Connected }),
		Blocked:   col(func(c *Check) int64 { return c.Blocked }),
		Stopped:   col(func(c *Check) int64 { return c.Blocked - c.Stopped }),
		Flags:     col(func(c *Check) int64 { return int64(c.Flags) }),
		Open:      word(func(c *Check) string { return c.Open }),
		Part:      word(func(c *Check) string { return c.Part }),
		Poor:      word(func(c *Check) string { return c.Poor }),
		Gone:      word(func(c *Check) string { return c.Gone }),
	}
	out.Blame = col(func(c *Check) int64 {
		if c.Blame == nil {
			return 0
		}
		out.Blames = append(out.Blames, c.Blame)
		return int64(len(out.Blames))
	})
	for i := range l.Checks {
		if share := l.Checks[i].Share; share != 0 {
			if out.Share == nil {
				out.Share = make([]float64, n)
			}
			out.Share[i] = share
		}
	}
	out.Words = w.List
	return json.Marshal(out)
}

// UnmarshalJSON reads a look.
func (l *Look) UnmarshalJSON(raw []byte) error {
	var in lookJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	if err := fit(in.Checks, in.Row, in.Agent, in.Last, in.Streak, in.Mark, in.Connected, in.Blocked, in.Stopped, in.Flags, in.Open, in.Part, in.Poor, in.Gone, in.Blame); err != nil {
		return fmt.Errorf("look: %w", err)
	}
	if in.Share != nil && len(in.Share) != in.Checks {
		return fmt.Errorf("look: %w", errColumns)
	}
	*l = Look{Scope: in.Scope, Settled: in.Settled, Unseen: in.Unseen, Whole: in.Whole, Place: in.Place, Name: in.Name, Confirm: in.Confirm}
	rows, t := in.Row.sums(), texts(in.Words)
	for i := range in.Checks {
		c := Check{Row: int(rows.at(i)), Streak: int(in.Streak.at(i)), Connected: in.Connected.at(i), Blocked: in.Blocked.at(i), Flags: Flags(in.Flags.at(i))}
		c.StreakSinceMark, c.Stopped = c.Streak-int(in.Mark.at(i)), c.Blocked-in.Stopped.at(i)
		var errs [6]error
		c.Agent, errs[0] = t.at(in.Agent.at(i))
		last, err := t.at(in.Last.at(i))
		c.Last, errs[1] = probes.Outcome(last), err
		c.Open, errs[2] = t.at(in.Open.at(i))
		c.Part, errs[3] = t.at(in.Part.at(i))
		c.Poor, errs[4] = t.at(in.Poor.at(i))
		c.Gone, errs[5] = t.at(in.Gone.at(i))
		if err := errors.Join(errs[:]...); err != nil {
			return fmt.Errorf("look, check %d: %w", i, err)
		}
		switch b := in.Blame.at(i); {
		case b < 0 || b > int64(len(in.Blames)):
			return fmt.Errorf("look, check %d: %w", i, errColumns)
		case b > 0:
			c.Blame = in.Blames[b-1]
		}
		if in.Share != nil {
			c.Share = in.Share[i]
		}
		l.Checks = append(l.Checks, c)
	}
	return nil
}

type countsJSON struct {
	Rows     int        `json:"rows"`
	End      int64      `json:"end"` // what times count back from, in milliseconds since 1970
	Agents   []string   `json:"agents,omitempty"`
	Row      column     `json:"row,omitempty"` // differences
	Agent    column     `json:"agent,omitempty"`
	Attempts column     `json:"attempts,omitempty"`
	Failures column     `json:"failures,omitempty"`
	Last     column     `json:"last,omitempty"`
	First    [][2]int64 `json:"first,omitempty"` // place in the columns, and time
}

// MarshalJSON writes what UnmarshalJSON reads.
func (c Counts) MarshalJSON() ([]byte, error) {
	n, w := len(c.Rows), &words{}
	col := func(get func(*Count) int64) column {
		return columnOf(n, func(i int) int64 { return get(&c.Rows[i]) })
	}
	out := countsJSON{Rows: n}
	for i := range c.Rows {
		out.End = max(out.End, c.Rows[i].Last.UnixMilli())
	}
	out.Row = col(func(x *Count) int64 { return int64(x.Row) }).steps()
	out.Agent = col(func(x *Count) int64 { return w.of(x.Agent) })
	out.Attempts = col(func(x *Count) int64 { return x.Attempts })
	out.Failures = col(func(x *Count) int64 { return x.Failures })
	out.Last = col(func(x *Count) int64 { return out.End - x.Last.UnixMilli() })
	for i, x := range c.Rows {
		if !x.First.IsZero() {
			out.First = append(out.First, [2]int64{int64(i), out.End - x.First.UnixMilli()})
		}
	}
	out.Agents = w.List
	return json.Marshal(out)
}

// UnmarshalJSON reads counts.
func (c *Counts) UnmarshalJSON(raw []byte) error {
	var in countsJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	if err := fit(in.Rows, in.Row, in.Agent, in.Attempts, in.Failures, in.Last); err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	rows, out := in.Row.sums(), make([]Count, in.Rows)
	for i := range out {
		agent, err := texts(in.Agents).at(in.Agent.at(i))
		if err != nil {
			return fmt.Errorf("counts: %w", err)
		}
		out[i] = Count{Row: int(rows.at(i)), Agent: agent, Attempts: in.Attempts.at(i), Failures: in.Failures.at(i), Last: time.UnixMilli(in.End - in.Last.at(i)).UTC()}
	}
	for _, f := range in.First {
		if f[0] < 0 || f[0] >= int64(in.Rows) {
			return fmt.Errorf("counts: %w", errColumns)
		}
		out[f[0]].First = time.UnixMilli(in.End - f[1]).UTC()
	}
	c.Rows = out
	return nil
}
