package scenarios

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

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

func (p *positions) checkSuite(suite *v1alpha1.ConnectivitySuiteSpec, t *Topology) {
	identities := map[string]bool{}
	for i, id := range suite.Identities {
		at := index("spec.suite.identities", i)
		if identities[id.Name] {
			p.add(at+".name", "identity %s is listed twice", strict.Show(id.Name))
		}
		identities[id.Name] = true
		p.checkName(at+".name", id.Name)
		p.checkNamespace(at+".namespace", id.Namespace, t)
		p.checkLabels(at+".labels", id.Labels)
	}
	if len(suite.Identities) == 0 {
		p.add("spec.suite.identities", "is empty: without identities nobody tries a path")
	}
	if len(suite.Paths) == 0 {
		p.add("spec.suite.paths", "is empty: without paths nothing is proved")
	}
	names := map[string]bool{}
	for i, path := range suite.Paths {
		at := index("spec.suite.paths", i)
		if names[path.Name] {
			p.add(at+".name", "path %q is listed twice", strict.Show(path.Name))
		}
		names[path.Name] = true
		p.checkPath(at, path, identities)
		p.checkTarget(at, path, t)
	}
}

// checkPath looks at one path for itself.
func (p *positions) checkPath(at string, path v1alpha1.Path, identities map[string]bool) {
	unknown := func(at, name string) {
		if !identities[name] {
			p.add(at, "there is no identity %q%s", strict.Show(name), strict.DidYouMean(name, slices.Sorted(maps.Keys(identities))))
		}
	}
	if path.Name == "" || len(path.Name) > 120 {
		p.add(at+".name", "a path needs a name of at most 120 bytes")
	} else if i := strings.IndexFunc(path.Name, unstorable); i >= 0 {
		r, _ := utf8.DecodeRuneInString(path.Name[i:])
		p.add(at+".name", "%s has the control character %U, which no API server takes: leave it out", strict.Show(path.Name), r)
	}
	unknown(at+".from", path.From)
	if path.Expect != v1alpha1.ExpectAllow && path.Expect != v1alpha1.ExpectDeny {
		p.add(at+".expect", "%q is not Allow or Deny: there is no default, a path says what it expects", strict.Show(string(path.Expect)))
	}
	for i, via := range path.Via {
		if via != v1alpha1.ViaService && via != v1alpha1.ViaPodIP || slices.Contains(path.Via[:i], via) {
			p.add(index(at+".via", i), "%q is not Service or PodIP, or is listed twice", strict.Show(string(via)))
		}
	}
	if path.Criticality != "" && path.Criticality != v1alpha1.CriticalityCritical && path.Criticality != v1alpha1.CriticalityWarning {
		p.add(at+".criticality", "%q is not Critical or Warning", strict.Show(string(path.Criticality)))
	}
	p.checkProbe(at, path)
	switch w := path.Witness; {
	case w == nil:
	case path.Expect == v1alpha1.ExpectAllow:
		p.add(at+".witness", "a path that must work is its own witness: leave it out")
	case w.From == path.From:
		p.add(at+".witness.from", "%q cannot witness for its own path, which must not work", strict.Show(w.From))
	default:
		unknown(at+".witness.from", w.From)
	}
}

// unstorable is true for what JSON leaves as it is and the API server, which
// reads an applied object as YAML, does not take. The other control characters
// are escaped in JSON; a path's name may have them.
func unstorable(r rune) bool {
	return r >= 0x7f && r <= 0x9f && r != 0x85 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

func (p *positions) checkProbe(at string, path v1alpha1.Path) {
	probe, udp := path.Probe, path.To.Service.Protocol == string(corev1.ProtocolUDP)
	switch probe.Type {
	case "", v1alpha1.ProbeTCP, v1alpha1.ProbeHTTP:
		if udp {
			p.add(at+".probe.type", "over UDP only DNS can be tried: silence to anything else proves nothing")
		}
	case v1alpha1.ProbeDNS:
	default:
		p.add(at+".probe.type", "%q is not TCP, HTTP or DNS", strict.Show(string(probe.Type)))
	}
	if probe.Path != "" && (probe.Type != v1alpha1.ProbeHTTP || !strings.HasPrefix(probe.Path, "/")) {
		p.add(at+".probe.path", "%s: only an HTTP probe has a path, and it starts with /", strict.Show(probe.Path))
	}
	if probe.Query != "" && probe.Type != v1alpha1.ProbeDNS {
		p.add(at+".probe.query", "only a DNS probe asks for a name")
	}
}

// checkTarget wants a Service that is there, and a request that is safe.
func (p *positions) checkTarget(at string, path v1alpha1.Path, t *Topology) {
	to, at := path.To.Service, at+".to.service"
	p.checkPort(at+".port", to.Port)
	if to.Protocol != "" && to.Protocol != string(corev1.ProtocolTCP) && to.Protocol != string(corev1.ProtocolUDP) {
		p.add(at+".protocol", "%q is not TCP or UDP", strict.Show(to.Protocol))
		return
	}
	if !p.checkName(at+".name", to.Name) || !p.checkName(at+".namespace", to.Namespace) || t == nil {
		return
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
	if path.Probe.Type != v1alpha1.ProbeHTTP {
		return
	}
	if profile, err := catalog.Get(workload.Profile); err == nil {
		if why, forbidden := profile.Forbids("GET", cmp.Or(path.Probe.Path, "/")); forbidden {
			p.add(strings.TrimSuffix(at, ".to.service")+".probe.path", "GET %s of %s is never safe to probe: %s; use %s", strict.Show(path.Probe.Path), profile.Name, why, profile.Probe.Path)
		}
	}
}
