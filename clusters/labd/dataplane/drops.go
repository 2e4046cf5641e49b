package dataplane

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

// maxFirstDrops is how many first drops are remembered, the newest.
const maxFirstDrops = 1024

// flow is a kind of connection: who asked whom, on which port.
type flow struct {
	From     netip.Addr `json:"from"`
	To       netip.Addr `json:"to"` // after Service translation
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"` // "TCP", "UDP", "SCTP", "ICMP", or "PROTO-" and its number
}

// FirstDrop is the first packet of a flow that a pod's policies dropped since
// they last changed here: the moment at which a policy broke the path.
type FirstDrop struct {
	flow
	Pod       string    `json:"pod"`       // namespace/name whose policies dropped it
	Direction string    `json:"direction"` // "ingress" or "egress"
	First     time.Time `json:"first"`
}

// dropTimes is when drops of one pod in one direction began. reason is the text
// of all rules that judge it, so that a change of any of them starts anew.
type dropTimes struct {
	reason string
	since  time.Time
	first  *time.Time
	flows  map[flow]bool // seen since
}

// renewDrops is called with mu held when the table has changed.
func (a *Agent) renewDrops(now time.Time) {
	next := make(map[string]dropTimes, len(a.drops))
	for name, m := range a.output.Meanings {
		if m.Kind != compile.PodDrops {
			continue
		}
		was, reason := a.drops[name], a.output.Reason(name)
		if was.reason != reason {
			was = dropTimes{reason: reason, since: now, flows: map[flow]bool{}}
		}
		next[name] = was
	}
	a.drops = next
}

// readDropLog notes when a pod's first packet was dropped, until ctx ends. The
// counters do not need it; without it there is only no time of the first drop.
func (a *Agent) readDropLog(ctx context.Context) {
	err := kernel.ReadLog(ctx, a.cfg.NetNS, compile.LogGroup, func(p kernel.LoggedPacket) { a.noteDrop(p, time.Now()) })
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the kernel's packet log cannot be read: first drops will have no time", "error", err)
	}
}

// noteDrop keeps the time of a packet that is the first of its pod or its flow.
func (a *Agent) noteDrop(p kernel.LoggedPacket, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, known := a.drops[p.Prefix]
	if !known {
		return
	}
	if t.first == nil {
		t.first = &now
		a.drops[p.Prefix] = t
	}
	f := flow{p.Src, p.Dst, p.DstPort, strings.ToUpper(ruleset.Proto(p.Proto).String())}
	if !f.From.IsValid() || t.flows[f] || len(t.flows) >= maxFirstDrops {
		return
	}
	t.flows[f] = true
	m := a.output.Meanings[p.Prefix]
	a.firsts = append(a.firsts, FirstDrop{f, m.Object, m.Direction, now})
	if n := len(a.firsts); n > maxFirstDrops {
		a.firsts = append([]FirstDrop(nil), a.firsts[n-maxFirstDrops:]...)
	}
}

// FirstDrops lists the first drops of flows, oldest first. A flow is there once
// more for every change of the policies that drop it.
func (a *Agent) FirstDrops() []FirstDrop {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]FirstDrop{}, a.firsts...)
}
