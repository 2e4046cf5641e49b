package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

func portOf(p verdict.Port) port { return port{p.Number, cmp.Or(p.Protocol, tcp)} }

// covers reports whether the ports of a rule take the port of the class's pods;
// names are looked up there.
func covers(ports []networkingv1.NetworkPolicyPort, c *class, p port) bool {
	return lists(ports, p.number, p.protocol) || slices.ContainsFunc(ports, func(q networkingv1.NetworkPolicyPort) bool {
		return q.Port != nil && q.Port.StrVal != "" && slices.Contains(named(c, q.Port.StrVal, protocolOf(q)), p)
	})
}

// named are the ports that the class's pods declare under the name.
func named(c *class, name string, protocol corev1.Protocol) []port {
	var all []port
	for _, p := range c.Ports {
		if p.Name == name && portOf(p).protocol == protocol {
			all = append(all, portOf(p))
		}
	}
	return all
}

// targets are the classes whose ports a rule is about: for egress those that its
// peers take, for ingress those that its policy selects.
func (v *view) targets(r rule) []*class {
	if r.direction == ingress {
		return v.selected(r.policy)
	}
	var all []*class
	for _, c := range v.classes {
		for i := range r.peers {
			if ok, known := v.takes(r.policy.Namespace, &r.peers[i], c); ok && known {
				all = append(all, c)
				break
			}
		}
	}
	return all
}

// servicePorts finds rules with the port of a Service in place of the port behind it.
func servicePorts(v *view) []draft { return append(servicePort(v), endpointPort(v)...) }

// servicePort finds rules with the port of a Service where the pods behind it
// listen on another one: policies see a connection after the translation.
func servicePort(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			targets := v.targets(r)
			for i, q := range r.ports {
				if q.Port == nil || q.Port.IntVal == 0 || q.EndPort != nil || isDNS(targets) {
					continue
				}
				if r.anywhere() && slices.Contains(apiPorts, q.Port.IntVal) {
					continue // it is for the API server: see api-server-by-selector
				}
				if m := v.misported(r, targets, port{q.Port.IntVal, protocolOf(q)}); m != nil {
					drafts = append(drafts, m.draft(r, i, protocolOf(q)))
				}
			}
		}
	}
	return drafts
}

// isDNS leaves DNS to the rules about it.
func isDNS(classes []*class) bool {
	return len(classes) > 0 && !slices.ContainsFunc(classes, func(c *class) bool { return !resolves(c) })
}

// misport is a Service's port that stands where a target port belongs.
type misport struct {
	class             *class
	service           *manifest.Service
	service32, target int32
	declared          bool // the pods declare the target port
}

// misported says whether the port can only be meant for a Service: one before the
// targets has it and leads to another port, no target has it itself, and the
// rule does not list the other port as well.
func (v *view) misported(r rule, targets []*class, p port) *misport {
	var found *misport
	for _, c := range targets {
		if listens(c, p) {
			return nil
		}
		for _, s := range c.services {
			for _, sp := range s.Ports {
				on, ok := sp.On(&c.Pod)
				if !ok || sp.Port != p.number || sp.Protocol != p.protocol || on == p.number || v.opened(r, c, port{on, p.protocol}) {
					continue
				}
				if found == nil {
					found = &misport{class: c, service: s, service32: p.number, target: on, declared: declares(c, port{on, p.protocol})}
				}
			}
		}
	}
	return found
}

// opened reports whether the rule, or another one of its policy that is for the
// class whoever the peers are, lists the port.
func (v *view) opened(r rule, c *class, p port) bool {
	return covers(r.ports, c, p) || slices.ContainsFunc(r.policy.rules(r.direction), func(o rule) bool {
		return len(o.ports) > 0 && covers(o.ports, c, p) && (len(o.peers) == 0 || r.direction == egress && slices.ContainsFunc(o.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			takes, known := v.takes(r.policy.Namespace, &peer, c)
			return takes && known
		}))
	})
}

// listens reports whether the class is known to listen on the port: its
// containers declare it, or a Service leads there.
func listens(c *class, p port) bool {
	if declares(c, p) {
		return true
	}
	for _, s := range c.services {
		for _, sp := range s.Ports {
			if on, ok := sp.On(&c.Pod); ok && on == p.number && sp.Protocol == p.protocol {
				return true
			}
		}
	}
	return false
}

func declares(c *class, p port) bool {
	return slices.ContainsFunc(c.Ports, func(q verdict.Port) bool { return portOf(q) == p })
}

func (m *misport) draft(r rule, i int, protocol corev1.Protocol) draft {
	d := draft{policy: r.policy, at: r.at("ports", i, "port"), severity: Warning}
	service := m.service.Namespace + "/" + m.service.Name
	d.what = fmt.Sprintf("The rule lists %d, the port of Service %s, but its pods listen on %d.", m.service32, service, m.target)
	d.why = fmt.Sprintf("Policies see a connection after the Service's translation, with the target port (NetworkPolicy specification); %s listens on %d/%s, so the connection is cut.", m.class.name(), m.target, protocol)
	switch {
	case r.anywhere():
		d.severity = Info // the rule need not be meant for this Service
		d.why += " That matters if the rule is meant for it."
	case m.declared && r.definite():
		d.severity = Error
	}
	if r.direction == ingress || r.onlyPods() {
		d.fix = fmt.Sprintf("Write %d instead of %d.", m.target, m.service32)
		d.edit = set(r.at("ports", i, "port"), intNode(m.target))
		return d
	}
	d.fix = fmt.Sprintf("Add %d to the ports.", m.target)
	d.edit = add(r.at("ports"), object("protocol", text(string(protocol)), "port", intNode(m.target)))
	return d
}

