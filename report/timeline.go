package report

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// maxTimelineMarks on a timeline; more would be a smear. The tables have them all.
const maxTimelineMarks = 12

// timeline is the run drawn to scale: places and widths are per cent of its length.
type timeline struct {
	Phases []lane
	Marks  []moment
	Lasted string
}

// lane is one phase.
type lane struct {
	Name, Scope, From, Lasted string
	Mark                      mark
	X, Width                  string
}

// moment is a cut or a leak.
type moment struct {
	X      string
	Anchor string // where its label may grow to: start, middle, end
	Label  string
	Tone   tone
}

// timelineOf lays the phases out. A phase that has no end lasts to the end of
// the run; a moment that is not known is left out rather than guessed.
func timelineOf(r *Report) timeline {
	start, end := span(r)
	place := func(t time.Time) float64 {
		if !end.After(start) {
			return 0
		}
		return min(100, max(0, 100*t.Sub(start).Seconds()/end.Sub(start).Seconds()))
	}
	line := timeline{Lasted: between(start, end)}
	for _, p := range r.Phases {
		l := lane{Name: p.Name, Scope: p.Scope, From: clockUTC(p.From), Lasted: between(p.From, p.To), Mark: phaseMark(p.Outcome)}
		to := p.To
		if to.IsZero() {
			to = end
		}
		if !p.From.IsZero() {
			x := min(place(p.From), 99.4)
			l.X, l.Width = cent(x), cent(max(0.6, place(to)-x)) // never too thin to see
		}
		line.Phases = append(line.Phases, l)
	}
	add := func(list []Cut, label string, c tone) {
		labelled := -100.0
		for _, e := range list {
			if e.At.IsZero() || len(line.Marks) == maxTimelineMarks {
				continue
			}
			x := place(e.At)
			m := moment{X: cent(x), Anchor: "middle", Label: label, Tone: c}
			if x < 8 {
				m.Anchor = "start"
			} else if x > 92 {
				m.Anchor = "end"
			}
			if math.Abs(x-labelled) < 8 {
				m.Label = "" // its neighbour's label would be under it
			} else {
				labelled = x
			}
			if !slices.Contains(line.Marks, m) {
				line.Marks = append(line.Marks, m)
			}
		}
	}
	add(r.Cuts, "✕ cut", bad)
	add(r.Leaks, "! leak", warn)
	return line
}

func cent(x float64) string { return fmt.Sprintf("%.2f%%", x) }

// span is from the first moment of the run to its last.
func span(r *Report) (start, end time.Time) {
	start, end = r.Started, r.Ended
	for _, p := range r.Phases {
		if !p.From.IsZero() && (start.IsZero() || p.From.Before(start)) {
			start = p.From
		}
		if p.To.After(end) {
			end = p.To
		}
	}
	return start, end
}
