package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// controlIdentity is the identity of the pod in Tightrope's own namespace that
// shows what no candidate touches.
const controlIdentity = "tightrope-control"

// twinCheck is the ID of the control pod's check of the twin.
const twinCheck = "twin"

// dnsPort is where name servers listen.
const dnsPort = 53

// controlInterval keeps preflight short: the control pod's attempts time it.
const controlInterval = 100 * time.Millisecond

// confirmEvery and confirmCount shape the burst after a change of outcome. The
// count is generous: how many failures make a cut is decided here, not there.
const (
	confirmEvery = 20 * time.Millisecond
	confirmCount = 12
)

// route is where a check leads, as the operator knows it.
type route struct {
	path    int // index in Plan.Paths
	via     v1alpha1.Via
	target  types.NamespacedName // the pod, for PodIP
	address string
	port    int32
	// protocol of the attempt, TCP or UDP.
	protocol string
	witness  bool // serves a Deny path only and never votes
}

// agentSpec is one probe pod and what it tries.
type agentSpec struct {
	name     types.NamespacedName
	identity v1alpha1.Identity
	front    bool   // wears the enforced label: judged by the candidate from the first live step
	node     string // of a marker, which must run there; empty: anywhere, and the pod is no marker
	plan     probes.Plan
	routes   map[string]route
}

// controlName is the pod of the control identity.
func (p *Plan) controlName() types.NamespacedName {
	return p.agent(p.control(), false, nil, nil).name
}

// control is the identity of the control pod.
func (p *Plan) control() v1alpha1.Identity {
	return v1alpha1.Identity{Name: controlIdentity, Namespace: p.HomeNamespace()}
}

// agents says which probe pods a plan needs in this world and what each tries.
// Every identity has two: the front one is judged by the candidate from the
// first live step on, the rear one goes with production, so both the candidate
// and the bridges are always under test.
func (p *Plan) agents(w *world, twin *corev1.Pod) []agentSpec {
	var out []agentSpec
	for _, id := range p.Identities {
		routes, checks := p.checksFrom(w, id.Name)
		if len(checks) == 0 {
			continue
		}
		for _, front := range []bool{true, false} {
			out = append(out, p.agent(id, front, checks, routes))
		}
	}
	routes, checks := p.checksFrom(w, controlIdentity)
	if twin != nil && twin.Status.PodIP != "" {
		checks = append(checks, probes.Check{ID: twinCheck, Type: "TCP", Protocol: "TCP", Host: twin.Status.PodIP, Port: pods.TwinPort})
		routes[twinCheck] = route{path: -1, via: v1alpha1.ViaPodIP, target: client.ObjectKeyFromObject(twin),
			address: twin.Status.PodIP, port: pods.TwinPort, protocol: "TCP", witness: true}
	}
	p.addNameServers(w, &checks, routes)
	agent := p.agent(p.control(), false, checks, routes)
	agent.plan.Interval = min(p.Interval, controlInterval)
	p.addMarkers(w, &agent)
	return append(append(out, agent), p.markerAgents(w, twin)...)
}

// addNameServers makes the control pod ask the cluster's name servers, over both
// protocols: a look-up that fails for a probe pod is then told from one that
// fails for everybody, and so is a Service.
func (p *Plan) addNameServers(w *world, checks *[]probes.Check, routes map[string]route) {
	svc := w.nameService()
	if svc == nil || svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == corev1.ClusterIPNone {
		return
	}
	for _, protocol := range []string{"UDP", "TCP"} {
		if _, ok := servicePort(svc, v1alpha1.ServiceTarget{Port: dnsPort, Protocol: protocol}); !ok {
			continue
		}
		id := "names/" + protocol
		*checks = append(*checks, probes.Check{ID: id, Type: string(v1alpha1.ProbeDNS), Protocol: protocol, Host: svc.Spec.ClusterIP,
			Port: dnsPort, Query: serviceName("kubernetes", "default", p.ClusterDomain)})
		routes[id] = route{path: -1, via: v1alpha1.ViaService, protocol: protocol, witness: true}
	}
}

func (p *Plan) agent(id v1alpha1.Identity, front bool, checks []probes.Check, routes map[string]route) agentSpec {
	name := types.NamespacedName{Namespace: id.Namespace, Name: p.AgentName(id.Name, front)}
	return agentSpec{
		name: name, identity: id, front: front, routes: routes,
		plan: probes.Plan{
			Run: p.Run, Agent: name.String(), Interval: p.Interval, Timeout: p.Timeout,
			Confirm: probes.Confirmation{Every: confirmEvery, Count: confirmCount},
			Checks:  checks,
		},
	}
}

