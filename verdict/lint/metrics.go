package lint

import (
	"cmp"
	"fmt"
	pathpkg "path"
	"slices"
	"strconv"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// scrapers are the programs that fetch metrics, by the name of their image or
// the labels of their charts.
var scrapers = []string{"prometheus", "vmagent", "grafana-agent", "alloy"}

// metricsForgotten finds pods that offer metrics which nobody in the set that
// fetches metrics may fetch. Users notice nothing, and alerts stop firing.
func metricsForgotten(v *view) []draft {
	fetching := v.fetchers()
	if len(fetching.all) == 0 {
		return append(v.unscrapable(), v.proberCut()...)
	}
	cut := map[certainty]*openings{sure: {view: v}, likely: {view: v}, possible: {view: v}}
	for _, c := range v.classes {
		if slices.Contains(fetching.all, c) {
			continue
		}
		for _, m := range v.metricPorts(c, fetching.listed(c)...) {
			by, how := fetching.of(c, m)
			if len(by) == 0 || slices.ContainsFunc(by, func(s *class) bool {
				return v.between(s, c, m.number, m.protocol).Decision != verdict.Deny
			}) {
				continue
			}
			if how == sure && v.letsUnseenIn(c, m.port) {
				how = likely // there may be another Prometheus
			}
			cut[how].need(by[0], c, m.port, nil, false)
		}
	}
	return slices.Concat(metricsDrafts(cut[sure], Error), metricsDrafts(cut[likely], Warning), metricsDrafts(cut[possible], Info), v.proberCut())
}

// of are those that fetch the port with the most certainty, and how much that is.
func (f *fetchers) of(c *class, m metricPort) (by []*class, how certainty) {
	for _, s := range f.all {
		switch one := f.certainty(s, c, m); {
		case one > how:
			by, how = []*class{s}, one
		case one == how && one != unscraped:
			by = append(by, s)
		}
	}
	return by, how
}

func metricsDrafts(o *openings, s Severity) []draft {
	var drafts []draft
	for _, x := range o.merged() {
		d := x.draft(s)
		scraper, scraped := x.peer.name(), names(x.subjects)
		if x.direction == egress {
			scraper, scraped = names(x.subjects), x.peer.name()
		}
		d.what = fmt.Sprintf("%s cannot fetch the metrics of %s on %s.", scraper, scraped, portsText(x.ports))
		d.why = fmt.Sprintf("%s, and no rule allows it", o.view.isolators(x.subjects[0], x.direction))
		switch s {
		case Error:
			d.why += "; alerts stop firing without any user noticing."
		case Warning:
			d.why += "; if it is to fetch them, alerts stop firing without any user noticing."
		default:
			d.why += fmt.Sprintf(". Only the name of a port speaks for metrics there: whether %s fetches them is its configuration, which the input does not show.", scraper)
		}
		if by := o.view.askedBy(x); by != "" {
			d.why += " " + by + " asks for them."
		}
		d.fix = fmt.Sprintf("Allow %s from %s %s.", portsText(x.ports), scraper, d.fix)
		drafts = append(drafts, d)
	}
	return drafts
}

// unscrapable finds pods that ask to be scraped and let nobody in to do it. Who
// scrapes is not in the set, so only a person can write the rule.
func (v *view) unscrapable() []draft {
	var drafts []draft
	for _, c := range v.classes {
		for _, m := range v.metricPorts(c) {
			isolating := v.isolated[c][ingress]
			if !m.offered && !m.asksItself() || len(isolating) == 0 || slices.ContainsFunc(isolating, func(p *policy) bool {
				return slices.ContainsFunc(p.rules(ingress), func(r rule) bool { return covers(r.ports, c, m.port) })
			}) {
				continue
			}
			severity := Warning
			if !m.asksItself() {
				severity = Info
			}
			drafts = append(drafts, draft{
				policy: isolating[0], at: at("spec", "ingress"), severity: severity,
				what: fmt.Sprintf("Nobody may fetch the metrics of %s on %s.", c.name(), portsText([]port{m.port})),
				why:  v.isolators(c, ingress) + ", and no rule lists the port, which " + m.offerer() + ".",
				fix:  "Allow the port from the pods that scrape it (Prometheus or the like), which are not among what is checked.",
			})
		}
	}
	return drafts
}

// askedBy names a monitor that asks for the metrics; empty if there is none.
func (v *view) askedBy(x *opening) string {
	scraped := x.subjects
	if x.direction == egress {
		scraped = []*class{x.peer}
	}
	for _, c := range scraped {
		for _, m := range v.monitored(c) {
			if slices.Contains(x.ports, m.port) {
				return m.by.String()
			}
		}
	}
	return ""
}

func scrapes(c *class) bool {
	part := cmp.Or(c.Labels["app.kubernetes.io/component"], c.Labels["component"])
	for _, key := range []string{"app.kubernetes.io/name", "app", "k8s-app"} {
		name := c.Labels[key]
		if name == "prometheus" && !slices.Contains([]string{"", "server", "prometheus"}, part) {
			continue // charts give one name to all that belongs to a Prometheus
		}
		if slices.Contains(scrapers, name) {
			return true
		}
	}
	for _, image := range c.images() {
		if slices.Contains(scrapers, image) {
			return true
		}
	}
	return false
}

// images are the base names of the images of the class's containers.
func (c *class) images() []string {
	var all []string
	if c.workload == nil || c.workload.Template == nil {
		return nil
	}
	for _, container := range c.workload.Template.Spec.Containers {
		image, _, _ := strings.Cut(pathpkg.Base(strings.Split(container.Image, "@")[0]), ":")
		all = append(all, image)
	}
	return all
}

// metricPort is a port with metrics. Monitors ask for it, or an annotation of the
// pods or of their Service; a Service offers it by its name; else a container only
// declares it, or a scraper lists it.
type metricPort struct {
	port
	offered              bool
	podAsks, serviceAsks bool
	by                   []*manifest.Monitor
}

// asksItself reports whether something asks for the metrics to be fetched, and not a
// name alone speaks for it.
func (m metricPort) asksItself() bool { return m.podAsks || m.serviceAsks || len(m.by) > 0 }

// offerer says what speaks for metrics there.
func (m metricPort) offerer() string {
	switch {
	case len(m.by) > 0:
		return m.by[0].String() + " asks for"
	case m.podAsks:
		return "an annotation of the pods asks to scrape"
	case m.serviceAsks:
		return "an annotation of their Service asks to scrape"
	}
	return "their Service has by a name for metrics"
}

// metricPorts lists those of the class, and others that are known to have metrics.
func (v *view) metricPorts(c *class, others ...port) []metricPort {
	var all []metricPort
	put := func(p port) *metricPort {
		i := slices.IndexFunc(all, func(m metricPort) bool { return m.port == p })
		if i < 0 {
			i, all = len(all), append(all, metricPort{port: p})
		}
		return &all[i]
	}
	for _, s := range c.services {
		for _, p := range s.Ports {
			if on, ok := p.On(&c.Pod); ok && namesMetrics(p.Name) {
				put(port{on, p.Protocol}).offered = true
			}
		}
	}
	for _, p := range c.Ports {
		if namesMetrics(p.Name) {
			put(portOf(p))
		}
	}
	for _, m := range v.monitored(c) {
		one := put(m.port)
		one.by = append(one.by, m.by)
	}
	for i, annotations := range v.annotations(c) {
		if annotations["prometheus.io/scrape"] != "true" {
			continue
		}
		asked := func(m *metricPort) { m.podAsks, m.serviceAsks = m.podAsks || i == 0, m.serviceAsks || i > 0 }
		if n, err := strconv.ParseInt(annotations["prometheus.io/port"], 10, 32); err == nil {
			asked(put(port{int32(n), tcp}))
			continue
		}
		for i := range all {
			asked(&all[i])
		}
	}
	for _, p := range others {
		put(p)
	}
	return all
}

// annotations are those of the class's pods, then those of the Services before them.
func (v *view) annotations(c *class) []map[string]string {
	all := []map[string]string{nil}
	if c.workload != nil && c.workload.Template != nil {
		all[0] = c.workload.Template.Annotations
	}
	for _, s := range c.services {
		all = append(all, v.noted[s.Namespace+"/"+s.Name])
	}
	return all
}

func namesMetrics(name string) bool {
	return slices.Contains([]string{"metrics", "http-metrics", "https-metrics", "prometheus", "prom", "http-prom", "monitoring"}, name) || strings.HasSuffix(name, "-metrics") || strings.HasPrefix(name, "metrics-")
}
