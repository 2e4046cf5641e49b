package manifest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/verdict"
)

// assemble makes a Set of objects that are right, each for itself. It is pure.
func assemble(objects raw, others []foreign, o Options) *Set {
	objects.classify()
	s := &Set{Objects: objects.Objects, World: verdict.World{Namespaces: map[string]map[string]string{}}}
	for _, ns := range objects.Namespaces {
		s.World.Namespaces[ns.Name] = ns.Object.Labels
	}
	for name, stated := range o.NamespaceLabels {
		all := maps.Clone(stated)
		maps.Copy(all, s.World.Namespaces[name])
		maps.Copy(all, stated)
		s.World.Namespaces[name] = all
	}
	for _, p := range objects.NetworkPolicies {
		s.World.Policies = append(s.World.Policies, verdict.Policy{Namespace: p.Namespace, Name: p.Name, Spec: p.Object.Spec})
	}
	for _, p := range objects.ClusterPolicies {
		s.World.ClusterPolicies = append(s.World.ClusterPolicies, verdict.ClusterPolicy{Name: p.Name, Spec: p.Object.Spec})
	}
	for _, n := range objects.Nodes {
		s.World.Nodes = append(s.World.Nodes, node(n.Object))
	}
	for _, f := range others {
		s.World.Foreign = append(s.World.Foreign, f.world())
		s.Notes = append(s.Notes, f.note())
	}
	s.workloads(objects)
	s.services(objects.made())
	s.undeclared()
	s.state(o)
	return s
}

func (s *Set) note(at Position, object, format string, args ...any) {
	s.Notes = append(s.Notes, Note{Position: at, Object: object, Message: fmt.Sprintf(format, args...)})
}

func node(n *corev1.Node) verdict.Node {
	v := verdict.Node{Name: n.Name, Labels: n.Labels}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				v.IPs = append(v.IPs, ip)
			}
		}
	}
	return v
}

// undeclared looks for namespaces that nobody declares. In the cluster they may
// have any labels, so these stay unknown as soon as some selector asks for one.
// While all ask for the name only, as most do, no label matters, and each verdict
// is what it would be with any labels.
func (s *Set) undeclared() {
	used := map[string]bool{}
	for _, p := range s.Pods {
		used[p.Namespace] = true
	}
	for _, p := range s.World.Policies {
		used[p.Namespace] = true
	}
	for _, r := range s.Objects.Rollouts {
		for _, c := range r.Candidates {
			used[c.Namespace] = true
		}
	}
	for name := range s.World.Namespaces {
		delete(used, name)
	}
	s.Undeclared = slices.Sorted(maps.Keys(used))
	asked := slices.Sorted(maps.Keys(s.asked().ofNamespaces))
	switch n := len(s.Undeclared); {
	case n == 0:
	case len(asked) == 0:
		for _, name := range s.Undeclared {
			s.World.Namespaces[name] = nil
		}
	default:
		s.note(Position{}, "", "%s not declared: %s; selectors ask for labels of namespaces (%s), which are unknown there, and so are verdicts that depend on them (state them with --namespace-label)",
			count(n, "namespace"), brief(s.Undeclared), brief(asked))
	}
}

// brief lists the first few.
func brief(names []string) string {
	const most = 5
	text := strict.Show(strings.Join(names[:min(len(names), most)], ", "))
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// declared is a pod that somebody declared, as policies see it.
func declared(p *corev1.Pod) verdict.Pod {
	v := podOf(&p.Spec)
	v.Namespace, v.Name, v.Labels, v.Node = p.Namespace, p.Name, p.Labels, p.Spec.NodeName
	for _, text := range addresses(p.Status) {
		if ip, err := netip.ParseAddr(text); err == nil {
			v.IPs = append(v.IPs, ip)
		}
	}
	return v
}

func addresses(status corev1.PodStatus) []string {
	var all []string
	for _, ip := range status.PodIPs {
		all = append(all, ip.IP)
	}
	if len(all) == 0 && status.PodIP != "" {
		all = append(all, status.PodIP)
	}
	return all
}

// podOf is what a pod's spec says. Ports are those of containers that run as
// long as the pod: names are looked up there, and in init containers only where
// they are sidecars (FindPort of Kubernetes).
func podOf(spec *corev1.PodSpec) verdict.Pod {
	v := verdict.Pod{HostNetwork: spec.HostNetwork}
	containers := slices.Clone(spec.Containers)
	for _, c := range spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for _, p := range c.Ports {
			port := verdict.Port{Name: p.Name, Number: p.ContainerPort, Protocol: p.Protocol}
			if port.Protocol == "" {
				port.Protocol = corev1.ProtocolTCP
			}
			if !slices.Contains(v.Ports, port) {
				v.Ports = append(v.Ports, port)
			}
		}
	}
	return v
}

// hasEnded reports whether a pod has no network any more.
func hasEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
