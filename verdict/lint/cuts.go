package lint

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"
	kyaml "sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

const (
	mostCuts   = 3      // that are named
	mostJudged = 20_000 // connections that are judged to find them
)

// harmless takes away a correction that would cut what works: names that pods look
// up, and connections to Services. The fix then says what it would cut. A policy that
// begins to select pods is meant to cut them off, but hardly from looking up names.
func (v *view) harmless(d draft) draft {
	if !d.closes && !d.isolates || d.edit == nil {
		return d
	}
	spec, ok := d.policy.edited(d.edit)
	if !ok {
		return d
	}
	w := v.with(verdict.Policy{Namespace: d.policy.Namespace, Name: d.policy.Name, Spec: spec})
	var cut []string
	if d.closes {
		cut = v.cuts(w, d.policy.Namespace)
	} else if silent := v.silenced(verdict.Compile(w, nil), d.policy.Namespace); len(silent) > 0 {
		cut = []string{"the name lookups of " + names(silent)}
	}
	if len(cut) > 0 {
		d.edit = nil
		d.fix += fmt.Sprintf(" This alone would cut %s: allow first what is needed.", strings.Join(cut, "; "))
	}
	return d
}

// edited is the spec of the policy with the edit made; false where it cannot be read.
func (p *policy) edited(e edit) (spec networkingv1.NetworkPolicySpec, ok bool) {
	tree, root := p.tree(), p.root
	if tree == nil {
		tree, root = encoded(p.object), nil
	}
	own := lookup(manifest.Plain(tree), root)
	if own == nil {
		return spec, false
	}
	e(own)
	raw, err := yaml.Marshal(lookup(own, at("spec")))
	return spec, err == nil && kyaml.Unmarshal(raw, &spec) == nil
}

// with is the world with the policy added, or in the place of the one of its name.
func (v *view) with(p verdict.Policy) verdict.World {
	w := v.world
	w.Policies = slices.DeleteFunc(slices.Clone(w.Policies), func(q verdict.Policy) bool { return q.Key() == p.Key() })
	w.Policies = append(w.Policies, p)
	return w
}

// cuts names some of what is allowed today and denied in the other world, of what
// pods of the namespace need: names first, then Services.
func (v *view) cuts(w verdict.World, namespace string) []string {
	after := verdict.Compile(w, nil)
	var all []string
	if silent := v.silenced(after, namespace); len(silent) > 0 {
		all = append(all, "the name lookups of "+names(silent))
	}
	judged := 0
	for p := range v.paths(namespace) {
		if judged++; judged > mostJudged || len(all) == mostCuts {
			break
		}
		c := verdict.Conn{From: verdict.End{Pod: &p.from.Pod}, To: verdict.End{Pod: &p.to.Pod}, Port: p.number, Protocol: p.protocol}
		if after.Judge(c).Decision == verdict.Deny && v.snapshot.Judge(c).Decision == verdict.Allow {
			if text := fmt.Sprintf("%s to %s on %s", p.from.name(), p.to.name(), portsText([]port{p.port})); !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}

// toldCuts names some of what is allowed today and denied in the other world, of what
// the input shows that pods of the namespace do: names that they look up, and Services
// that they, or others there, are told to call.
func (v *view) toldCuts(w verdict.World, namespace string) []string {
	after := verdict.Compile(w, nil)
	var all []string
	if silent := v.silenced(after, namespace); len(silent) > 0 {
		all = append(all, "the name lookups of "+names(silent))
	}
	more := 0
	for p := range v.toldPaths(namespace) {
		c := conn(p.from, p.to, p.port)
		if after.Judge(c).Decision != verdict.Deny || v.snapshot.Judge(c).Decision != verdict.Allow {
			continue
		}
		text := fmt.Sprintf("%s to %s on %s", p.from.name(), p.to.name(), portsText([]port{p.port}))
		switch {
		case slices.Contains(all, text):
		case len(all) == mostCuts:
			more++
		default:
			all = append(all, text)
		}
	}
	if more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return all
}

// toldPaths are the connections of the namespace that pods are told to make.
func (v *view) toldPaths(namespace string) iter.Seq[servicePath] {
	return func(yield func(servicePath) bool) {
		for _, c := range v.classes {
			for _, t := range v.toldToCall(c) {
				s := v.service(t, c.Namespace)
				if s == nil || c.Namespace != namespace && s.Namespace != namespace {
					continue
				}
				for _, to := range v.behindService(s) {
					for _, p := range servedPorts(to) {
						if to != c && v.leadsTo(t, c, to, p) && !yield(servicePath{c, to, p}) {
							return
						}
					}
				}
			}
		}
	}
}

// silenced are the classes that can look up names today and not in the other world.
func (v *view) silenced(after *verdict.Snapshot, namespace string) []*class {
	var all []*class
	for _, c := range v.in(namespace) {
		if c.HostNetwork || !usesClusterDNS(c) {
			continue
		}
		can := func(s *verdict.Snapshot) bool {
			return slices.ContainsFunc(v.dnsPods, func(r resolver) bool { return v.ask(s, c, r, r.udp, udp) != verdict.Deny })
		}
		if !can(after) && can(v.snapshot) {
			all = append(all, c)
		}
	}
	return all
}

// servicePath is a connection to a port that a Service leads to.
type servicePath struct {
	from, to *class
	port
}

// paths are those within the namespace, then those out of it and into it, without
// those to the cluster's DNS.
func (v *view) paths(namespace string) iter.Seq[servicePath] {
	return func(yield func(servicePath) bool) {
		to := func(from, to *class) bool {
			for _, p := range servedPorts(to) {
				if !yield(servicePath{from, to, p}) {
					return false
				}
			}
			return true
		}
		for _, inner := range []bool{true, false} {
			for _, c := range v.in(namespace) {
				for _, o := range v.classes {
					if o == c || (o.Namespace == namespace) != inner {
						continue
					}
					if !to(o, c) || !inner && !resolves(o) && !to(c, o) {
						return
					}
				}
			}
		}
	}
}

// servedPorts are the ports of the class that Services lead to.
func servedPorts(c *class) []port {
	var all []port
	for _, s := range c.services {
		for _, sp := range s.Ports {
			if on, ok := sp.On(&c.Pod); ok && !slices.Contains(all, port{on, sp.Protocol}) {
				all = append(all, port{on, sp.Protocol})
			}
		}
	}
	return all
}
