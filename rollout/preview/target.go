package preview

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// targets finds the pods behind the Services that paths lead to.
type targets struct {
	set     *manifest.Set
	world   *verdict.World // gets the namespace of what is assumed
	ports   []verdict.Port // that paths lead to, for the search for exposures
	assumed []string
	dns     *verdict.Pod // once assumed
}

// edges turns the paths of the rollout's suites into connections, from a pod
// with the labels of the path's identity to each pod behind its target, and to the
// name servers where it goes by name. A path without a target comes back with the
// reason as its Rule.
func (t *targets) edges(r manifest.Rollout) (paths []Path, edges []rollout.Edge, err error) {
	var suites []*v1alpha1.ConnectivitySuite
	for i, ref := range r.Object.Spec.Suites {
		suite := t.suite(r.Namespace, ref.Name)
		if suite == nil {
			return nil, nil, fmt.Errorf("%s %s: suite %s/%s is not in the input: add its ConnectivitySuite", r.Where(fmt.Sprintf("spec.suites[%d]", i)), r, r.Namespace, ref.Name)
		}
		suites = append(suites, suite)
	}
	asked := t.asked(suites)
	for _, suite := range suites {
		for _, path := range suite.Spec.Paths {
			p := Path{Name: path.Name, Expect: path.Expect, Warning: path.Criticality == v1alpha1.CriticalityWarning}
			source, ends := identity(suite, path.From), t.behind(path.To.Service)
			switch {
			case source == nil:
				p.Rule = fmt.Sprintf("the suite has no identity %s", path.From)
			case len(ends) == 0:
				p.Rule = fmt.Sprintf("no pod of the input is behind Service %s/%s on port %d/%s", path.To.Service.Namespace, path.To.Service.Name, path.To.Service.Port, protocol(path.To.Service))
			}
			connect := func(to []backend, by corev1.Protocol) {
				for _, e := range to {
					conn := verdict.Conn{From: verdict.End{Pod: source}, To: verdict.End{Pod: e.pod}, Port: e.port, Protocol: by}
					edges = append(edges, rollout.Edge{Path: path.Name, Conn: conn, Expect: path.Expect})
				}
			}
			if source != nil {
				connect(ends, protocol(path.To.Service))
			}
			if p.Rule == "" && byName(path) && !asked[path.From] {
				connect(t.nameServers(), corev1.ProtocolUDP)
			}
			paths = append(paths, p)
		}
	}
	return paths, edges, nil
}

// byName reports whether attempts of a path that must work look a name up first.
func byName(path v1alpha1.Path) bool {
	return path.Expect == v1alpha1.ExpectAllow && !path.Probe.Type.Traits().AsksNames && slices.Contains(planner.PathOf(path).Ways(), v1alpha1.ViaService)
}

// asked are the identities that ask the name servers over UDP in a path of the suites,
// which then speaks for all of their paths.
func (t *targets) asked(suites []*v1alpha1.ConnectivitySuite) map[string]bool {
	names, all := t.nameService(), map[string]bool{}
	for _, suite := range suites {
		for _, path := range suite.Spec.Paths {
			to := path.To.Service
			if to.Namespace == names.Namespace && to.Name == names.Name && protocol(to) == corev1.ProtocolUDP &&
				path.Expect == v1alpha1.ExpectAllow && path.Criticality != v1alpha1.CriticalityWarning {
				all[path.From] = true
			}
		}
	}
	return all
}

// nameService is the Service of the cluster's DNS: that of the input, or the one that
// most clusters have.
func (t *targets) nameService() v1alpha1.ServiceTarget {
	to := v1alpha1.ServiceTarget{Namespace: "kube-system", Name: "kube-dns", Port: 53, Protocol: "UDP"}
	for _, s := range t.set.Services {
		if s.Namespace == "openshift-dns" && s.Name == "dns-default" {
			to.Namespace, to.Name = s.Namespace, s.Name
		}
	}
	return to
}

// nameServers are the pods that answer for the cluster's DNS, or stand for them.
func (t *targets) nameServers() []backend {
	to := t.nameService()
	all := t.ends(to)
	unseen := fmt.Sprintf("no pod of the input is behind Service %s/%s: nobody looked whether paths that go by name can look it up", to.Namespace, to.Name)
	if len(all) == 0 && !slices.Contains(t.assumed, unseen) {
		t.assumed = append(t.assumed, unseen)
	}
	return all
}

func (t *targets) suite(namespace, name string) *v1alpha1.ConnectivitySuite {
	for _, s := range t.set.Objects.Suites {
		if s.Namespace == namespace && s.Name == name {
			return s.Object
		}
	}
	return nil
}

// identity is a pod as the probe pods of that identity will be.
func identity(suite *v1alpha1.ConnectivitySuite, name string) *verdict.Pod {
	i := slices.IndexFunc(suite.Spec.Identities, func(id v1alpha1.Identity) bool { return id.Name == name })
	if i < 0 {
		return nil
	}
	id := suite.Spec.Identities[i]
	return &verdict.Pod{Namespace: id.Namespace, Name: id.Name, Labels: id.Labels}
}

// backend is a pod behind a Service, and the port that the Service's leads to.
type backend struct {
	pod  *verdict.Pod
	port int32
}

// behind are the pods that a path leads to. Exposures are searched on their ports, too.
func (t *targets) behind(to v1alpha1.ServiceTarget) []backend {
	all := t.ends(to)
	for _, b := range all {
		port := verdict.Port{Number: b.port, Protocol: protocol(to)}
		if !slices.Contains(t.ports, port) {
			t.ports = append(t.ports, port)
		}
	}
	return all
}

// ends are the pods behind a Service.
func (t *targets) ends(to v1alpha1.ServiceTarget) []backend {
	var all []backend
	found := false
	for _, s := range t.set.Services {
		if s.Namespace != to.Namespace || s.Name != to.Name {
			continue
		}
		found = true
		for _, port := range s.Ports {
			if port.Port != to.Port || port.Protocol != protocol(to) {
				continue
			}
			for _, i := range s.Pods {
				if n, ok := port.On(&t.set.Pods[i]); ok {
					all = append(all, backend{&t.set.Pods[i], n})
				}
			}
		}
	}
	if !found && to.Namespace == "kube-system" && to.Name == "kube-dns" && to.Port == 53 {
		all = append(all, backend{t.assumeDNS(), 53})
	}
	return all
}

// assumeDNS is the DNS pod that manifests of an application do not show, as most
// clusters have it.
func (t *targets) assumeDNS() *verdict.Pod {
	if t.dns != nil {
		return t.dns
	}
	t.dns = &verdict.Pod{Namespace: "kube-system", Name: "coredns", Labels: map[string]string{"k8s-app": "kube-dns"}, Ports: []verdict.Port{
		{Name: "dns", Number: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Number: 53, Protocol: corev1.ProtocolTCP}}}
	t.assumed = append(t.assumed, "the cluster's DNS is not in the input: pods labelled k8s-app=kube-dns in kube-system, on port 53, are assumed")
	if _, ok := t.world.Namespaces["kube-system"]; !ok {
		t.world.Namespaces = maps.Clone(t.world.Namespaces)
		if t.world.Namespaces == nil {
			t.world.Namespaces = map[string]map[string]string{}
		}
		t.world.Namespaces["kube-system"] = nil
		t.assumed = append(t.assumed, "the namespace kube-system is not in the input: it is assumed to have no labels but its name")
	}
	return t.dns
}
