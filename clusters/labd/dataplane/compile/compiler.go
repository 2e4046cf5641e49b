package compile

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Key names an object of a kind.
type Key struct{ Namespace, Name string }

func (k Key) String() string { return k.Namespace + "/" + k.Name }

func (k Key) compare(o Key) int {
	if c := strings.Compare(k.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

// Compiler keeps one node's ruleset. Make it with New; it is not for several
// goroutines at once.
type Compiler struct {
	Options
	store

	namespaces map[string]map[string]string // labels, by name
	pods       map[Key]*corev1.Pod
	peers      map[string]map[string]peer // by namespace, then by where it is known from
	lists      map[string]*list           // sets of pods' addresses, by name

	policies map[Key]*policy
	policed  map[string]map[Key]*policy // policies by namespace
	locals   map[string]*local          // pods of this node, by UID
	unsorted map[string]bool            // UIDs of pods whose chains are to be made anew

	services map[Key]*corev1.Service
	slices   map[Key]map[Key]*discoveryv1.EndpointSlice // by Service
	sliceOf  map[Key]Key                                // the Service of a slice
	claims   map[Front]map[Key]rank                     // Services that want a front
	wanted   map[Key][]Front
	owners   map[Front]Key
	unserved map[Key]bool // Services to be made anew
}

// New returns a Compiler that knows no object yet: its node lets nothing through
// to or from its range of pods.
func New(o Options) *Compiler {
	c := &Compiler{
		Options: o, store: newStore(),
		namespaces: map[string]map[string]string{}, pods: map[Key]*corev1.Pod{},
		peers: map[string]map[string]peer{}, lists: map[string]*list{},
		policies: map[Key]*policy{}, policed: map[string]map[Key]*policy{},
		locals: map[string]*local{}, unsorted: map[string]bool{},
		services: map[Key]*corev1.Service{}, slices: map[Key]map[Key]*discoveryv1.EndpointSlice{},
		sliceOf: map[Key]Key{}, claims: map[Front]map[Key]rank{}, wanted: map[Key][]Front{}, owners: map[Front]Key{}, unserved: map[Key]bool{},
	}
	base := newFragment()
	c.baseChains(base)
	c.serviceChains(base)
	c.replace("base", base)
	c.SetConduct(Conduct{})
	return c
}

// Output returns the ruleset as the objects are now. The next Output's Changed
// and Moved count from here.
func (c *Compiler) Output() Output {
	c.work()
	return c.take()
}

// Changed says whether the next Output may have another ruleset than the last.
func (c *Compiler) Changed() bool {
	c.work()
	return !c.changed.Empty()
}

func (c *Compiler) work() {
	for uid := range c.unsorted {
		c.podChains(uid)
	}
	clear(c.unsorted)
	for len(c.unserved) > 0 { // making one anew may take a front from another
		for key := range c.unserved {
			delete(c.unserved, key)
			c.service(key)
		}
	}
}

// families returns the node's families.
func (c *Compiler) families() []ruleset.Family {
	var all []ruleset.Family
	for _, a := range c.NodeIPs {
		all = append(all, ruleset.FamilyOf(a))
	}
	return all
}

func (c *Compiler) has(f ruleset.Family) bool { return slices.Contains(c.families(), f) }

// podRange is the node's range of pods in a family; the zero Prefix if it has none.
func (c *Compiler) podRange(f ruleset.Family) netip.Prefix {
	for _, p := range c.PodCIDRs {
		if ruleset.FamilyOf(p.Addr()) == f {
			return p
		}
	}
	return netip.Prefix{}
}

// Names of what every node's table has. IPv6 has sets of its own; see named.
const (
	chainEgress, chainIngress     = "egress", "ingress"
	setLocal                      = "local_pods"
	setEgressPods, setIngressPods = "egress_pods", "ingress_pods"
)

// named is the name of a set's variant for a family.
func named(set string, f ruleset.Family) string {
	if f == ruleset.IPv6 {
		return set + "6"
	}
	return set
}

// baseChains sets up the two places where pods are judged. An address of this
// node's range that no pod has yet (or any more) gets nothing through.
func (c *Compiler) baseChains(f *fragment) {
	out := []ruleset.Rule{{Established: true, Action: ruleset.Jump, Target: chainEstablished}}
	in := slices.Clone(out)
	for _, v := range c.families() {
		f.set(named(setLocal, v), ruleset.Addrs.For(v))
		f.set(named(setEgressPods, v), ruleset.AddrChains.For(v))
		f.set(named(setIngressPods, v), ruleset.AddrChains.For(v))
		pods := c.podRange(v)
		out = append(out,
			ruleset.Rule{Family: v, SrcIn: pods, SrcSet: named(setLocal, v), NotSrcSet: true, Action: ruleset.Drop},
			ruleset.Rule{Family: v, Action: ruleset.DispatchSrc, Target: named(setEgressPods, v)})
		in = append(in,
			ruleset.Rule{Family: v, DstIn: pods, DstSet: named(setLocal, v), NotDstSet: true, Action: ruleset.Drop},
			ruleset.Rule{Family: v, Action: ruleset.DispatchDst, Target: named(setIngressPods, v)})
	}
	f.chains[chainEgress] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Forward, Priority: 0}, Rules: out}
	f.chains[chainIngress] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Forward, Priority: 10}, Rules: in}
}
