package dial

import (
	"context"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// Who watches an attempt says of it what Try says when its time is over.
func TestWhoWatchesAnAttemptSaysWhatTrySays(t *testing.T) {
	mute := serveUDP(t, func([]byte) [][]byte { return nil })
	named := func(c probes.Check) probes.Check { c.Host = "known."; return c }
	for name, tt := range map[string]struct {
		check      probes.Check
		nameServer int32
		want       probes.Outcome
	}{
		"a name server is silent":            {named(check("TCP", "TCP", serve(t, silence))), mute, probes.DNSFailure},
		"HTTP by name: the target is":        {named(check("HTTP", "TCP", serve(t, silence))), 0, probes.Reached},
		"HTTP by address":                    {check("HTTP", "TCP", serve(t, silence)), 0, probes.Reached},
		"DNS over TCP":                       {check("DNS", "TCP", serve(t, silence)), 0, probes.Reached},
		"DNS over UDP":                       {check("DNS", "UDP", mute), 0, probes.TimedOut},
		"DNS over UDP, by name":              {named(check("DNS", "UDP", mute)), 0, probes.TimedOut},
		"a connect that nobody answers":      {check("TCP", "TCP", blackhole(t)), 0, probes.TimedOut},
		"a connect by name, and nobody does": {named(check("TCP", "TCP", blackhole(t))), 0, probes.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			at := tt.nameServer
			if at == 0 {
				at = serveUDP(t, func(q []byte) [][]byte { return [][]byte{reply(q)} })
			}
			resolveAt(t, at)
			ctx, cancel := context.WithTimeout(t.Context(), haste)
			defer cancel()
			got := Try(ctx, tt.check)
			watched := watch(t, tt.check)
			if got.Outcome != tt.want || watched.Outcome != tt.want || (got.Detail == silent) != (watched.Detail == silent) {
				t.Errorf("Try says %+v, who watches %+v, want %s", got, watched, tt.want)
			}
		})
	}
}

// watch is an attempt whose time runs out under the eyes of its owner.
func watch(t *testing.T, c probes.Check) Result {
	t.Helper()
	network := newNetwork(t)
	attempt := network.Start(c, func(r Result) { t.Errorf("it ended by itself: %+v", r) })
	for over := time.After(haste); ; network.Work() {
		select {
		case <-over:
			return attempt.OutOfTime()
		case <-network.Ready():
		}
	}
}
