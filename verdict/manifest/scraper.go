package manifest

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Scraper is a Prometheus resource with the monitors that it chooses
// (prometheus-operator.dev, API reference: PrometheusSpec).
type Scraper struct {
	Source
	choices map[string]Choice // by kind
}

// Choice is how a resource chooses objects of one kind.
type Choice struct {
	Objects    *metav1.LabelSelector // nil: none
	Namespaces *metav1.LabelSelector // nil: its own only
}

// Choice is how it chooses monitors of the kind, one that it does not choose by
// none.
func (s Scraper) Choice(kind string) Choice { return s.choices[kind] }

type chosenSpec struct {
	ServiceMonitors   *metav1.LabelSelector `json:"serviceMonitorSelector"`
	ServiceNamespaces *metav1.LabelSelector `json:"serviceMonitorNamespaceSelector"`
	PodMonitors       *metav1.LabelSelector `json:"podMonitorSelector"`
	PodNamespaces     *metav1.LabelSelector `json:"podMonitorNamespaceSelector"`
	Probes            *metav1.LabelSelector `json:"probeSelector"`
	ProbeNamespaces   *metav1.LabelSelector `json:"probeNamespaceSelector"`
}

func (r *reading) scrape(at Source, s chosenSpec) {
	if len(r.raw.Scrapers) >= maxGathered {
		return
	}
	r.raw.Scrapers = append(r.raw.Scrapers, Scraper{at, map[string]Choice{
		"ServiceMonitor": {s.ServiceMonitors, s.ServiceNamespaces},
		"PodMonitor":     {s.PodMonitors, s.PodNamespaces},
		"Probe":          {s.Probes, s.ProbeNamespaces},
	}})
}
