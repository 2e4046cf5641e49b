package scenarios

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/catalog"
)

// maxReplicas bounds a workload: a platform to rehearse on is small.
const maxReplicas = 1000

func (p *positions) checkTopology(t *Topology) {
	seen := map[string]bool{}
	for i, ns := range t.Namespaces {
		at := index("spec.topology.namespaces", i)
		p.checkName(at+".name", ns.Name)
		p.checkLabels(at+".labels", ns.Labels)
		if reserved(ns.Name) {
			p.add(at+".name", "%s is not a scenario's to create", ns.Name)
		}
		if seen[ns.Name] {
			p.add(at+".name", "namespace %s is listed twice", strict.Show(ns.Name))
		}
		seen[ns.Name] = true
	}
	p.checkPolicies("spec.topology.policies", t.Policies, nil, t)
	services := map[string]bool{}
	for i, w := range t.Workloads {
		at := index("spec.topology.workloads", i)
		p.checkWorkload(at, w, t)
		for _, other := range t.Workloads[:i] {
			p.checkApart(at, w, other)
		}
		for j, s := range w.Services {
			at := index(at+".services", j)
			if key := w.Namespace + "/" + s.Name; services[key] {
				p.add(at+".name", "Service %s is listed twice", strict.Show(key))
			} else {
				services[key] = true
			}
		}
	}
}

// reserved namespaces belong to the cluster, or to Tightrope itself.
func reserved(name string) bool {
	return name == "default" || strings.HasPrefix(name, "kube-") || name == v1alpha1.SystemNamespace
}

func (p *positions) checkWorkload(at string, w Workload, t *Topology) {
	p.checkName(at+".name", w.Name)
	p.checkNamespace(at+".namespace", w.Namespace, t)
	p.checkLabels(at+".labels", w.Labels)
	if w.Replicas < 0 || w.Replicas > maxReplicas {
		p.add(at+".replicas", "%d is not from 0 to %d (0 means 1)", w.Replicas, maxReplicas)
	}
	profile, err := catalog.Get(w.Profile)
	if err != nil {
		p.add(at+".profile", "the catalog has no profile %q: it has %s%s", strict.Show(w.Profile), strict.OneOf(catalog.Names()), strict.DidYouMean(w.Profile, catalog.Names()))
	}
	for i, s := range w.Services {
		p.checkService(index(at+".services", i), s, profile)
	}
	for i, c := range w.Calls {
		p.checkCall(index(at+".calls", i), c, t)
	}
}

// checkApart wants two workloads that neither Services nor ReplicaSets mix up.
func (p *positions) checkApart(at string, w, other Workload) {
	switch {
	case w.Namespace != other.Namespace:
	case w.Name == other.Name:
		p.add(at+".name", "workload %s is listed twice in namespace %s", strict.Show(w.Name), strict.Show(w.Namespace))
	case within(w.podLabels(), other.podLabels()) || within(other.podLabels(), w.podLabels()):
		p.add(at+".labels", "a selector of these labels would also select pods of %s: give each workload a label of its own", strict.Show(other.Name))
	}
}

func within(some, all map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}

// checkService wants ports that the profile's stand-in opens. A nil profile
// has been reported already.
func (p *positions) checkService(at string, s Service, profile *catalog.Profile) {
	p.checkName(at+".name", s.Name)
	if len(s.Ports) == 0 {
		p.add(at+".ports", "is empty: a Service needs a port")
	}
	names, numbers := map[string]bool{}, map[ServicePort]bool{}
	for i, port := range s.Ports {
		at := index(at+".ports", i)
		p.checkName(at+".name", port.Name)
		p.checkPort(at+".port", port.Port)
		number := ServicePort{Port: port.Port, Protocol: string(port.protocol())}
		if names[port.Name] || numbers[number] {
			p.add(at, "port %s (%d/%s) is listed twice", strict.Show(port.Name), port.Port, strict.Show(number.Protocol))
		}
		names[port.Name], numbers[number] = true, true
		opens := func(known catalog.Port) bool {
			return known.Number == port.target() && known.Purpose != catalog.PurposePeer && port.protocol() == corev1.ProtocolTCP
		}
		if profile != nil && !slices.ContainsFunc(profile.Ports, opens) {
			p.add(at, "the stand-in for %s does not listen on %d/%s", profile.Name, port.target(), strict.Show(number.Protocol))
		}
	}
}

// checkCall wants a Service that is there and understands the request.
func (p *positions) checkCall(at string, c Call, t *Topology) {
	workload, service, ok := t.service(c.Namespace, c.Service)
	if !ok {
		p.add(at+".service", "the topology has no Service %s in namespace %s%s", strict.Show(c.Service), strict.Show(c.Namespace), strict.DidYouMean(c.Service, t.serviceNames()))
		return
	}
	if _, ok := service.port(c.Port, ""); !ok {
		p.add(at+".port", "Service %s/%s has no port %d", c.Namespace, c.Service, c.Port)
	}
	profile, err := catalog.Get(workload.Profile)
	if err != nil {
		return // reported where the workload states it
	}
	if _, ok := profile.Request(c.Request); !ok {
		p.add(at+".request", "%s knows no request %q: it knows %s", profile.Name, strict.Show(c.Request), strict.OneOf(requestNames(profile)))
	}
}

func requestNames(p *catalog.Profile) []string {
	names := []string{}
	for _, r := range p.Requests {
		names = append(names, r.Name)
	}
	return names
}
