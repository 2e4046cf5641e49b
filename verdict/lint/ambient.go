package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

const (
	// probeSource is where kubelet's probes come from in Istio's ambient mode,
	// and hbone the port that its tunnels arrive on
	// (istio.io/latest/docs/ambient/usage/networkpolicy).
	probeSource = "169.254.7.127"
	hbone       = 15008
	dataplane   = "istio.io/dataplane-mode"
)

// ambient reports whether the class is in Istio's ambient mesh.
func (v *view) ambient(c *class) bool {
	mode := v.world.Namespaces[c.Namespace][dataplane]
	if own, ok := c.Labels[dataplane]; ok {
		mode = own
	}
	return mode == "ambient" && !c.HostNetwork
}

// ambientProbes finds pods whose probes fail in the ambient mesh: they no longer
// come from the node, whose traffic is always allowed.
func ambientProbes(v *view) []draft {
	var drafts []draft
	for _, c := range v.classes {
		if !v.ambient(c) || len(v.isolated[c][ingress]) == 0 {
			continue
		}
		var cut []port
		for _, n := range c.probed() {
			from := verdict.End{IP: netip.MustParseAddr(probeSource)}
			v := v.snapshot.Judge(verdict.Conn{From: from, To: verdict.End{Pod: &c.Pod}, Port: n})
			if p := (port{n, tcp}); v.Ingress.Decision == verdict.Deny && !slices.Contains(cut, p) {
				cut = append(cut, p)
			}
		}
		if len(cut) == 0 {
			continue
		}
		d := draft{
			policy: v.isolated[c][ingress][0], at: at("spec", "ingress"), severity: Error,
			what: fmt.Sprintf("The kubelet cannot probe %s.", c.name()),
			why:  fmt.Sprintf("In Istio's ambient mode its probes of %s come from %s and not from the node, and no rule allows that; the pods never become ready.", portsText(cut), probeSource),
		}
		where := d.grant(v, ingress, []*class{c}, ruleNode("from", []*yaml.Node{blockNode(probeSource + "/32")}, cut...), cut)
		d.fix = fmt.Sprintf("Allow %s from ipBlock %s/32 %s.", portsText(cut), probeSource, where)
		drafts = append(drafts, d)
	}
	return unique(drafts)
}

// probed are the ports that the kubelet's probes go to.
func (c *class) probed() []int32 {
	var all []int32
	if c.workload == nil || c.workload.Template == nil {
		return nil
	}
	for _, container := range c.workload.Template.Spec.Containers {
		for _, probe := range []*corev1.Probe{container.ReadinessProbe, container.LivenessProbe, container.StartupProbe} {
			all = append(all, c.probePort(probe)...)
		}
	}
	return all
}

func (c *class) probePort(p *corev1.Probe) []int32 {
	switch {
	case p == nil:
		return nil
	case p.GRPC != nil:
		return []int32{p.GRPC.Port}
	case p.HTTPGet != nil && p.HTTPGet.Port.IntVal != 0:
		return []int32{p.HTTPGet.Port.IntVal}
	case p.TCPSocket != nil && p.TCPSocket.Port.IntVal != 0:
		return []int32{p.TCPSocket.Port.IntVal}
	}
	var all []int32
	for _, q := range c.Ports {
		if p.HTTPGet != nil && p.HTTPGet.Port.StrVal == q.Name || p.TCPSocket != nil && p.TCPSocket.Port.StrVal == q.Name {
			all = append(all, q.Number)
		}
	}
	return all
}

// ambientTunnel finds policies that let pods of the ambient mesh through on
// their own ports and not on the one that its tunnels use.
func ambientTunnel(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, d := range []networkingv1.PolicyType{ingress, egress} {
			selected := slices.DeleteFunc(v.selected(p), func(c *class) bool { return !v.ambient(c) })
			if len(selected) == 0 || !p.Affects(d) || v.tunnelled(selected, d) {
				continue
			}
			var changes []edit
			for _, r := range p.rules(d) {
				if len(r.ports) > 0 && (len(r.peers) == 0 || r.onlyPods()) {
					changes = append(changes, add(r.at("ports"), object("protocol", text(string(tcp)), "port", intNode(hbone))))
				}
			}
			if len(changes) == 0 {
				continue
			}
			one := draft{
				policy: p, at: at("spec", word(d)), severity: Warning,
				what: fmt.Sprintf("The tunnels of Istio's ambient mesh are cut for %s of %s.", word(d), names(selected)),
				why:  fmt.Sprintf("Connections within the mesh arrive on port %d, whatever port they are for, and no %s rule lists it.", hbone, word(d)),
				fix:  fmt.Sprintf("Add port %d/TCP to the rules.", hbone),
				edit: edits(changes...),
			}
			if slices.ContainsFunc(p.rules(d), func(r rule) bool { return len(r.ports) > 0 && v.meshed(r) }) {
				one.severity = Error // else nobody of the mesh may be at the other end
			}
			if others := v.besides(p, selected); len(others) > 0 {
				one.edit, one.fix = nil, fmt.Sprintf("Add port %d/TCP to the rules, in a policy that does not select %s, which are not in the mesh.", hbone, names(others))
			}
			drafts = append(drafts, one)
		}
	}
	return drafts
}

// meshed reports whether pods of the input that the rule takes are in the mesh.
func (v *view) meshed(r rule) bool {
	return slices.ContainsFunc(v.classes, func(c *class) bool {
		return v.ambient(c) && (len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			takes, known := v.takes(r.policy.Namespace, &peer, c)
			return takes && known
		}))
	})
}

// tunnelled reports whether every class has a rule with the tunnels' port.
func (v *view) tunnelled(classes []*class, d networkingv1.PolicyType) bool {
	return !slices.ContainsFunc(classes, func(c *class) bool {
		return !slices.ContainsFunc(v.isolated[c][d], func(p *policy) bool {
			return slices.ContainsFunc(p.rules(d), func(r rule) bool { return lists(r.ports, hbone, tcp) })
		})
	})
}
