package dataplane

import (
	"errors"
	"maps"
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
	began := time.Now()
	out, waiting := a.compile(began)
	compiled := time.Now()
	rebuilt, err := a.table.Update(out.Ruleset, out.Changed)
	if err != nil {
		return err
	}
	a.adopt(out)
	if err := a.forget(); err != nil {
		return err
	}
	a.admit(waiting)
	a.report(slices.Concat(out.Problems, a.misread()))
	a.log.Debug(roundDone, "compile", compiled.Sub(began), "all", time.Since(began), "rebuilt", rebuilt)
	return nil
}

// compile passes on what changed since the last round. waiting are the pods that
// the coming table lets in. It holds the lock, because the output of all rounds
// is the compiler's own.
func (a *Agent) compile(now time.Time) (out compile.Output, waiting []*localPod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ch := range a.pending {
		if ch.kind == policies {
			a.temper.hear(now, ch.key, a.watch.policy(ch.key))
			continue
		}
		a.watch.pass(a.compiler, ch)
		if ch.kind == pods {
			a.relook[ch.key] = true
		}
	}
	clear(a.pending)
	for uid, l := range a.local {
		if !l.told || a.relook[compile.Key{Namespace: l.ref.Namespace, Name: l.ref.Name}] {
			a.tell(uid, l)
		}
		if !l.closed && l.last != nil {
			waiting = append(waiting, l)
		}
	}
	clear(a.relook)
	for uid := range a.gone {
		if a.local[uid] == nil {
			a.compiler.SetLocal(uid, nil)
		}
	}
	clear(a.gone)
	a.temper.settle(now, a.compiler, a.changed)
	return a.compiler.Output(), waiting
}

// tell hands a pod of this node to the compiler, with what the API says by now.
func (a *Agent) tell(uid string, l *localPod) {
	if seen := a.watch.pod(l.ref.Namespace, l.ref.Name); seen != nil && string(seen.UID) == uid {
		l.last = seen
	}
	l.told = true
	a.compiler.SetLocal(uid, &compile.LocalPod{
		Namespace: l.ref.Namespace, Name: l.ref.Name, UID: uid, Addrs: l.addrs, Pod: l.last,
	})
}

// adopt notes what the table now holds.
func (a *Agent) adopt(out compile.Output) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.output = out
	maps.Copy(a.moved, out.Moved)
	a.renewDrops(time.Now())
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
// that keeps its port would never leave the dead endpoint). What fails is tried
// again in the next round.
func (a *Agent) forget() error {
	a.mu.Lock()
	removed, moved := slices.Clone(a.removed), maps.Clone(a.moved)
	a.mu.Unlock()
	if len(moved)+len(removed) == 0 {
		return nil
	}
	n, err := kernel.Forget(a.cfg.NetNS, a.families, func(f kernel.Flow) bool {
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
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed = a.removed[len(removed):] // more may have been added meanwhile
	clear(a.moved)                       // but to this only by this goroutine
	a.log.Debug("connections forgotten", "count", n, "addresses", len(removed), "services", len(moved))
	return nil
}
