package lint

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// monitoredPort is a port of a class that a monitor has scraped.
type monitoredPort struct {
	port
	by manifest.Source
}

// monitored lists the ports of the class that ServiceMonitors, PodMonitors and
// Probes of the input have scraped.
func (v *view) monitored(c *class) []monitoredPort {
	var all []monitoredPort
	for i := range v.set.Objects.Monitors {
		m := &v.set.Objects.Monitors[i]
		for _, p := range v.asks(m, c) {
			if !slices.ContainsFunc(all, func(other monitoredPort) bool { return other.port == p }) {
				all = append(all, monitoredPort{p, m.Source})
			}
		}
	}
	return all
}

// asks lists the ports of the class that one monitor has scraped.
func (v *view) asks(m *manifest.Monitor, c *class) []port {
	switch {
	case m.Prober != "":
		return v.behind(c, m.Prober, intstr.FromInt32(m.ProberPort))
	case m.Selector == nil || len(m.Namespaces) > 0 && !slices.Contains(m.Namespaces, c.Namespace):
		return nil
	case m.OfPods:
		if !v.selector(m.Selector).Matches(labels.Set(c.Labels)) {
			return nil
		}
		var all []port
		for _, p := range m.Ports {
			all = append(all, onPod(p, c)...)
		}
		return all
	}
	var all []port
	for _, s := range c.services {
		if !v.selector(m.Selector).Matches(labels.Set(v.labelled[s.Namespace+"/"+s.Name])) {
			continue
		}
		for _, p := range m.Ports {
			if p.Name == "" {
				all = append(all, onPod(p, c)...)
				continue
			}
			all = append(all, v.behind(c, s.Namespace+"/"+s.Name, intstr.FromString(p.Name))...)
		}
	}
	return all
}

// onPod are the ports of the class's pods that a monitor means.
func onPod(p manifest.MonitorPort, c *class) []port {
	name := p.Name
	if p.Target.Type == intstr.Int && p.Target.IntVal != 0 {
		return []port{{p.Target.IntVal, tcp}}
	}
	if p.Target.StrVal != "" {
		name = p.Target.StrVal
	}
	return named(c, name, tcp)
}

// behind are the ports of the class that a port of a Service leads to, by its
// number or its name; the zero port means all of them.
func (v *view) behind(c *class, service string, asked intstr.IntOrString) []port {
	var all []port
	for _, s := range c.services {
		if s.Namespace+"/"+s.Name != service {
			continue
		}
		for _, sp := range s.Ports {
			meant := asked == intstr.IntOrString{} || asked.Type == intstr.Int && asked.IntVal == sp.Port || asked.Type == intstr.String && asked.StrVal == sp.Name
			if on, ok := sp.On(&c.Pod); ok && meant {
				all = append(all, port{on, sp.Protocol})
			}
		}
	}
	return all
}
