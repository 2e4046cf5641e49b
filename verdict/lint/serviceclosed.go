package lint

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// serviceClosed finds pods whose policies let something in, and nothing to any port
// that a Service leads to. A first policy that allows one more thing, such as
// metrics, isolates the pods and closes the rest.
func serviceClosed(v *view) []draft {
	var drafts []draft
	for _, c := range v.classes {
		isolating := v.isolated[c][ingress]
		if len(isolating) == 0 || c.HostNetwork || v.othersDecide(c.Namespace) || slices.Contains(v.deaf, c) {
			continue
		}
		closed := v.closedPorts(c)
		if len(closed) == 0 || !slices.ContainsFunc(isolating, func(p *policy) bool { return len(p.rules(ingress)) > 0 }) {
			continue
		}
		d := draft{policy: isolating[0], at: at("spec", "ingress"), severity: Warning}
		d.what = fmt.Sprintf("Nothing may reach %s on %s, where Services lead.", c.name(), portsText(closed))
		d.why = v.isolators(c, ingress) + ", and their rules list other ports only. A policy that allows something closes everything that none allows."
		if len(isolating) == 1 {
			d.why = strings.Replace(d.why, "their rules list", "its rules list", 1)
		}
		d.fix = fmt.Sprintf("Allow %s from the pods that call it.", portsText(closed))
		drafts = append(drafts, d)
	}
	return drafts
}

// closedPorts are the ports of the class that Services lead to, but for metrics,
// if no rule lists any of them.
func (v *view) closedPorts(c *class) []port {
	var closed []port
	metrics := v.metricPorts(c)
	for _, s := range c.services {
		for _, sp := range s.Ports {
			on, ok := sp.On(&c.Pod)
			p := port{on, sp.Protocol}
			if ok && v.toldElsewhere(c, s, sp, p) {
				return nil
			}
			if !ok || slices.Contains(closed, p) || slices.ContainsFunc(metrics, func(m metricPort) bool { return m.port == p }) {
				continue
			}
			if slices.ContainsFunc(v.isolated[c][ingress], func(q *policy) bool {
				return slices.ContainsFunc(q.rules(ingress), func(r rule) bool { return covers(r.ports, c, p) })
			}) {
				return nil
			}
			closed = append(closed, p)
		}
	}
	return closed
}

// toldElsewhere reports whether another mistake is about the port: a rule has the
// Service's port in its place, the API server calls it, or an Ingress or a
// load balancer leads there.
func (v *view) toldElsewhere(c *class, s *manifest.Service, sp manifest.ServicePort, p port) bool {
	for _, q := range v.isolated[c][ingress] {
		for _, r := range q.rules(ingress) {
			if sp.Port != p.number && len(r.ports) > 0 && lists(r.ports, sp.Port, sp.Protocol) {
				return true
			}
		}
	}
	return s.Spec != nil && s.Spec.Type == corev1.ServiceTypeLoadBalancer || slices.ContainsFunc(v.calledPorts(c), func(called calledPort) bool { return called.port == p }) ||
		slices.ContainsFunc(v.set.Objects.Entrances, func(e manifest.Entrance) bool { return e.Service == s.Namespace+"/"+s.Name })
}
