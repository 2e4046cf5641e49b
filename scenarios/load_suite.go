package scenarios

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/catalog"
)

// clusterServices are in every cluster without anybody's topology.
var clusterServices = map[string][]ServicePort{
	"kube-system/kube-dns": {{Port: 53, Protocol: "UDP"}, {Port: 53, Protocol: "TCP"}},
	"default/kubernetes":   {{Port: 443}},
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// checkSuite looks at the suite for itself, and then whether the topology has what it
// names.
func (p *positions) checkSuite(suite *v1alpha1.ConnectivitySuiteSpec, t *Topology) {
	p.addAll(strict.CheckSuite("spec.suite", *suite))
	if t == nil {
		return
	}
	for i, id := range suite.Identities {
		if id.Namespace != "" && !t.hasNamespace(id.Namespace) {
			p.checkNamespace(index("spec.suite.identities", i)+".namespace", id.Namespace, t)
		}
	}
	for i, path := range suite.Paths {
		p.checkTarget(index("spec.suite.paths", i), path, t)
	}
}

// checkTarget wants a Service that is there, and a request that is safe.
func (p *positions) checkTarget(at string, path v1alpha1.Path, t *Topology) {
	to, at := path.To.Service, at+".to.service"
	if len(strict.CheckTarget(at, to)) > 0 {
		return // it is told
	}
	workload, service, ok := t.service(to.Namespace, to.Name)
	if ports, given := clusterServices[to.Namespace+"/"+to.Name]; given && !ok {
		service, ok = Service{Name: to.Name, Ports: ports}, true
	}
	if !ok {
		p.add(at+".name", "the topology has no Service %s in namespace %s%s", to.Name, to.Namespace, strict.DidYouMean(to.Name, t.serviceNames()))
		return
	}
	if _, ok := service.port(to.Port, to.Protocol); !ok {
		p.add(at+".port", "Service %s/%s has no port %d/%s: a path names the Service's port, not the container's", to.Namespace, to.Name, to.Port, cmp.Or(to.Protocol, "TCP"))
		return
	}
	if path.Probe.Type.Traits().Path == "" {
		return
	}
	if profile, err := catalog.Get(workload.Profile); err == nil {
		if why, forbidden := profile.Forbids("GET", cmp.Or(path.Probe.Path, path.Probe.Type.Traits().Path)); forbidden {
			p.add(strings.TrimSuffix(at, ".to.service")+".probe.path", "GET %s of %s is never safe to probe: %s; use %s", strict.Show(path.Probe.Path), profile.Name, why, profile.Probe.Path)
		}
	}
}