// checksFrom lists what an identity tries: its own paths, and the targets it is
// the witness of.
func (p *Plan) checksFrom(w *world, identity string) (map[string]route, []probes.Check) {
	routes := map[string]route{}
	var checks []probes.Check
	add := func(id string, r route, c probes.Check) {
		c.ID, routes[id] = id, r
		checks = append(checks, c)
	}
	for i, path := range p.Paths {
		if path.From == identity {
			if slices.Contains(path.Ways(), v1alpha1.ViaService) {
				if c, ok := p.serviceCheck(w, path); ok {
					add(fmt.Sprintf("p%d/service", i), route{path: i, via: v1alpha1.ViaService, protocol: path.Protocol()}, c)
				}
			}
			if slices.Contains(path.Ways(), v1alpha1.ViaPodIP) {
				p.addBackends(w, path, fmt.Sprintf("p%d", i), route{path: i, via: v1alpha1.ViaPodIP, protocol: path.Protocol()}, add)
			}
		}
		if path.WitnessIdentity == identity {
			if slices.Contains(path.WitnessWays, v1alpha1.ViaService) {
				if c, ok := p.serviceCheck(w, path); ok {
					add(fmt.Sprintf("w%d/service", i), route{path: i, via: v1alpha1.ViaService, protocol: path.Protocol(), witness: true}, c)
				}
			}
			p.addBackends(w, path, fmt.Sprintf("w%d", i), route{path: i, via: v1alpha1.ViaPodIP, protocol: path.Protocol(), witness: true}, add)
		}
	}
	return routes, checks
}

// addBackends tries each pod behind a path's Service, at each of its addresses: a
// pod of a dual-stack Service has two, and one may be open while the other is shut.
func (p *Plan) addBackends(w *world, path plan.Path, prefix string, r route, add func(string, route, probes.Check)) {
	last := ""
	for _, b := range w.backends(path.To.Service) {
		r.target = types.NamespacedName{Namespace: b.pod.Namespace, Name: b.pod.Name}
		r.address, r.port = b.addr, b.port
		id := prefix + "/" + b.pod.Name
		if b.pod.Name == last {
			id += "/" + b.addr
		}
		last = b.pod.Name
		add(id, r, p.check(path, b.addr, b.port))
	}
}

// serviceCheck tries a path as clients do: by the Service's name, resolved
// afresh each time. DNS itself is asked at the Service's address, because a
// name server cannot be found by name. So is a path that must not work: a name
// that does not resolve proves nothing of the path, and a source that may not
// look names up can still use an address.
func (p *Plan) serviceCheck(w *world, path plan.Path) (probes.Check, bool) {
	t := path.To.Service
	svc := w.services[types.NamespacedName{Namespace: t.Namespace, Name: t.Name}]
	if svc == nil {
		return probes.Check{}, false
	}
	host := serviceName(t.Name, t.Namespace, p.ClusterDomain)
	own := svc.Spec.ClusterIP != "" && svc.Spec.ClusterIP != corev1.ClusterIPNone
	asksNames := path.Probe.Type.Traits().AsksNames
	switch byAddress := asksNames || path.Expect == v1alpha1.ExpectDeny; {
	case byAddress && own:
		host = svc.Spec.ClusterIP
	case asksNames:
		return probes.Check{}, false
	}
	return p.check(path, host, t.Port), true
}

func (p *Plan) check(path plan.Path, host string, port int32) probes.Check {
	c := probes.Check{Type: string(cmp.Or(path.Probe.Type, v1alpha1.ProbeTCP)), Protocol: path.Protocol(), Host: host, Port: port}
	traits := path.Probe.Type.Traits()
	if traits.Path != "" {
		c.Path = cmp.Or(path.Probe.Path, traits.Path)
	}
	if traits.AsksNames {
		c.Query = cmp.Or(path.Probe.Query, serviceName("kubernetes", "default", p.ClusterDomain))
	}
	return c
}

// serviceName is the absolute name of a Service, so that one attempt asks one
// question and not one per entry of a search list. Without a known domain it is
// the name that the search list completes.
func serviceName(name, namespace, domain string) string {
	host := name + "." + namespace + ".svc"
	if domain != "" {
		host += "." + domain + "."
	}
	return host
}

// clusterDomain reads the cluster's DNS domain off the search list of a pod's
// resolv.conf, where the kubelet writes svc.<domain>; empty: not a pod's.
func clusterDomain(resolvConf string) string {
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "search" {
			continue
		}
		for _, entry := range fields[1:] {
			if domain, ok := strings.CutPrefix(entry, "svc."); ok {
				return strings.TrimSuffix(domain, ".")
			}
		}
	}
	return ""
}
