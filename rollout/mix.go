package rollout

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// states are the three worlds that the ends of a connection may be in, compiled:
// the very objects that select a pod in each state, so that nothing rests on an
// argument about them.
type states [3]*verdict.Snapshot

// compile makes the three worlds of a change and its bridges, one out of the other: they
// share what the change does not touch, and a pod has one ID in all three. A policy of R
// goes by another name beside the one that replaces it.
func compile(c Change, bridges []Bridge) states {
	engine := verdict.New(c.World, c.Pods)
	var all states
	all[AtBaseline] = engine.Snapshot()
	replaced, news := c.replaced(), c.news()
	var temporary []string
	engine.Apply(func(x *verdict.Changes) {
		add := func(p verdict.Policy) {
			temporary = append(temporary, p.Key())
			x.SetPolicy(p)
		}
		for _, p := range replaced {
			x.DeletePolicy(p.Key())
		}
		for _, p := range news {
			x.SetPolicy(p)
		}
		for _, p := range replaced {
			p.Name += " (baseline)"
			add(p)
		}
		for i, b := range bridges {
			add(verdict.Policy{Namespace: b.Namespace, Name: fmt.Sprintf("bridge %d", i), Spec: BridgeSpec(b, b.Selector)})
		}
	})
	all[AtBridged] = engine.Snapshot()
	engine.Apply(func(x *verdict.Changes) {
		for _, key := range temporary {
			x.DeletePolicy(key)
		}
	})
	all[AtEnforced] = engine.Snapshot()
	return all
}

// sides are the egress and ingress decisions of a connection in each state.
type sides [3]verdict.Verdict

func (s states) judge(c verdict.Conn) sides {
	return sides{s[AtBaseline].Judge(c), s[AtBridged].Judge(c), s[AtEnforced].Judge(c)}
}

// in is the decision of a mix: egress in the state of the source, ingress in
// that of the target.
func (s sides) in(m Mix) verdict.Decision {
	return narrower(s[m.Source].Egress.Decision, s[m.Target].Ingress.Decision)
}

// rule says what decides in a mix.
func (s sides) rule(m Mix) string {
	v := verdict.Verdict{Decision: s.in(m), Egress: s[m.Source].Egress, Ingress: s[m.Target].Ingress}
	v.Reason = v.Egress.Reason
	if v.Decision == verdict.Unknown && v.Egress.Decision == verdict.Allow {
		v.Reason = v.Ingress.Reason
	}
	return v.Rule()
}

// mixes are all nine, those without a change first.
var mixes = func() []Mix {
	all := []Mix{{AtBaseline, AtBaseline}, {AtEnforced, AtEnforced}}
	for source := AtBaseline; source <= AtEnforced; source++ {
		for target := AtBaseline; target <= AtEnforced; target++ {
			if m := (Mix{source, target}); !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	return all
}()

// families are the connection in each address family that both ends have: where
// a pod has several addresses, an ipBlock may tell them apart. Where they share
// none, or addresses are given, it is the connection as it is.
func families(c verdict.Conn) []verdict.Conn {
	var all []verdict.Conn
	for _, a := range addresses(c.From) {
		for _, b := range addresses(c.To) {
			if a.Unmap().Is4() == b.Unmap().Is4() {
				of := c
				of.From.IP, of.To.IP = a, b
				all = append(all, of)
			}
		}
	}
	if len(all) == 0 {
		return []verdict.Conn{c}
	}
	return all
}

// failures lists the edges that have to be allowed and are not, in some mix.
func (s states) failures(edges []Edge) []Failure {
	var all []Failure
	for _, e := range edges {
		if e.Expect == v1alpha1.ExpectDeny {
			continue
		}
		var each []sides
		for _, c := range families(e.Conn) {
			each = append(each, s.judge(c))
		}
		f := Failure{Edge: e}
		for _, m := range mixes {
			for _, sides := range each {
				d := sides.in(m)
				if d == verdict.Allow {
					continue
				}
				if len(f.Mixes) == 0 {
					f.Decision, f.Rule = d, sides.rule(m)
				}
				if !slices.Contains(f.Mixes, m) {
					f.Mixes = append(f.Mixes, m)
				}
			}
		}
		if len(f.Mixes) > 0 {
			all = append(all, f)
		}
	}
	return all
}

func wider(a, b verdict.Decision) verdict.Decision {
	switch {
	case a == verdict.Allow || b == verdict.Allow:
		return verdict.Allow
	case a == verdict.Deny && b == verdict.Deny:
		return verdict.Deny
	}
	return verdict.Unknown
}

func narrower(a, b verdict.Decision) verdict.Decision {
	switch {
	case a == verdict.Deny || b == verdict.Deny:
		return verdict.Deny
	case a == verdict.Allow && b == verdict.Allow:
		return verdict.Allow
	}
	return verdict.Unknown
}

// addresses of an end: the one stated, else those of its pod.
func addresses(e verdict.End) []netip.Addr {
	switch {
	case e.IP.IsValid():
		return []netip.Addr{e.IP}
	case e.Pod != nil:
		return e.Pod.IPs
	}
	return nil
}
