package lint

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

const (
	dnsPort = 53
	// nodeLocal is where NodeLocal DNSCache listens by default
	// (kubernetes.io/docs/tasks/administer-cluster/nodelocaldns).
	nodeLocal = "169.254.20.10"
	// openShiftDNS is where OpenShift has its DNS pods, with a cache of their own.
	openShiftDNS = "openshift-dns"
)

// resolver is the pods that answer the cluster's DNS queries.
type resolver struct {
	*class
	udp, tcp int32 // the ports on the pods, which may differ from the Service's 53
	clusters []netip.Addr
	assumed  bool // not in the set: how clusters commonly have it
}

// port is the port on the pods.
func (r resolver) port(p corev1.Protocol) int32 {
	if p == udp {
		return r.udp
	}
	return r.tcp
}

// findResolvers looks for the cluster's DNS in the set, and assumes the common
// ones where there is none: kube-dns or CoreDNS in kube-system, and OpenShift's.
func (v *view) findResolvers() []resolver {
	var found []resolver
	for _, c := range v.classes {
		if !c.HostNetwork && resolves(c) {
			found = append(found, v.resolver(c))
		}
	}
	if len(found) > 0 {
		return found
	}
	for _, home := range []struct {
		namespace string
		labels    map[string]string
		port      int32
	}{
		{"kube-system", map[string]string{"k8s-app": "kube-dns", "app.kubernetes.io/name": "coredns"}, 53},
		{"kube-system", map[string]string{"k8s-app": "coredns"}, 53},
		{openShiftDNS, map[string]string{"dns.operator.openshift.io/daemonset-dns": "default"}, 5353},
	} {
		pod := verdict.Pod{Namespace: home.namespace, Name: "dns", Labels: home.labels, Ports: []verdict.Port{
			{Name: "dns", Number: home.port, Protocol: udp}, {Name: "dns-tcp", Number: home.port, Protocol: tcp},
		}}
		found = append(found, resolver{class: &class{Pod: pod}, udp: home.port, tcp: home.port, assumed: true})
	}
	return found
}

func resolves(c *class) bool {
	return slices.Contains([]string{"kube-dns", "coredns"}, c.Labels["k8s-app"]) ||
		strings.HasSuffix(c.Labels["app.kubernetes.io/name"], "coredns") ||
		c.Labels["dns.operator.openshift.io/daemonset-dns"] != "" ||
		slices.ContainsFunc(c.services, func(s *manifest.Service) bool {
			return s.Namespace == "kube-system" && s.Name == "kube-dns" || s.Namespace == openShiftDNS && s.Name == "dns-default"
		})
}

// resolver reads the ports of DNS pods: by their Service, else by the name that
// they give the port, else 53.
func (v *view) resolver(c *class) resolver {
	r := resolver{class: c}
	for _, p := range c.Ports {
		if p.Name == "dns" && p.Protocol == udp {
			r.udp = p.Number
		} else if p.Name == "dns-tcp" {
			r.tcp = p.Number
		}
	}
	for _, s := range c.services {
		for _, p := range s.Ports {
			if on, ok := p.On(&c.Pod); ok && p.Port == dnsPort && p.Protocol == udp {
				r.udp = on
			} else if ok && p.Port == dnsPort && p.Protocol == tcp {
				r.tcp = on
			}
		}
		r.clusters = append(r.clusters, clusterIPs(s)...)
	}
	r.udp, r.tcp = cmp.Or(r.udp, r.tcp, dnsPort), cmp.Or(r.tcp, r.udp, dnsPort)
	return r
}

// clusterIPs are the addresses of a Service, as far as they are known.
func clusterIPs(s *manifest.Service) []netip.Addr {
	var all []netip.Addr
	if s.Spec == nil {
		return nil
	}
	for _, ip := range append([]string{s.Spec.ClusterIP}, s.Spec.ClusterIPs...) {
		if a, err := netip.ParseAddr(ip); err == nil && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// nodeLocalCache reports whether the set shows that the cluster runs NodeLocal
// DNSCache: its pods share the network of their nodes.
func (v *view) nodeLocalCache() bool {
	return slices.ContainsFunc(v.classes, func(c *class) bool {
		return c.Labels["k8s-app"] == "node-local-dns" || strings.Contains(c.name(), "node-local-dns") || strings.Contains(c.name(), "nodelocaldns")
	})
}

// spread are addresses that assumed pods might have: one of each range that
// clusters commonly use for pods.
var spread = []netip.Addr{
	netip.MustParseAddr("10.0.3.7"), netip.MustParseAddr("10.244.3.7"), netip.MustParseAddr("172.17.3.7"), netip.MustParseAddr("172.30.3.7"),
	netip.MustParseAddr("192.168.3.7"), netip.MustParseAddr("100.64.3.7"), netip.MustParseAddr("fd00:3::7"),
}

// ask judges a DNS connection. Of assumed pods the address is not known, so
// where it matters the answer is certain only if every common one gives it.
func (v *view) ask(s *verdict.Snapshot, c *class, r resolver, number int32, protocol corev1.Protocol) verdict.Decision {
	from, to := c.Pod, r.Pod
	conn := verdict.Conn{From: verdict.End{Pod: &from}, To: verdict.End{Pod: &to}, Port: number, Protocol: protocol}
	if r.assumed {
		from.IPs = nil // so that every address of the other end counts
	}
	answer := s.Judge(conn).Egress.Decision
	if !r.assumed || answer != verdict.Unknown {
		return answer
	}
	for i, a := range spread {
		to.IPs = []netip.Addr{a}
		if next := s.Judge(conn).Egress.Decision; i > 0 && next != answer {
			return verdict.Unknown
		} else {
			answer = next
		}
	}
	return answer
}
