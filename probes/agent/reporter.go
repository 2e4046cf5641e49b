package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// reporter writes lines: numbered, bounded, paced.
type reporter struct {
	out    io.Writer
	origin time.Time
	boot   string // of this process
	pace   pace
	seq    uint64
	to     time.Time // end of the last line's window
	agent  string
	digest string
	failed string  // why the newest plan was not taken on
	needs  urgency // of the most urgent thing that has not been printed

	quietEvery time.Duration // between two reports of a check that tell nothing new
	oldest     time.Time     // when the check was told of that has waited longest
}

func newReporter(out io.Writer, now time.Time) *reporter {
	return &reporter{out: out, boot: fmt.Sprintf("%08x", rand.Uint32()), origin: now, pace: newPace(now), to: now, oldest: now}
}

// stamp is a time as printed. It follows the monotonic clock from the agent's
// start, so a wall clock that is set in between bends no window.
func (r *reporter) stamp(t time.Time) time.Time {
	return r.origin.Add(t.Sub(r.origin)).Round(0).UTC().Truncate(time.Microsecond)
}

// next is when the next line is due.
func (r *reporter) next() time.Time { return r.pace.next(r.needs, r.oldest.Add(r.quietEvery)) }

// due are the tracks that a line at now speaks of. What is quiet waits for its turn
// though others are told of, or one failing check would repeat them all; when the
// turn of one has come, those follow whose turn is near, so that all share a line.
func (r *reporter) due(tracks []*track, now time.Time) []*track {
	age := r.quietEvery
	if now.Sub(r.oldest) >= age {
		age /= 2
	}
	return slices.DeleteFunc(slices.Clone(tracks), func(t *track) bool {
		return t.urgency == idle || t.urgency == quiet && now.Sub(t.from) < age
	})
}

// write prints one line about as many tracks as it holds: the most urgent first,
// then those that waited longest. It reports whether some had to wait.
func (r *reporter) write(now time.Time, tracks []*track) (more bool, err error) {
	return r.print(now, tracks, r.due(tracks, now))
}

// last prints a line about whatever has not been told yet.
func (r *reporter) last(now time.Time, tracks []*track) (more bool, err error) {
	return r.print(now, tracks, slices.DeleteFunc(slices.Clone(tracks), func(t *track) bool { return t.urgency == idle }))
}

func (r *reporter) print(now time.Time, tracks, waiting []*track) (more bool, err error) {
	slices.SortStableFunc(waiting, func(a, b *track) int {
		return cmp.Or(cmp.Compare(b.urgency, a.urgency), a.from.Compare(b.from))
	})
	line := r.fill(now, waiting)
	raw, err := json.Marshal(line)
	if err == nil {
		_, err = r.out.Write(append(raw, '\n'))
	}
	if err != nil {
		return false, fmt.Errorf("agent line %d: %w", r.seq, err)
	}
	r.pace.take(now)
	said := len(line.Counts)
	for i, t := range waiting {
		if i < said {
			t.reported(now)
		} else {
			t.urgency = max(t.urgency, routine) // no place: the next line shall not be far
		}
	}
	r.to, r.needs, r.oldest = now, idle, now
	for _, t := range tracks {
		r.needs = max(r.needs, t.urgency)
		if t.from.Before(r.oldest) {
			r.oldest = t.from
		}
	}
	return said < len(waiting), nil
}

// fill makes the next line about as many tracks as it holds, the first first.
func (r *reporter) fill(now time.Time, tracks []*track) probes.Line {
	r.seq++
	line := probes.Line{
		Agent: r.agent, Boot: r.boot, Seq: r.seq, Digest: r.digest, Error: r.failed,
		From: r.stamp(r.to), To: r.stamp(now),
	}
	size := line.Size() + len("\n")
	for _, t := range tracks {
		count := t.count(r.stamp)
		if size += count.Size(line.To) + len(","); size > probes.MaxLine {
			break
		}
		if from := r.stamp(t.from); from.Before(line.From) {
			line.From = from
		}
		line.Counts = append(line.Counts, count)
	}
	return line
}

// failure makes a text fit for Line.Error, and detail for Count.Detail.
func failure(err error) string { return bounded(err, probes.MaxError) }
func detail(err error) string  { return bounded(err, probes.MaxDetail) }

func bounded(err error, limit int) string {
	s := strings.ToValidUTF8(err.Error(), "?")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
