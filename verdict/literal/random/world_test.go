package random

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
)

const worlds = 700

// Whatever can be written, is: a shape that does not occur is not tested.
func TestEveryShapeOccurs(t *testing.T) {
	seen := map[string]int{}
	see := func(name string, yes bool) {
		if n := seen[name]; yes {
			seen[name] = n + 1
		} else {
			seen[name] = n
		}
	}
	for seed := range uint64(worlds) {
		d := Seed(seed)
		w, pods := d.World()
		seeWorld(see, w, pods)
		for _, p := range w.Policies {
			seePolicy(see, p, pods)
		}
		for _, p := range w.ClusterPolicies {
			seeClusterPolicy(see, p)
		}
		for range 20 {
			seeConn(see, d.Conn())
		}
		for range 20 {
			seeChange(see, d.Change())
		}
	}
	if len(seen) < 90 {
		t.Errorf("only %d shapes are looked for", len(seen))
	}
	for name, n := range seen {
		if n < 3 {
			t.Errorf("%s occurs %d times in %d worlds", name, n, worlds)
		}
	}
}

func seeWorld(see func(string, bool), w verdict.World, pods []verdict.Pod) {
	see("a foreign policy for all", slices.ContainsFunc(w.Foreign, func(f verdict.Foreign) bool { return f.Namespace == "" }))
	see("a foreign policy of a namespace", slices.ContainsFunc(w.Foreign, func(f verdict.Foreign) bool { return f.Namespace != "" }))
	see("only NetworkPolicies", len(w.Foreign)+len(w.ClusterPolicies) == 0 && len(w.Policies) > 1)
	see("more policies than a word has bits", len(w.Policies) > 64)
	see("more pods than a word has bits", len(pods) > 64)
	see("no policies", len(w.Policies)+len(w.ClusterPolicies) == 0)
	see("a namespace without labels", slices.ContainsFunc(namespaces[:3], func(ns string) bool { return w.Namespaces[ns] == nil }))
	see("a node without addresses", slices.ContainsFunc(w.Nodes, func(n verdict.Node) bool { return len(n.IPs) == 0 }))
	priorities := map[v1alpha2.Tier][]int32{}
	for _, p := range w.ClusterPolicies {
		see("equal priorities in a tier", slices.Contains(priorities[p.Spec.Tier], p.Spec.Priority))
		priorities[p.Spec.Tier] = append(priorities[p.Spec.Tier], p.Spec.Priority)
	}
	for _, p := range pods {
		_, known := w.Namespaces[p.Namespace]
		see("a pod in a namespace that is not known", !known)
		see("a pod without addresses", len(p.IPs) == 0)
		see("a pod of IPv4", len(p.IPs) == 1 && p.IPs[0].Is4())
		see("a pod of IPv6", len(p.IPs) == 1 && p.IPs[0].Is6())
		see("a pod of both families", len(p.IPs) == 2 && p.IPs[0].Is4() && p.IPs[1].Is6())
		see("a pod with two addresses of a family", len(p.IPs) > 1 && p.IPs[0].Is4() == p.IPs[len(p.IPs)-1].Is4())
		see("a pod with a mapped address", len(p.IPs) > 0 && p.IPs[0].Is4In6())
		see("a pod with an address that is none", len(p.IPs) > 0 && !p.IPs[0].IsValid())
		see("a host-network pod on a node", p.HostNetwork && p.Node != "")
		see("a host-network pod that is on no known node", p.HostNetwork && p.Node == "")
		see("a pod without labels", p.Labels == nil)
		for i, a := range p.Ports {
			for _, b := range p.Ports[:i] {
				see("a name with two numbers", a.Name == b.Name && a.Number != b.Number)
				see("a name with two protocols", a.Name == b.Name && a.Protocol != b.Protocol)
			}
		}
	}
}

