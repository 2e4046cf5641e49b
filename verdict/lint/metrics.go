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
	var fetching []*class
	for _, c := range v.classes {
		if scrapes(c) {
			fetching = append(fetching, c)
		}
	}
	if len(fetching) == 0 {
		return append(v.unscrapable(), v.proberCut()...)
	}
	strong, weak := &openings{view: v}, &openings{view: v}
	unmonitored := len(v.set.Objects.Monitors) == 0 // where there are some, what none asks for is likely not fetched
	for _, c := range v.classes {
		for _, m := range v.metricPorts(c) {
			by := v.fetchers(fetching, m)
			if slices.Contains(fetching, c) || len(by) == 0 || slices.ContainsFunc(by, func(s *class) bool {
				return v.between(s, c, m.number, m.protocol).Decision != verdict.Deny
			}) {
				continue
			}
			switch {
			case (m.asked || m.offered && unmonitored) && !v.letsUnseenIn(c, m.port):
				strong.need(by[0], c, m.port, nil, false)
			case m.asked || m.noted || unmonitored:
				weak.need(by[0], c, m.port, nil, false)
			}
		}
	}
	return slices.Concat(metricsDrafts(strong, Error), metricsDrafts(weak, Warning), v.proberCut())
}

// fetchers are those of the classes that may fetch the port: where only monitors ask
// for it, those that choose one of these.
func (v *view) fetchers(all []*class, m metricPort) []*class {
	if len(m.by) == 0 || m.noted {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(c *class) bool {
		return !slices.ContainsFunc(m.by, func(asks *manifest.Monitor) bool { return v.chosen(asks, c) })
	})
}

func metricsDrafts(o *openings, s Severity) []draft {
	var drafts []draft
	for _, x := range o.merged() {
		d := x.draft(s)
		scraper, scraped, verb := x.peer.name(), names(x.subjects), "declare"
		if x.direction == egress {
			scraper, scraped = names(x.subjects), x.peer.name()
		}
		if s == Error {
			verb = "offer"
		}
		d.what = fmt.Sprintf("%s cannot fetch the metrics of %s on %s.", scraper, scraped, portsText(x.ports))
		d.why = fmt.Sprintf("%s, and no rule allows it; the pods %s metrics there, and their alerts stop firing without any user noticing.", o.view.isolators(x.subjects[0], x.direction), verb)
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
			if !m.offered || len(isolating) == 0 || slices.ContainsFunc(isolating, func(p *policy) bool {
				return slices.ContainsFunc(p.rules(ingress), func(r rule) bool { return covers(r.ports, c, m.port) })
			}) {
				continue
			}
			drafts = append(drafts, draft{
				policy: isolating[0], at: at("spec", "ingress"), severity: Warning,
				what: fmt.Sprintf("Nobody may fetch the metrics of %s on %s.", c.name(), portsText([]port{m.port})),
				why:  v.isolators(c, ingress) + ", and no rule lists the port, which the pods, their Service or a monitor offer for scraping.",
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

// metricPort is a port with metrics. A monitor asks for it, an annotation notes
// it, or a Service offers it by its name; else a container only declares it.
type metricPort struct {
	port
	offered, noted, asked bool // noted and asked are offered too
	by                    []*manifest.Monitor
}

func (v *view) metricPorts(c *class) []metricPort {
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
		one.offered, one.asked, one.by = true, true, append(one.by, m.by)
	}
	for _, annotations := range v.annotations(c) {
		if annotations["prometheus.io/scrape"] != "true" {
			continue
		}
		if n, err := strconv.ParseInt(annotations["prometheus.io/port"], 10, 32); err == nil {
			put(port{int32(n), tcp})
		}
		for i := range all {
			all[i].offered, all[i].noted = true, true
		}
	}
	return all
}

// annotations are those of the class's pods and of the Services before them.
func (v *view) annotations(c *class) []map[string]string {
	var all []map[string]string
	if c.workload != nil && c.workload.Template != nil {
		all = append(all, c.workload.Template.Annotations)
	}
	for _, s := range c.services {
		all = append(all, v.noted[s.Namespace+"/"+s.Name])
	}
	return all
}

func namesMetrics(name string) bool {
	return slices.Contains([]string{"metrics", "http-metrics", "https-metrics", "prometheus", "prom", "http-prom", "monitoring"}, name) || strings.HasSuffix(name, "-metrics") || strings.HasPrefix(name, "metrics-")
}
