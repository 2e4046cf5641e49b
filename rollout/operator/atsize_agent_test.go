package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

const (
	// quietBeat is how often an agent speaks of checks that go on as before.
	quietBeat = time.Second
	// busyBeat is the same soon after a change.
	busyBeat = 250 * time.Millisecond
	// burst is how many attempts an agent has made when it tells of a change.
	burst = 40
)

// quietAgent speaks as probes/agent does: once a second of checks that go on as
// before, at once of a change, which it confirmed with a burst.
type quietAgent struct {
	fakeAgent
	kubelets *kubelets
	run      string
	boot     string
	from     time.Time
	changed  time.Time // the newest change
}

func (a *quietAgent) serve(ctx context.Context) error {
	news, stop := a.kubelets.hear(a.run)
	defer stop()
	a.from = time.Now().UTC().Truncate(time.Microsecond)
	for beat := time.NewTimer(0); ; {
		due := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-beat.C:
			due = true
		}
		if err := a.turn(due); err != nil {
			return err
		}
		if every := quietBeat; due {
			if time.Since(a.changed) < quietBeat {
				every = busyBeat
			}
			beat.Reset(every)
		}
	}
}

// turn tries every check, and speaks if that is due or something changed.
func (a *quietAgent) turn(due bool) error {
	me, err := a.plane.pods.Pods(a.pod.Namespace).Get(a.pod.Name)
	if err != nil {
		return io.EOF // deleted: its log ends
	}
	cm, err := a.plane.plans.ConfigMaps(a.pod.Namespace).Get(a.pod.Name)
	if err != nil || me.Status.PodIP == "" {
		return nil
	}
	if a.version != cm.ResourceVersion {
		plan, err := probes.ParsePlan([]byte(cm.Data[pods.PlanKey]))
		if err != nil {
			return fmt.Errorf("agent %s: %w", a.pod, err)
		}
		due = due || plan.Digest() != a.plan.Digest()
		a.plan, a.version = plan, cm.ResourceVersion
	}
	now := time.Now().UTC().Truncate(time.Microsecond) // as agents stamp: a line tells times in microseconds before its end
	outcomes := make([]probes.Outcome, len(a.plan.Checks))
	for i, c := range a.plan.Checks {
		outcomes[i] = a.plane.attempt(me, c, int(a.seq))
		if n := a.last[c.ID]; n != nil && n.Last.Connected() != outcomes[i].Connected() {
			due, a.changed = true, now
		}
	}
	if !due || len(outcomes) == 0 {
		return nil
	}
	return a.say(outcomes, now)
}

func (a *quietAgent) say(outcomes []probes.Outcome, now time.Time) error {
	a.seq++
	line := probes.Line{Agent: a.plan.Agent, Boot: a.boot, Seq: a.seq, Digest: a.plan.Digest(), From: a.from, To: now}
	flipped := map[string]bool{}
	for i, c := range a.plan.Checks {
		n := a.last[c.ID]
		tries := max(1, int(now.Sub(a.from)/a.plan.Interval))
		if n == nil || n.Last.Connected() != outcomes[i].Connected() {
			flipped[c.ID] = outcomes[i].Connected()
			tries = burst
			n = &probes.Count{ID: c.ID, Since: a.from}
			a.last[c.ID] = n
		}
		n.Last, n.Newest = outcomes[i], now
		n.Streak += tries
		n.Outcomes = map[probes.Outcome]int{outcomes[i]: tries}
		line.Counts = append(line.Counts, *n)
	}
	a.from = now
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	for check, connected := range flipped {
		a.kubelets.react(a.run, check, connected)
	}
	_, err = a.out.Write(append(raw, '\n'))
	a.kubelets.lines.Add(1)
	return err
}
