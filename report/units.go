package report

import (
	"fmt"
	"math"
	"time"
)

// unknown stands where a figure or a moment was not recorded.
const unknown = "–"

// millis writes a latency given in milliseconds; nil is a point never reached.
func millis(ms *float64) string {
	if ms == nil || math.IsNaN(*ms) || math.IsInf(*ms, 0) {
		return "not reached"
	}
	switch v := *ms; {
	case math.Abs(v) < 10:
		return fmt.Sprintf("%.1f ms", v)
	case math.Abs(v) < 1000:
		return fmt.Sprintf("%.0f ms", v)
	case math.Abs(v) < 60_000:
		return fmt.Sprintf("%.2f s", v/1000)
	default:
		return fmt.Sprintf("%.1f min", v/60_000)
	}
}

// duration writes how long something lasted, to about three digits.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return unknown
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// between writes the time from a to b, or that it is not known.
func between(a, b time.Time) string {
	if a.IsZero() || b.IsZero() {
		return unknown
	}
	return duration(b.Sub(a))
}

// date writes a moment in full, in UTC.
func date(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// clock writes the time of day in UTC, to the millisecond.
func clock(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.UTC().Format("15:04:05.000")
}

// clockUTC is clock with its zone, for where no heading names it.
func clockUTC(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return clock(t) + " UTC"
}

// count writes n things: "1 path", "24 paths".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if thing == "policy" {
		return fmt.Sprintf("%d policies", n)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