// namedPortUnknown finds names of ports that no pod of the rule declares, so
// that the rule lets nothing through there.
func namedPortUnknown(v *view) []draft {
	var drafts []draft
	v.namedPorts(func(r rule, i int, name string, protocol corev1.Protocol, targets []*class) {
		if slices.ContainsFunc(targets, func(c *class) bool { return len(named(c, name, protocol)) > 0 }) {
			return
		}
		var known []string
		for _, c := range targets {
			for _, p := range c.Ports {
				if p.Name != "" && !slices.Contains(known, p.Name) && portOf(p).protocol == protocol {
					known = append(known, p.Name)
				}
			}
		}
		d := draft{policy: r.policy, at: r.at("ports", i, "port"), severity: Warning}
		if r.definite() && r.closed() && !slices.Contains(addedNames, name) {
			d.severity = Error
		}
		known = slices.DeleteFunc(known, r.listsName)
		d.what = fmt.Sprintf("No pod that the rule is about declares a port named %q over %s.", name, protocol)
		d.why = fmt.Sprintf("A name is looked up among the container ports of the target pods (NetworkPolicyPort.port), here those of %s, and one that is not declared matches nothing.", names(targets))
		d.fix = "Write the port's number, or a name that the pods declare" + orNothing(": ", strings.Join(known, ", ")) + "."
		if meant, ok := nearest(name, known); ok {
			d.fix = fmt.Sprintf("Did you mean %q?", meant)
			d.edit = set(d.at, text(meant))
		} else if port := v.behindName(targets, name, protocol); port != 0 {
			d.fix = fmt.Sprintf("%q is the name of a Service's port, which policies do not see: write the number %d.", name, port)
			d.edit = set(d.at, intNode(port))
		} else if r.opensSome(targets) {
			d.severity = Info // one of several ports may be there only if a setting asks for it
		}
		drafts = append(drafts, d)
	})
	return drafts
}

// addedNames are names of ports that service meshes add to pods: the container is not
// in the manifests (linkerd.io and istio.io, ports of the proxies).
var addedNames = []string{"linkerd-admin", "linkerd-proxy", "http-envoy-prom", "envoy-prom", "envoy-admin"}

// closed reports whether what the rule's ports are looked up on is chosen by labels:
// a selector for every pod is also for those that other files hold.
func (r rule) closed() bool {
	if r.direction == ingress {
		return r.policy.live() || !everything(&r.policy.Spec.PodSelector)
	}
	return r.policy.live() || !slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool {
		return p.PodSelector == nil || everything(p.PodSelector)
	})
}

// listsName reports whether the rule lists a port by that name.
func (r rule) listsName(name string) bool {
	return slices.ContainsFunc(r.ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port != nil && p.Port.StrVal == name })
}

// opensSome reports whether some port of the rule is one that a target declares,
// so that the rule lets something through.
func (r rule) opensSome(targets []*class) bool {
	return slices.ContainsFunc(targets, func(c *class) bool {
		return slices.ContainsFunc(c.Ports, func(p verdict.Port) bool { return covers(r.ports, c, portOf(p)) })
	})
}

func orNothing(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

// behindName is the target port of a Service's port of that name.
func (v *view) behindName(targets []*class, name string, protocol corev1.Protocol) int32 {
	for _, c := range targets {
		for _, s := range c.services {
			for _, sp := range s.Ports {
				if on, ok := sp.On(&c.Pod); ok && sp.Name == name && sp.Protocol == protocol {
					return on
				}
			}
		}
	}
	return 0
}

// namedPortForeign finds egress rules by a port's name towards pods of another
// namespace: whoever writes those pods decides which port the name is.
func namedPortForeign(v *view) []draft {
	var drafts []draft
	v.namedPorts(func(r rule, i int, name string, protocol corev1.Protocol, targets []*class) {
		var numbers []int32
		var foreign []*class
		for _, c := range targets {
			for _, p := range named(c, name, protocol) {
				if !slices.Contains(numbers, p.number) {
					numbers = append(numbers, p.number)
				}
				if c.Namespace != r.policy.Namespace {
					foreign = append(foreign, c)
				}
			}
		}
		if r.direction != egress || len(foreign) == 0 || isDNS(targets) {
			return
		}
		d := draft{policy: r.policy, at: r.at("ports", i, "port"), severity: Warning}
		d.what = fmt.Sprintf("What port %q is, the owner of %s decides, not this policy.", name, names(foreign))
		d.why = "The name is looked up on each target pod: who may create a pod there can give the name to any port (kubernetes#141193)."
		d.fix = fmt.Sprintf("Write the number: %s.", strings.Trim(fmt.Sprint(numbers), "[]"))
		changes := []edit{set(d.at, intNode(numbers[0]))}
		for _, n := range numbers[1:] {
			changes = append(changes, add(r.at("ports"), object("protocol", text(string(protocol)), "port", intNode(n))))
		}
		d.edit = edits(changes...)
		drafts = append(drafts, d)
	})
	return drafts
}

// namedPorts calls f with every port that a rule gives by name and the classes
// that the name is looked up on; rules about no pod of the set are left out.
func (v *view) namedPorts(f func(r rule, i int, name string, protocol corev1.Protocol, targets []*class)) {
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			targets := v.targets(r)
			for i, q := range r.ports {
				if q.Port != nil && q.Port.StrVal != "" && len(targets) > 0 {
					f(r, i, q.Port.StrVal, protocolOf(q), targets)
				}
			}
		}
	}
}
