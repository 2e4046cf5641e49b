package lint

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

const mostMonitored = 1000 // ports of one class, each by one monitor

// monitoredPort is a port of a class that a monitor has scraped.
type monitoredPort struct {
	port
	by *manifest.Monitor
}

// chosen reports whether the class fetches what the monitor asks for. What is not
// the pods of a Prometheus resource of the input may read any.
func (v *view) chosen(m *manifest.Monitor, by *class) bool {
	name := by.Labels["operator.prometheus.io/name"]
	if by.workload != nil && by.workload.Kind == "Prometheus" {
		name = by.workload.Name
	}
	i := slices.IndexFunc(v.set.Objects.Scrapers, func(s manifest.Scraper) bool { return s.Namespace == by.Namespace && s.Name == name })
	if i < 0 {
		return true
	}
	c := v.set.Objects.Scrapers[i].Choice(m.Kind)
	if c.Objects == nil || !v.selector(c.Objects).Matches(labels.Set(m.Labels)) {
		return false
	}
	if c.Namespaces == nil {
		return m.Namespace == by.Namespace
	}
	matches, _ := v.matchesNamespace(c.Namespaces, m.Namespace)
	return matches
}

// monitored lists the ports of the class that ServiceMonitors, PodMonitors and
// Probes of the input have scraped.
func (v *view) monitored(c *class) []monitoredPort {
	var all []monitoredPort
	for i := range v.set.Objects.Monitors {
		m := &v.set.Objects.Monitors[i]
		for _, p := range v.asks(m, c) {
			if len(all) < mostMonitored {
				all = append(all, monitoredPort{p, m})
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

// proberCut finds Services that a Probe has tested by pods that may not reach them.
func (v *view) proberCut() []draft {
	cut := &openings{view: v}
	by := map[[2]*class]string{}
	for _, m := range v.set.Objects.Monitors {
		for _, prober := range v.before[m.Prober] {
			for _, t := range m.Targets {
				for _, to := range v.before[t.Service] {
					for _, p := range v.behind(to, t.Service, intstr.FromInt32(t.Port)) {
						by[[2]*class{prober, to}] = m.String()
						cut.need(prober, to, p, nil, false)
					}
				}
			}
		}
	}
	var drafts []draft
	for _, x := range cut.all {
		from, to := x.peer, x.subjects[0]
		if x.direction == egress {
			from, to = x.subjects[0], x.peer
		}
		d := x.draft(Error)
		d.what = fmt.Sprintf("The prober %s cannot reach %s on %s.", from.name(), to.name(), portsText(x.ports))
		d.why = fmt.Sprintf("%s, and no rule allows it; %s has the prober test it, and reports a failure.", v.isolators(x.subjects[0], x.direction), by[[2]*class{from, to}])
		d.fix = fmt.Sprintf("Allow %s from %s to %s %s.", portsText(x.ports), from.name(), to.name(), d.fix)
		drafts = append(drafts, d)
	}
	return drafts
}
