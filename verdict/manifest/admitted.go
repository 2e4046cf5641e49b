package manifest

import (
	"cmp"

	"github.com/tightrope-dev/tightrope/verdict"
)

// admitted adds the labels that Istio gives to a pod when it adds a sidecar to it,
// as far as selectors ask for them (istio.io, Resource Labels; the canonical
// service is named after the pod's labels, else after its workload).
func (s *Set) admitted(pod *verdict.Pod, w Workload, asked map[string]bool) {
	const tls, name, revision = "security.istio.io/tlsMode", "service.istio.io/canonical-name", "service.istio.io/canonical-revision"
	if !asked[tls] && !asked[name] && !asked[revision] || !s.injected(pod, w) {
		return
	}
	own := pod.Labels
	for key, value := range map[string]string{
		tls:      "istio",
		name:     cmp.Or(own["app.kubernetes.io/name"], own["app"], w.Name),
		revision: cmp.Or(own["app.kubernetes.io/version"], own["version"], "latest"),
	} {
		if _, has := own[key]; !has && asked[key] {
			pod.Labels[key] = value
		}
	}
}

// injected reports whether Istio certainly adds a sidecar to the pod: its own label
// or annotation says so, or its namespace's label and nothing of its own.
func (s *Set) injected(pod *verdict.Pod, w Workload) bool {
	own, home := pod.Labels["sidecar.istio.io/inject"], s.World.Namespaces[pod.Namespace]
	if own == "" && w.Template != nil {
		own = w.Template.Annotations["sidecar.istio.io/inject"]
	}
	switch {
	case pod.HostNetwork, own == "false", home["istio.io/dataplane-mode"] == "ambient":
		return false
	case own == "true":
		return true
	}
	return home["istio-injection"] == "enabled" || home["istio.io/rev"] != "" && home["istio-injection"] != "disabled"
}
