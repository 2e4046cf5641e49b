package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
)

// peer is a pod as the rules of others see it: labels, addresses, named ports.
// The zero peer is nobody.
type peer struct {
	pod   *corev1.Pod
	addrs []netip.Addr
}

// local is a pod of this node, with the policies that select it.
type local struct {
	LocalPod
	policies map[Key]*policy
}

// SetNamespace tells the Compiler what a namespace is by now; nil: it is gone.
func (c *Compiler) SetNamespace(name string, ns *corev1.Namespace) {
	before := c.namespaces[name]
	delete(c.namespaces, name)
	if ns != nil {
		c.namespaces[name] = ns.Labels
		if ns.Labels == nil {
			c.namespaces[name] = map[string]string{}
		}
	}
	for _, l := range c.lists {
		l.namespaceChanged(c, name, before, c.namespaces[name])
	}
}

// SetPod tells the Compiler what a pod is by now; nil: it is gone.
func (c *Compiler) SetPod(key Key, p *corev1.Pod) {
	delete(c.pods, key)
	if p != nil {
		c.pods[key] = p
	}
	c.setPeer(key.Namespace, "api/"+key.Name, c.farPeer(p))
}

// SetLocal tells the Compiler of a pod whose network this node holds; nil: it
// holds it no more.
func (c *Compiler) SetLocal(uid string, p *LocalPod) {
	was := c.locals[uid]
	delete(c.locals, uid)
	var now *local
	var is peer
	if p != nil {
		now = &local{LocalPod: *p, policies: map[Key]*policy{}}
		c.locals[uid] = now
		if p.Pod != nil && !finished(p.Pod) {
			is = peer{p.Pod, p.Addrs}
		}
	}
	if was == nil && now == nil {
		return
	}
	c.setPeer(cmp.Or(was, now).Namespace, "local/"+uid, is)
	c.selectLocal(was, now)
	c.unsorted[uid] = true
	for _, l := range []*LocalPod{p, was.pod()} { // what the API says of a pod that is here does not count
		if l != nil {
			key := Key{l.Namespace, l.Name}
			c.setPeer(key.Namespace, "api/"+key.Name, c.farPeer(c.pods[key]))
		}
	}
}

func (l *local) pod() *LocalPod {
	if l == nil {
		return nil
	}
	return &l.LocalPod
}

// farPeer is the peer that a pod of another node is: not on the host network
// (those are the node, for policies), not finished, with an address. An address
// of this node's own range is known from the node itself, never from a status: a
// stale one must not lend a new pod an old one's identity.
func (c *Compiler) farPeer(p *corev1.Pod) peer {
	if p == nil || p.Spec.HostNetwork || finished(p) || c.locals[string(p.UID)] != nil {
		return peer{}
	}
	var addrs []netip.Addr
	for _, ip := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		a, err := netip.ParseAddr(ip.IP)
		mine := slices.ContainsFunc(c.PodCIDRs, func(r netip.Prefix) bool { return r.Contains(a) })
		if err == nil && !mine && c.has(ruleset.FamilyOf(a)) && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return peer{}
	}
	return peer{p, addrs}
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// setPeer changes who a peer is, in all lists. A peer never changes its namespace.
func (c *Compiler) setPeer(namespace, id string, now peer) {
	was := c.peers[namespace][id]
	if was.pod == nil && now.pod == nil || was.pod == now.pod && slices.Equal(was.addrs, now.addrs) {
		return
	}
	if c.peers[namespace] == nil {
		c.peers[namespace] = map[string]peer{}
	}
	c.peers[namespace][id] = now
	if now.pod == nil {
		delete(c.peers[namespace], id)
	}
	for _, l := range c.lists {
		if l.has(namespace, c.namespaces[namespace]) {
			l.change(c, was, now)
		}
	}
}
