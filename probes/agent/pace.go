package agent

import "time"

// The rate of lines, per agent.
const (
	linesPerSecond = 4
	lineBurst      = 4
	routineEvery   = time.Second / linesPerSecond
	heartbeatEvery = time.Second
)

// pace is a bucket that fills with four lines a second and holds four. Routine
// leaves one in it, so that a burst which ends finds one. The zero pace is empty.
type pace struct {
	lines float64
	at    time.Time // when lines was so many
	last  time.Time // when the last line was written
}

// quietAt is how often what agrees with what is known is told, at that interval
// between attempts: in time for four of them, and for whoever takes a second of
// silence for silence.
func quietAt(interval time.Duration) time.Duration {
	return max(routineEvery, min(4*interval, heartbeatEvery))
}

func newPace(now time.Time) pace { return pace{lines: lineBurst, at: now, last: now} }

// next is when a line may be written about something that is so urgent. What is
// quiet has a line at quietDue, if there is no other.
func (p *pace) next(u urgency, quietDue time.Time) time.Time {
	switch u {
	case urgent:
		return p.filled(1)
	case progress:
		return p.filled(2)
	case routine:
		return latest(p.last.Add(routineEvery), p.filled(2))
	}
	if heartbeat := p.last.Add(heartbeatEvery); u == idle || heartbeat.Before(quietDue) {
		return latest(heartbeat, p.filled(1))
	}
	return latest(quietDue, p.filled(2))
}

// filled is when the bucket holds, or held, so many lines.
func (p *pace) filled(lines float64) time.Time {
	if p.lines >= lines {
		return p.at
	}
	// Rounded up, or the moment itself would come out a hair too early for ever.
	return p.at.Add(time.Duration((lines-p.lines)/linesPerSecond*float64(time.Second)) + time.Microsecond)
}

// take notes a line written at now.
func (p *pace) take(now time.Time) {
	p.lines = min(lineBurst, p.lines+now.Sub(p.at).Seconds()*linesPerSecond) - 1
	p.at, p.last = now, now
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
