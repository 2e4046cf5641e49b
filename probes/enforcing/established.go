package enforcing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/probes"
)

// Fate is what becomes of a connection that is open when a policy comes to deny it.
// The zero value is that nobody knows.
type Fate string

// The fates.
const (
	Survived Fate = "Survive"
	Cut      Fate = "Cut"
)

const (
	// watched is how long open connections are watched once new ones are denied.
	watched = 5 * time.Second
	// silent is how long a connection that nothing is heard over is not yet cut: its pod
	// gives it up after 3 s, and until then one packet that is sent anew may bring it back.
	silent = 3500 * time.Millisecond
	// opened is how long it may take to open them.
	opened = 5 * time.Second
)

// undenied is the connection that no policy denies: if it breaks, too, nothing is
// known of the others.
var undenied = Pair{Node: "any", Direction: "None"}

// Established is what became of the connections that were open. The zero value is
// that nothing is known.
type Established struct {
	Fates map[Pair]Fate
	After map[Pair]time.Duration // of those that were cut: from the acknowledged write on
	Why   string                 // some are not known; empty: all are
}

// Watched is how long a connection was seen to live on that is said to survive.
func (Established) Watched() time.Duration { return watched }

// All is the fate of all connections, "Mixed" if two differ, whatever the others do;
// empty: of some it is not known.
func (e Established) All() Fate {
	fates := map[Fate]bool{}
	for _, f := range e.Fates {
		fates[f] = true
	}
	switch {
	case fates[Cut] && fates[Survived]:
		return "Mixed"
	case e.Why != "" || fates[""] || len(fates) == 0:
		return ""
	}
	return slices.Collect(maps.Keys(fates))[0]
}

// Established denies once more, and watches connections over which data goes both
// ways, one for each pair, that were open before. The bench must have been made with
// Streams, and must be in the state in which nothing is denied.
func (b *Bench) Established(ctx context.Context) (Established, error) {
	b.set.Mark(time.Now())
	numbers, waiting, err := b.openStreams(ctx)
	if err != nil || waiting != "" {
		return Established{Why: waiting}, err
	}
	written := time.Now()
	added, err := b.deny(ctx)
	if err != nil {
		return Established{}, err
	}
	var e Established
	if len(added.Late) > 0 {
		e.Why = "new connections were not denied for " + names(added.Late)
	} else if e, err = b.watch(ctx, written, numbers); err != nil {
		return e, err
	}
	_, err = b.allow(ctx)
	return e, err
}

// openStreams waits until data goes over every connection, and says which is which;
// waiting: why one could not be opened.
func (b *Bench) openStreams(ctx context.Context) (numbers map[Pair]int, waiting string, err error) {
	deadline := time.After(opened)
	for {
		numbers = map[Pair]int{}
		for pair, at := range b.streams {
			if st, ok := b.set.State(at.agent, at.id); ok && st.ShowsAllow() {
				numbers[pair] = st.Status
			}
		}
		if len(numbers) == len(b.streams) && len(numbers) > 0 {
			return numbers, "", nil
		}
		select {
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		case <-deadline:
			return nil, fmt.Sprintf("%d of %d connections could not be kept open while no policy was there", len(b.streams)-len(numbers), len(b.streams)), nil
		case <-time.After(look):
		}
	}
}

// watch looks at the connections for a while, and longer while it is open whether one
// that fell silent comes back.
func (b *Bench) watch(ctx context.Context, written time.Time, numbers map[Pair]int) (Established, error) {
	e := Established{Fates: map[Pair]Fate{}, After: map[Pair]time.Duration{}}
	began := time.Now()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			return e, context.Cause(ctx)
		case <-time.After(look):
		}
		states, open := map[Pair]probes.CheckState{}, false
		for pair, at := range b.streams {
			states[pair], _ = b.set.State(at.agent, at.id)
			open = open || falters(states[pair])
		}
		over = time.Since(began) > watched && !open || time.Since(began) > watched+silent
		for pair, st := range states {
			e.see(pair, st, numbers[pair], written, began, over)
		}
	}
	e.conclude(len(numbers))
	return e, nil
}

// falters reports whether a connection fell silent so lately that it may come back.
func falters(st probes.CheckState) bool {
	return st.Last.Blocked() && st.Newest.Sub(st.StreakSince) < silent
}

// see notes what a stream shows: began is since when new connections are denied, over
// that this is the last look. A connection is cut if another was opened in its place, or
// if in the end it has been silent for long. One over which something is heard again has
// survived.
func (e *Established) see(pair Pair, st probes.CheckState, number int, written, began time.Time, over bool) {
	another := st.Status != 0 && st.Status != number && st.Last.Connected()
	switch {
	case e.Fates[pair] == Cut:
	case another, over && st.ShowsDeny() && !falters(st):
		e.Fates[pair], e.After[pair] = Cut, max(0, st.StreakBegan().Sub(written))
	case over && st.ShowsAllow() && st.Status == number && st.LastReceived.Sub(began) > watched/2:
		e.Fates[pair] = Survived
	}
}

// conclude leaves the connection out that no policy denied. All of what was seen
// rests on that it lived on.
func (e *Established) conclude(connections int) {
	control, surely := e.Fates[undenied], len(e.After)
	delete(e.Fates, undenied)
	delete(e.After, undenied)
	switch {
	case control == Cut:
		*e = Established{Why: "a connection that no policy denied broke as well"}
	case len(e.Fates) < connections-1:
		e.Why = fmt.Sprintf("of %d of %d connections nothing was heard in time", connections-1-len(e.Fates), connections-1)
	case control == "" && surely < connections-1:
		*e = Established{Why: "of the connection that no policy denied nothing was heard in time"}
	}
}

// FateOf is what became of the connections of a direction, "Mixed" if they differ;
// empty: not known.
func (e Established) FateOf(direction networkingv1.PolicyType) Fate {
	part := Established{Why: e.Why, Fates: map[Pair]Fate{}}
	for pair, fate := range e.Fates {
		if pair.Direction == direction {
			part.Fates[pair] = fate
		}
	}
	return part.All()
}