func seePolicy(see func(string, bool), p verdict.Policy, pods []verdict.Pod) {
	s := p.Spec
	see("no policyTypes without egress rules", s.PolicyTypes == nil && len(s.Egress) == 0)
	see("no policyTypes with egress rules", s.PolicyTypes == nil && len(s.Egress) > 0)
	see("rules of a direction outside policyTypes", len(s.PolicyTypes) == 1 && s.PolicyTypes[0] == networkingv1.PolicyTypeIngress && len(s.Egress) > 0)
	see("both policyTypes", len(s.PolicyTypes) == 2)
	see("no rules", len(s.Ingress)+len(s.Egress) == 0)
	seeSelector(see, s.PodSelector)
	for _, r := range s.Ingress {
		see("no list of peers", r.From == nil)
		see("an empty list of peers", r.From != nil && len(r.From) == 0)
		see("no list of ports", r.Ports == nil)
		see("an empty list of ports", r.Ports != nil && len(r.Ports) == 0)
		for _, peer := range r.From {
			seePeer(see, peer, pods)
		}
		for _, port := range r.Ports {
			seePort(see, port)
		}
	}
}

func seeSelector(see func(string, bool), s metav1.LabelSelector) {
	_, err := metav1.LabelSelectorAsSelector(&s)
	see("an invalid selector", err != nil)
	see("an empty selector", len(s.MatchLabels)+len(s.MatchExpressions) == 0)
	see("labels and expressions", len(s.MatchLabels) > 0 && len(s.MatchExpressions) > 0)
	for _, r := range s.MatchExpressions {
		see("operator "+string(r.Operator), true)
	}
}

func seePeer(see func(string, bool), p networkingv1.NetworkPolicyPeer, pods []verdict.Pod) {
	see("a podSelector alone", p.PodSelector != nil && p.NamespaceSelector == nil && p.IPBlock == nil)
	see("a namespaceSelector alone", p.PodSelector == nil && p.NamespaceSelector != nil)
	see("both selectors", p.PodSelector != nil && p.NamespaceSelector != nil)
	see("a peer of nothing", p.PodSelector == nil && p.NamespaceSelector == nil && p.IPBlock == nil)
	see("a peer of a block and a selector", p.PodSelector != nil && p.IPBlock != nil)
	if p.IPBlock == nil {
		return
	}
	see("a block", len(p.IPBlock.Except) == 0)
	cidr, err := netip.ParsePrefix(p.IPBlock.CIDR)
	see("an invalid block", err != nil)
	inside, excepted := 0, 0
	for _, pod := range pods {
		for _, a := range pod.IPs {
			if err == nil && cidr.Contains(a) {
				inside++
			}
			for _, e := range p.IPBlock.Except {
				if cut, err := netip.ParsePrefix(e); err == nil && cut.Contains(a) {
					excepted++
				}
			}
		}
	}
	see("a block that holds some pods", inside > 0 && inside < len(pods))
	see("a block with some of its pods excepted", excepted > 0 && excepted < inside)
}

func seePort(see func(string, bool), p networkingv1.NetworkPolicyPort) {
	see("a port without protocol", p.Protocol == nil)
	see("SCTP", p.Protocol != nil && *p.Protocol == corev1.ProtocolSCTP)
	see("a protocol without port", p.Port == nil && p.Protocol != nil)
	see("an empty port", p == networkingv1.NetworkPolicyPort{})
	see("a named port", p.Port != nil && p.Port.Type == intstr.String)
	see("a range", p.Port != nil && p.EndPort != nil && p.Port.IntVal < *p.EndPort)
	see("a range that ends before it starts", p.Port != nil && p.EndPort != nil && p.Port.IntVal > *p.EndPort)
	see("a range without a start", p.Port == nil && p.EndPort != nil)
	see("a protocol that v1 does not know", p.Protocol != nil && *p.Protocol == "ICMP")
	see("a range from a name", p.Port != nil && p.Port.Type == intstr.String && p.EndPort != nil)
}

