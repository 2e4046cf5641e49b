package preview

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
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
// with the labels of the path's identity to each pod behind its target. A path
// without a target comes back with the reason as its Rule.
func (t *targets) edges(r manifest.Rollout) (paths []Path, edges []rollout.Edge, err error) {
	for i, ref := range r.Object.Spec.Suites {
		suite := t.suite(r.Namespace, ref.Name)
		if suite == nil {
			return nil, nil, fmt.Errorf("%s %s: suite %s/%s is not in the input: add its ConnectivitySuite", r.Where(fmt.Sprintf("spec.suites[%d]", i)), r, r.Namespace, ref.Name)
		}
		for _, path := range suite.Spec.Paths {
			p := Path{Name: path.Name, Expect: path.Expect, Warning: path.Criticality == v1alpha1.CriticalityWarning}
			source, ends := identity(suite, path.From), t.behind(path.To.Service)
			switch {
			case source == nil:
				p.Rule = fmt.Sprintf("the suite has no identity %s", path.From)
			case len(ends) == 0:
				p.Rule = fmt.Sprintf("no pod of the input is behind Service %s/%s on port %d/%s", path.To.Service.Namespace, path.To.Service.Name, path.To.Service.Port, protocol(path.To.Service))
			}
			for _, e := range ends {
				if source != nil {
					conn := verdict.Conn{From: verdict.End{Pod: source}, To: verdict.End{Pod: e.pod}, Port: e.port, Protocol: protocol(path.To.Service)}
					edges = append(edges, rollout.Edge{Path: path.Name, Conn: conn, Expect: path.Expect})
				}
			}
			paths = append(paths, p)
		}
	}
	return paths, edges, nil
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

func (t *targets) behind(to v1alpha1.ServiceTarget) []backend {
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
	for _, b := range all {
		port := verdict.Port{Number: b.port, Protocol: protocol(to)}
		if !slices.Contains(t.ports, port) {
			t.ports = append(t.ports, port)
		}
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
