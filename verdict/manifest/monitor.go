package manifest

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Monitor asks a Prometheus, or what reads its kinds, to fetch metrics: a
// ServiceMonitor, a PodMonitor or a Probe, or one of VictoriaMetrics' twins.
type Monitor struct {
	Source
	Labels map[string]string // of the monitor itself
	// Selector chooses Services, or Pods where OfPods is true; nil of a Probe.
	Selector *metav1.LabelSelector
	OfPods   bool
	// Namespaces are those that are searched; empty: every one.
	Namespaces []string
	Ports      []MonitorPort
	// Prober is the Service that a Probe is sent to, as namespace/name, with
	// ProberPort; empty where it is no Service of the cluster.
	Prober     string
	ProberPort int32
	Targets    []ProbeTarget // of a Probe, those that are Services of the cluster
}

// ProbeTarget is a Service that a prober is to call, as namespace/name, and its port.
type ProbeTarget struct {
	Service string
	Port    int32
}

// MonitorPort is a port to fetch metrics from, in one of three ways.
type MonitorPort struct {
	Name   string             // of the Service's port, or of the container's
	Target intstr.IntOrString // of the pods, as a Service writes it; zero: not stated
}

// monitors are the kinds that ask for metrics to be fetched.
var monitors = map[groupKind]func(*reading, Source, *yaml.Node){
	{"monitoring.coreos.com", "ServiceMonitor"}:         (*reading).readMonitor,
	{"monitoring.coreos.com", "PodMonitor"}:             (*reading).readMonitor,
	{"monitoring.coreos.com", "Probe"}:                  (*reading).readMonitor,
	{"operator.victoriametrics.com", "VMServiceScrape"}: (*reading).readMonitor,
	{"operator.victoriametrics.com", "VMPodScrape"}:     (*reading).readMonitor,
	{"operator.victoriametrics.com", "VMProbe"}:         (*reading).readMonitor,
}

// monitorSpec is as much of any of the kinds as says what is fetched from where.
type monitorSpec struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Selector          *metav1.LabelSelector `json:"selector"`
		NamespaceSelector struct {
			Any        bool     `json:"any"`
			MatchNames []string `json:"matchNames"`
		} `json:"namespaceSelector"`
		Endpoints           []endpointSpec `json:"endpoints"`
		PodMetricsEndpoints []endpointSpec `json:"podMetricsEndpoints"`
		Module              string         `json:"module"`
		Prober              *struct {
			URL string `json:"url"`
		} `json:"prober"`
		VMProber *struct {
			URL string `json:"url"`
		} `json:"vmProberSpec"`
		Targets struct {
			Static struct {
				Prometheus []string `json:"static"`
				Victoria   []string `json:"targets"`
			} `json:"staticConfig"`
		} `json:"targets"`
	} `json:"spec"`
}

type endpointSpec struct {
	Port       string              `json:"port"`
	PortNumber *int32              `json:"portNumber"`
	TargetPort *intstr.IntOrString `json:"targetPort"`
}

func (r *reading) readMonitor(at Source, n *yaml.Node) {
	r.place(&at, n)
	var s monitorSpec
	if !r.decode(at, n, &s, "lint does not know whose metrics it asks for") || len(r.raw.Monitors) >= maxGathered {
		return
	}
	m := Monitor{Source: at, Labels: s.Metadata.Labels, Selector: s.Spec.Selector, OfPods: strings.Contains(at.Kind, "Pod")}
	switch {
	case s.Spec.NamespaceSelector.Any:
	case len(s.Spec.NamespaceSelector.MatchNames) > 0:
		m.Namespaces = s.Spec.NamespaceSelector.MatchNames
	default:
		m.Namespaces = []string{at.Namespace}
	}
	for _, e := range append(s.Spec.Endpoints, s.Spec.PodMetricsEndpoints...) {
		p := MonitorPort{Name: e.Port}
		if e.TargetPort != nil {
			p.Target = *e.TargetPort
		}
		if e.PortNumber != nil {
			p.Target = intstr.FromInt32(*e.PortNumber)
		}
		m.Ports = append(m.Ports, p)
	}
	if s.Spec.Prober == nil {
		s.Spec.Prober = s.Spec.VMProber
	}
	if s.Spec.Prober != nil {
		m.Prober, m.ProberPort = serviceOf(s.Spec.Prober.URL, at.Namespace)
	}
	for _, address := range append(s.Spec.Targets.Static.Prometheus, s.Spec.Targets.Static.Victoria...) {
		if service, port := serviceOf(address, at.Namespace); service != "" && !otherProtocol.MatchString(s.Spec.Module) {
			m.Targets = append(m.Targets, ProbeTarget{service, port})
		}
	}
	r.raw.Monitors = append(r.raw.Monitors, m)
}

// otherProtocol are names of modules of a prober that make it send no requests to
// the port of a Service.
var otherProtocol = regexp.MustCompile(`(?i)icmp|ping|dns`)

// serviceOf finds the Service that an address such as blackbox.monitoring.svc:9115
// leads to, as it is understood in a namespace.
func serviceOf(address, namespace string) (service string, port int32) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", 0
	}
	parts := strings.Split(u.Hostname(), ".")
	switch {
	case len(parts) == 1:
		parts = append(parts, namespace)
	case len(parts) > 2 && parts[2] != "svc":
		return "", 0
	}
	number := 80
	if u.Scheme == "https" {
		number = 443
	}
	if u.Port() != "" {
		if number, err = strconv.Atoi(u.Port()); err != nil || number > 65535 {
			return "", 0
		}
	}
	return parts[1] + "/" + parts[0], int32(number)
}
