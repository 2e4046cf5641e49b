package random

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// world is what has been made so far, for later choices to refer to.
type world struct {
	verdict.World
	pods  []verdict.Pod
	fresh int // for names
}

var (
	namespaces = []string{"a", "b", "c", "ghost"} // ghost is never known
	keys       = []string{"app", "env", "tier"}
	values     = []string{"x", "y", "z", ""}
	names      = []string{"http", "metrics", "dns", "grpc"}
	numbers    = []int32{53, 80, 81, 443, 8080, 9090, 1, 65535}
	protocols  = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
)

// World makes a world and its pods. No two pods have one key, nor two policies.
func (d *Dice) World() (verdict.World, []verdict.Pod) {
	d.style = style{
		strange: d.one(3), hosts: d.one(3), invalid: d.one(5), cluster: d.one(2),
		foreign: d.one(12), big: d.one(100), stack: d.IntN(3),
	}
	w := &world{}
	d.world = w
	w.Namespaces = map[string]map[string]string{}
	for _, ns := range namespaces[:3] {
		w.Namespaces[ns] = d.labels()
	}
	w.Nodes = some(d, 3, d.node)
	pods, policies, cluster := 2+d.IntN(7), d.IntN(11), d.IntN(6)
	if d.style.big {
		pods, policies, cluster = 50+d.IntN(200), 66+d.IntN(40), d.IntN(70)
	}
	for range pods {
		w.pods = append(w.pods, d.pod(d.name("p")))
	}
	for range policies {
		w.Policies = append(w.Policies, d.policy(d.name("np")))
	}
	if d.style.cluster {
		for range cluster {
			w.ClusterPolicies = append(w.ClusterPolicies, d.clusterPolicy(d.name("cnp")))
		}
	}
	if d.style.foreign {
		w.Foreign = some(d, 2, d.foreign)
	}
	return d.Now()
}

// Now returns the world and its pods as changes have made them. Changes to come
// leave what it returned alone.
func (d *Dice) Now() (verdict.World, []verdict.Pod) {
	w := d.world.World
	w.Namespaces = maps.Clone(w.Namespaces)
	w.Policies, w.ClusterPolicies = slices.Clone(w.Policies), slices.Clone(w.ClusterPolicies)
	w.Foreign, w.Nodes = slices.Clone(w.Foreign), slices.Clone(w.Nodes)
	return w, slices.Clone(d.world.pods)
}

func (d *Dice) name(kind string) string {
	d.world.fresh++
	return fmt.Sprint(kind, d.world.fresh)
}

// namespace is known, unless the world is strange.
func (d *Dice) namespace() string {
	if d.style.strange && d.one(6) {
		return "ghost"
	}
	return pick(d, namespaces[:3]...)
}

// labels may be nil, and rarely claim the label that the API server sets.
func (d *Dice) labels() map[string]string {
	if d.one(6) {
		return nil
	}
	l := map[string]string{}
	for _, k := range keys {
		if d.IntN(3) > 0 {
			l[k] = pick(d, values...)
		}
	}
	if d.style.big {
		l[fmt.Sprint("k", d.IntN(80))] = "x"
	}
	return l
}

func (d *Dice) node() verdict.Node {
	n := verdict.Node{Name: d.name("n"), Labels: d.labels()}
	if !d.one(8) {
		n.IPs = d.addresses(192, 0)
	}
	return n
}

// addresses of the world's families: few, so that blocks cut through them.
func (d *Dice) addresses(first, second byte) []netip.Addr {
	last := byte(d.IntN(16))
	four := netip.AddrFrom4([4]byte{first, second, byte(d.IntN(2)), last})
	six := netip.AddrFrom16([16]byte{0: 0xfd, 1: second, 7: byte(d.IntN(2)), 15: last})
	if first != 10 {
		six = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0xff, 15: last})
	}
	return [][]netip.Addr{{four}, {six}, {four, six}}[d.style.stack]
}

// pod is often one more of a workload.
func (d *Dice) pod(name string) verdict.Pod {
	if len(d.world.pods) > 0 && d.one(4) {
		return d.twin(pick(d, d.world.pods...), name)
	}
	p := verdict.Pod{Namespace: d.namespace(), Name: name, Labels: d.labels(), IPs: d.addresses(10, 0), Ports: some(d, 3, d.port)}
	if len(d.world.Nodes) > 0 && !d.one(4) {
		p.Node = pick(d, d.world.Nodes...).Name
	}
	if d.style.hosts && d.one(4) {
		p.HostNetwork = true
		for _, n := range d.world.Nodes {
			if n.Name == p.Node {
				p.IPs = n.IPs
			}
		}
	}
	if d.style.strange {
		p.IPs = d.strangeAddresses(p.IPs)
		if !p.HostNetwork && len(p.Labels)%3 == 1 { // its address is not known, and one of these is like it
			p.IPs, p.StandIns = nil, p.IPs
		}
	}
	return p
}

// twin is one more of the pod's workload, which may differ in one thing only.
func (d *Dice) twin(p verdict.Pod, name string) verdict.Pod {
	if p.Name = name; !p.HostNetwork && d.one(2) {
		p.IPs = d.addresses(10, 0)
	}
	switch d.IntN(6) {
	case 1:
		p.Labels = maps.Clone(p.Labels)
		delete(p.Labels, pick(d, keys...))
	case 2:
		p.Namespace = d.namespace()
	case 3, 4:
		if len(p.Ports) > 0 {
			p.Ports = slices.Clone(p.Ports)
			q := &p.Ports[d.IntN(len(p.Ports))]
			was := *q
			*q = pick(d, verdict.Port{Name: was.Name, Number: was.Number, Protocol: pick(d, protocols...)},
				verdict.Port{Name: was.Name, Number: pick(d, numbers...), Protocol: was.Protocol},
				verdict.Port{Name: pick(d, names...), Number: was.Number, Protocol: was.Protocol})
		}
	}
	return p
}

// strangeAddresses are those of pods that are starting, of one family where
// others have two, two of one family, or written in the mapped form.
func (d *Dice) strangeAddresses(ips []netip.Addr) []netip.Addr {
	switch d.IntN(10) {
	case 0:
		return nil
	case 1:
		return ips[:min(1, len(ips))]
	case 2:
		return append(slices.Clone(ips), d.addresses(10, 0)...)
	case 3:
		if len(ips) > 0 && ips[0].Is4() {
			return append([]netip.Addr{netip.AddrFrom16(ips[0].As16())}, ips[1:]...)
		}
	case 4:
		return append([]netip.Addr{{}}, ips...)
	}
	return ips
}

func (d *Dice) port() verdict.Port {
	p := verdict.Port{Name: pick(d, append(names, "")...), Number: pick(d, numbers...)}
	if d.one(2) {
		p.Protocol = pick(d, protocols...)
	}
	return p
}

func (d *Dice) foreign() verdict.Foreign {
	return verdict.Foreign{Kind: "CiliumNetworkPolicy", Namespace: pick(d, append(namespaces, "")...), Name: d.name("cilium")}
}
