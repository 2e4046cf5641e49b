package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// reporter writes lines: numbered, bounded, paced.
type reporter struct {
	out    io.Writer
	origin time.Time
	pace   pace
	seq    uint64
	to     time.Time // end of the last line's window
	agent  string
	digest string
	failed string  // why the newest plan was not taken on
	needs  urgency // of the most urgent thing that has not been printed
}

func newReporter(out io.Writer, now time.Time) *reporter {
	return &reporter{out: out, origin: now, pace: newPace(now), to: now}
}

// stamp is a time as printed. It follows the monotonic clock from the agent's
// start, so a wall clock that is set in between bends no window.
func (r *reporter) stamp(t time.Time) time.Time {
	return r.origin.Add(t.Sub(r.origin)).Round(0).UTC().Truncate(time.Microsecond)
}

// next is when the next line is due.
func (r *reporter) next() time.Time { return r.pace.next(r.needs) }

// write prints one line about as many tracks as it holds: the most urgent first,
// then those that waited longest. It reports whether some had to wait.
func (r *reporter) write(now time.Time, tracks []*track) (more bool, err error) {
	waiting := slices.DeleteFunc(slices.Clone(tracks), func(t *track) bool { return t.urgency == idle })
	slices.SortStableFunc(waiting, func(a, b *track) int {
		return cmp.Or(cmp.Compare(b.urgency, a.urgency), a.from.Compare(b.from))
	})
	r.seq++
	line := probes.Line{
		Agent: r.agent, Seq: r.seq, Digest: r.digest, Error: r.failed,
		From: r.stamp(r.to), To: r.stamp(now),
	}
	size := sizeOf(line) + len(`,"counts":[]`) + len("\n")
	said := 0
	for _, t := range waiting {
		count := t.count(r.stamp)
		if size += sizeOf(count) + len(","); size > probes.MaxLine {
			break
		}
		if from := r.stamp(t.from); from.Before(line.From) {
			line.From = from
		}
		line.Counts = append(line.Counts, count)
		said++
	}
	raw, err := json.Marshal(line)
	if err == nil {
		_, err = r.out.Write(append(raw, '\n'))
	}
	if err != nil {
		return false, fmt.Errorf("agent line %d: %w", r.seq, err)
	}
	r.pace.take(now)
	r.to, r.needs = now, idle
	for i, t := range waiting {
		if i < said {
			t.reported(now)
		}
		r.needs = max(r.needs, t.urgency)
	}
	return said < len(waiting), nil
}

func sizeOf(v any) int {
	raw, err := json.Marshal(v)
	if err != nil {
		return probes.MaxLine // cannot be: neither lines nor counts hold anything that has no JSON
	}
	return len(raw)
}

// failure makes a text fit for Line.Error.
func failure(err error) string {
	s := strings.ToValidUTF8(err.Error(), "?")
	if len(s) > probes.MaxError {
		s = strings.ToValidUTF8(s[:probes.MaxError], "")
	}
	return s
}
