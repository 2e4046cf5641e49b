package agent

import (
	"container/heap"
	"hash/fnv"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// appointment is an attempt to make: the regular one of a check, or the next of
// its burst.
type appointment struct {
	at       time.Time
	track    *track
	confirms bool
}

// schedule holds appointments, the earliest first. The zero schedule is empty.
type schedule struct{ q appointments }

func (s *schedule) add(a appointment) { heap.Push(&s.q, a) }

// next is when the earliest appointment is; false if there is none.
func (s *schedule) next() (time.Time, bool) {
	if len(s.q) == 0 {
		return time.Time{}, false
	}
	return s.q[0].at, true
}

// take removes the earliest appointment if its time has come.
func (s *schedule) take(now time.Time) (appointment, bool) {
	if len(s.q) == 0 || s.q[0].at.After(now) {
		return appointment{}, false
	}
	return heap.Pop(&s.q).(appointment), true
}

// offset is where in the interval a check of a plan has its place. Checks start in
// groups, so that an agent wakes a few times in an interval and not once for each;
// neighbours in the plan, which often have the same target, are in different groups.
// The agent's name moves all of its groups, so that agents whose plans come at the
// same time do not start theirs together.
func offset(p probes.Plan, check int) time.Duration {
	many := max(groups, int(p.Interval/groupWidth))
	group := check % many
	if len(p.Checks) < many {
		group = check * many / len(p.Checks)
	}
	width := p.Interval / time.Duration(many)
	name := fnv.New32a()
	_, _ = name.Write([]byte(p.Agent)) // never fails
	phase := width * time.Duration(name.Sum32()%1024) / 1024
	return time.Duration(group)*width + phase
}

// after is the next moment of a regular appointment, and how many were missed:
// an agent that was asleep or had no slot free skips them and keeps its place in
// the interval.
func after(at, now time.Time, interval time.Duration) (time.Time, int) {
	missed := max(0, now.Sub(at)/interval)
	return at.Add((missed + 1) * interval), int(missed)
}

type appointments []appointment

func (q appointments) Len() int           { return len(q) }
func (q appointments) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q appointments) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *appointments) Push(x any)        { *q = append(*q, x.(appointment)) }
func (q *appointments) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = appointment{}
	*q = (*q)[:last]
	return a
}
