package dataplane

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

const roundDone = "node's table is up to date"

// once is one round: look, compile, apply, and only then tell those who wait.
func (a *Agent) once() error {
	in, waiting, removed := a.snapshot()
	began := time.Now()
	out := compile.Node(in)
	compiled := time.Now()
	rebuilt, err := a.table.Apply(out.Ruleset)
	if err != nil {
		a.putBack(removed)
		return err
	}
	before := a.adopt(out)
	if err := a.forget(before.UDP, out.UDP, removed); err != nil {
		a.putBack(removed)
		return err
	}
	a.admit(waiting)
	a.report(out.Problems)
	a.log.Debug(roundDone, "compile", compiled.Sub(began), "all", time.Since(began), "rebuilt", rebuilt)
	return nil
}

// snapshot reads everything a round needs. waiting are the pods that the coming
// table lets in.
func (a *Agent) snapshot() (in compile.Input, waiting []*localPod, removed []netip.Addr) {
	in = compile.Input{
		NodeName: a.cfg.NodeName, NodeIP: a.nodeIP, PodCIDR: a.pods,
		Enforce: a.cfg.Mode == ModeEnforce,
	}
	a.mu.Lock()
	for uid, l := range a.local {
		if seen := a.watch.pod(l.ref.Namespace, l.ref.Name); seen != nil && string(seen.UID) == uid {
			l.last = seen
		}
		if l.last != nil || a.cfg.Mode == ModeIgnore {
			waiting = append(waiting, l)
		}
		in.Local = append(in.Local, compile.LocalPod{
			Namespace: l.ref.Namespace, Name: l.ref.Name, UID: uid, Addr: l.addr, Pod: l.last,
		})
	}
	removed, a.removed = a.removed, nil
	a.mu.Unlock()
	a.watch.fill(&in)
	return in, waiting, removed
}

func (a *Agent) putBack(removed []netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed = append(a.removed, removed...)
}

// adopt notes what the table now holds and returns what it held.
func (a *Agent) adopt(out compile.Output) compile.Output {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.output
	a.output = out
	a.renewDrops(time.Now())
	return before
}

func (a *Agent) admit(waiting []*localPod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range waiting {
		if !l.closed {
			l.closed = true
			close(l.inside)
		}
	}
}

// forget drops tracked connections that would outlive their reason: those of
// addresses whose pod is gone (the next pod of that address must not inherit
// them), and UDP flows to Service endpoints that are no longer there (a client
// that keeps its port would never leave the dead endpoint).
func (a *Agent) forget(old, now map[compile.Front][]netip.AddrPort, removed []netip.Addr) error {
	moved := map[compile.Front][]netip.AddrPort{}
	for front, targets := range now {
		if was, had := old[front]; !had || !slices.Equal(was, targets) {
			moved[front] = targets // a new one too: it may have been asked before it was there
		}
	}
	for front := range old {
		if _, still := now[front]; !still {
			moved[front] = nil
		}
	}
	if len(moved)+len(removed) == 0 {
		return nil
	}
	n, err := kernel.Forget(a.cfg.NetNS, func(f kernel.Flow) bool {
		for _, addr := range removed {
			if f.Src == addr || f.Dst == addr || f.AnswerFrom == addr || f.AnswerTo == addr {
				return true
			}
		}
		proto := ruleset.Proto(f.Proto)
		targets, is := moved[compile.Front{Addr: f.Dst, Proto: proto, Port: f.DstPort}]
		return is && proto == ruleset.UDP && !slices.Contains(targets, netip.AddrPortFrom(f.AnswerFrom, f.AnswerFromPort))
	})
	if err != nil {
		return errors.Join(errors.New("connections of removed pods or endpoints may linger"), err)
	}
	a.log.Debug("connections forgotten", "count", n, "addresses", len(removed), "services", len(moved))
	return nil
}
