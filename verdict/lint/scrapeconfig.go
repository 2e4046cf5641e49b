package lint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// certainty says how far the input shows that a scraper fetches a port's metrics.
type certainty uint8

const (
	unscraped certainty = iota // what it fetches is known, and the port is not among it
	possible                   // only the name of a port speaks for it
	likely                     // an annotation asks for it, and whether the scraper heeds it is not known
	sure                       // its configuration, or a monitor that it chooses, names it
)

// scraping is what the configuration of a Prometheus, as a ConfigMap of the input
// has it, makes it fetch (prometheus.io/docs, configuration).
type scraping struct {
	known    bool     // such a configuration is in the input
	static   []target // addresses that it lists
	pods     bool     // pods whose annotation asks for it
	services bool     // pods behind Services whose annotation asks for it
	open     bool     // others as well, which cannot be told
}

// promConfig is as much of a configuration as says what is fetched.
type promConfig struct {
	Jobs  []promJob `yaml:"scrape_configs"`
	Files []string  `yaml:"scrape_config_files"`
}

type promJob struct {
	Static []struct {
		Targets []string `yaml:"targets"`
	} `yaml:"static_configs"`
	Kubernetes []struct {
		Role string `yaml:"role"`
	} `yaml:"kubernetes_sd_configs"`
	Relabel []struct {
		Sources []string `yaml:"source_labels"`
		Action  string   `yaml:"action"`
		Regex   string   `yaml:"regex"`
	} `yaml:"relabel_configs"`
	Others map[string]any `yaml:",inline"`
}

// scraping reads the configuration that the class's pods mount.
func (v *view) scraping(c *class) scraping {
	var s scraping
	if c.workload == nil || c.workload.Template == nil {
		return s
	}
	for _, volume := range c.workload.Template.Spec.Volumes {
		for _, name := range manifest.MountedConfigMaps(&volume) {
			settings, _ := v.set.SettingsOf(c.Namespace, name)
			for _, text := range settings.Data {
				var config promConfig
				if yaml.Unmarshal([]byte(text), &config) == nil && len(config.Jobs) > 0 {
					s.read(&config)
				}
			}
		}
	}
	slices.SortFunc(s.static, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return s
}

func (s *scraping) read(config *promConfig) {
	s.known = true
	s.open = s.open || len(config.Files) > 0
	for _, job := range config.Jobs {
		for _, static := range job.Static {
			for _, t := range static.Targets {
				host, port, _ := strings.Cut(t, ":")
				if number, err := strconv.ParseUint(port, 10, 16); err == nil && isHost(host) && len(s.static) < mostTargets {
					s.static = append(s.static, target{by: "its configuration", host: host, port: int32(number)})
				}
			}
		}
		for _, k := range job.Kubernetes {
			s.discover(k.Role, job)
		}
		for key := range job.Others {
			s.open = s.open || strings.HasSuffix(key, "_sd_configs")
		}
	}
}

// asks are the labels that stand for annotations by which pods and Services ask.
var asks = regexp.MustCompile(`_annotation_prometheus_io_(scrape|scrape_slow|probe)$`)

// discover notes what a job finds in the cluster by a role.
func (s *scraping) discover(role string, job promJob) {
	if role == "node" || role == "ingress" {
		return // no pods
	}
	for _, r := range job.Relabel {
		if r.Action != "keep" {
			continue
		}
		if r.Regex == "default;kubernetes;https" {
			return // the API server
		}
		if !slices.ContainsFunc(r.Sources, asks.MatchString) {
			continue
		}
		if role == "pod" {
			s.pods = true
		} else {
			s.services = true
		}
		return
	}
	s.open = true
}

// leadsTo reports whether an address, as the pods of a class write it, is that of a
// Service before another class, and its port leads to that one.
func (v *view) leadsTo(t target, by, c *class, p port) bool {
	service := v.service(t, by.Namespace)
	if service == nil || !slices.Contains(v.behindService(service), c) {
		return false
	}
	if service.Headless {
		return t.port == p.number
	}
	return slices.ContainsFunc(service.Ports, func(sp manifest.ServicePort) bool {
		on, ok := sp.On(&c.Pod)
		return ok && sp.Port == t.port && port{on, sp.Protocol} == p
	})
}

// fetchers are the classes that fetch metrics, with what they are told to fetch.
type fetchers struct {
	view    *view
	all     []*class
	configs map[*class]scraping
	called  map[*class][]target // by arguments, variables or configurations
}

func (v *view) fetchers() *fetchers {
	f := &fetchers{view: v, configs: map[*class]scraping{}, called: map[*class][]target{}}
	for _, c := range v.classes {
		if scrapes(c) {
			f.all, f.configs[c] = append(f.all, c), v.scraping(c)
			f.called[c] = append(f.configs[c].static, v.toldToCall(c)...)
		}
	}
	return f
}

// listed are the ports of the class that the configuration of some fetcher lists,
// whatever their names.
func (f *fetchers) listed(c *class) []port {
	var all []port
	for _, by := range f.all {
		for _, t := range f.configs[by].static {
			for _, p := range servedPorts(c) {
				if f.view.leadsTo(t, by, c, p) && !slices.Contains(all, p) {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// certainty says how far the input shows that one of them fetches the port's metrics.
func (f *fetchers) certainty(by, c *class, m metricPort) certainty {
	config, chosen := f.configs[by], unscraped
	for _, asks := range m.by {
		chosen = max(chosen, f.view.heeds(asks, by))
	}
	switch {
	case slices.ContainsFunc(f.called[by], func(t target) bool { return f.view.leadsTo(t, by, c, m.port) }),
		config.known && (config.pods && m.podAsks || config.services && m.serviceAsks):
		return sure
	case config.known && !config.open:
		return unscraped
	case chosen != unscraped:
		return chosen
	case m.podAsks || m.serviceAsks:
		return likely
	case len(m.by) == 0 && len(f.view.set.Objects.Monitors) == 0: // where there are some, what none asks for is likely not fetched
		return possible
	}
	return unscraped
}

// heeds says how far the input shows that the class fetches what the monitor asks
// for: an operator configures the pods that it makes, and others may read any.
func (v *view) heeds(m *manifest.Monitor, by *class) certainty {
	switch {
	case !v.chosen(m, by):
		return unscraped
	case by.workload != nil && by.workload.Kind == "Prometheus", by.Labels["operator.prometheus.io/name"] != "", by.Labels["managed-by"] == "vm-operator":
		return sure
	}
	return likely
}