func seeClusterPolicy(see func(string, bool), p verdict.ClusterPolicy) {
	see("tier "+string(p.Spec.Tier), true)
	see("a subject of namespaces", p.Spec.Subject.Namespaces != nil)
	see("a subject of pods", p.Spec.Subject.Pods != nil)
	see("a subject of nothing", p.Spec.Subject == v1alpha2.ClusterNetworkPolicySubject{})
	for _, r := range p.Spec.Egress {
		see("action "+string(r.Action), true)
		see("no peers", len(r.To) == 0)
		see("no protocols", len(r.Protocols) == 0)
		for _, peer := range r.To {
			see("a peer of namespaces", peer.Namespaces != nil)
			see("a peer of pods", peer.Pods != nil)
			see("a peer of nodes", peer.Nodes != nil)
			see("a peer of networks", len(peer.Networks) > 0)
			see("a peer of domain names", len(peer.DomainNames) > 0)
			see("a peer of no field", reflect.ValueOf(peer).IsZero())
		}
		for _, protocol := range r.Protocols {
			see("a named destination port", protocol.DestinationNamedPort != "")
			see("a number of TCP", protocol.TCP != nil && protocol.TCP.DestinationPort != nil && protocol.TCP.DestinationPort.Number > 0)
			see("a range of UDP", protocol.UDP != nil && protocol.UDP.DestinationPort.Range != nil)
			see("a port of SCTP", protocol.SCTP != nil)
			see("TCP without port", protocol.TCP != nil && protocol.TCP.DestinationPort == nil)
		}
	}
}

func seeConn(see func(string, bool), c verdict.Conn) {
	see("a connection from outside", c.From.Pod == nil && c.From.IP.IsValid())
	see("a connection to outside", c.To.Pod == nil && c.To.IP.IsValid())
	see("a connection to an unknown address", c.To.Pod == nil && !c.To.IP.IsValid())
	see("a connection of nobody", c.From.Pod == nil && c.To.Pod == nil)
	see("a stated address", c.To.Pod != nil && c.To.IP.IsValid())
	see("a pod to itself", c.To.Pod != nil && c.From.Pod != nil && c.To.Pod.Key() == c.From.Pod.Key())
	see("a pod that is not in the world", c.To.Pod != nil && c.To.Pod.Name == "new")
	see("a pod without a name", c.To.Pod != nil && c.To.Pod.Name == "")
	see("from the own node", c.FromNode)
	see("an address of a node", c.From.Node != "" || c.To.Node != "")
	see("an address of the pod's node", c.From.Pod != nil && c.To.Node != "" && c.To.Node == c.From.Pod.Node)
	see("ICMP", c.Protocol == "ICMP")
	see("no protocol", c.Protocol == "")
	see("no port", c.Port < 1 || c.Port > 65535)
}

func seeChange(see func(string, bool), c Change) {
	see("a pod is set", c.SetPod != nil)
	see("a pod is deleted", c.DeletePod != "")
	see("a policy is set", c.SetPolicy != nil)
	see("a policy is deleted", c.DeletePolicy != "")
	see("a namespace is set", c.SetNamespace != nil)
	see("a namespace is deleted", c.DeleteNamespace != "")
	see("a cluster policy is set", c.SetClusterPolicy != nil)
	see("a cluster policy is deleted", c.DeleteClusterPolicy != "")
	see("foreign policies change", c.SetForeign != nil)
	see("nodes change", c.SetNodes != nil)
}

// A case is the same after it was written and read.
func TestCasesAreWrittenAndRead(t *testing.T) {
	for seed := range uint64(200) {
		d := Seed(seed)
		w, pods := d.World()
		c := Case{Comment: "x", World: w, Pods: pods, Conn: d.Conn(), Changes: []Change{d.Change(), d.Change()}}
		first, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again Case
		if err := yaml.UnmarshalStrict(first, &again); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, first)
		}
		if second, err := yaml.Marshal(again); err != nil || string(first) != string(second) {
			t.Fatalf("seed %d: %v: wrote\n%s\nand then\n%s", seed, err, first, second)
		}
	}
}

// The bytes of a fuzzer make worlds too, however few there are.
func TestBytesChoose(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, []byte("a world of these bytes, and then nothing but zeros")} {
		d := Bytes(b)
		if _, pods := d.World(); len(pods) == 0 {
			t.Errorf("%q makes a world without pods", b)
		}
		d.Conn()
		d.Change()
	}
}
