package compare

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// defaultMax is how many lines Changes.List may have.
const defaultMax = 10_000

// Diff says which connections change verdict between two worlds. Pods are the
// same if their keys are; each is judged as it is in its own world. Ends are
// pods, and outside addresses as the other end of a pod; a pod and itself is no
// pair. Tried are, on each target: the ports that it declares, those given, one
// port of each stretch that policies deciding about either end tell apart, and
// one that stands for all others of a protocol where a rule is about all its
// ports, or where the target declares no port (TCP) or is an outside address.
//
// Time grows with pairs of classes that a difference touches, memory with the
// classes and the lines of the list.
func Diff(before, after *verdict.Snapshot, o Options) Changes {
	d := newDiffer(before, after, o)
	for _, a := range d.units {
		for _, b := range d.units {
			if a.touched.egress || b.touched.ingress || a.touched.peer || b.touched.peer {
				d.pods(a, b)
			}
		}
		for _, ip := range d.changes.Outside {
			d.outside(a, ip)
		}
	}
	return d.result()
}

// differ is one Diff under way.
type differ struct {
	Options
	before, after *verdict.Snapshot
	units         []*unit
	other         func(corev1.Protocol) int32
	groups        map[group]*Change
	tries         map[[2]int][]class.Try // by asSource and asTarget
	changes       Changes
}

// group is what a line of the list stands for.
type group struct {
	from, to      string
	port, last    int32
	protocol      corev1.Protocol
	before, after verdict.Decision
}

// unit is a class with its pods by workload, and what about it may have changed.
type unit struct {
	*class.Class
	workloads []*workload // in order of their first pods
	touched   touch
	egress    []class.Span // of ports that policies which decide about the class mention
	ingress   []class.Span
	asSource  int // equal for classes with the same egress
	asTarget  int // equal for classes with the same ingress and declared ports
}

// workload is the part of a class that is of one workload.
type workload struct {
	name string
	*class.Class
}

func newDiffer(before, after *verdict.Snapshot, o Options) *differ {
	if o.Workload == nil {
		o.Workload = func(p *verdict.Pod) string { return p.Key() }
	}
	o.Max = cmp.Or(o.Max, defaultMax)
	d := &differ{Options: o, before: before, after: after, groups: map[group]*Change{}, tries: map[[2]int][]class.Try{}}
	v := class.NewVocabulary(before.World(), after.World())
	members := d.members()
	var pods []*verdict.Pod
	for _, m := range members {
		pods = append(pods, m.Was, m.Is)
	}
	d.other = v.Other(pods, o.Ports...)
	delta := newDelta(before.World(), after.World())
	mentions := class.NewMentions(before.World(), after.World())
	ids := map[string]int{}
	id := func(key string) int {
		if _, ok := ids[key]; !ok {
			ids[key] = len(ids)
		}
		return ids[key]
	}
	for _, c := range class.Group(v, members) {
		u := &unit{Class: c, touched: delta.touches(v, c.Rep())}
		u.egress, u.ingress = mentions.Of(c.Rep())
		u.asSource = id(fmt.Sprint(u.egress))
		u.asTarget = id(fmt.Sprint(u.ingress, u.Rep().Was.Ports, u.Rep().Is.Ports))
		u.split(o.Workload)
		d.units = append(d.units, u)
	}
	if !o.PodsOnly {
		d.changes.Outside = outside(v, pods, o.Addresses)
	}
	return d
}

// members pairs the pods of both worlds.
func (d *differ) members() []class.Member {
	var all []class.Member
	for id, p := range d.before.Pods() {
		other, ok := d.after.Find(p.Key())
		if !ok {
			d.changes.OnlyBefore = append(d.changes.OnlyBefore, p.Key())
			continue
		}
		all = append(all, class.Member{Was: p, WasID: id, Is: d.after.Pod(other), IsID: other})
	}
	for _, p := range d.after.Pods() {
		if _, ok := d.before.Find(p.Key()); !ok {
			d.changes.OnlyAfter = append(d.changes.OnlyAfter, p.Key())
		}
	}
	slices.Sort(d.changes.OnlyBefore)
	slices.Sort(d.changes.OnlyAfter)
	return all
}

func outside(v *class.Vocabulary, pods []*verdict.Pod, given []netip.Addr) []netip.Addr {
	taken := map[netip.Addr]bool{}
	for _, p := range pods {
		for _, ip := range p.IPs {
			taken[ip.Unmap().WithZone("")] = true
		}
	}
	all := v.Outside(func(a netip.Addr) bool { return taken[a] })
	for _, a := range given {
		all = append(all, a.Unmap())
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

func (u *unit) split(name func(*verdict.Pod) string) {
	index := map[string]*workload{}
	for _, m := range u.Members {
		n := name(m.Is)
		w, ok := index[n]
		if !ok {
			w = &workload{name: n, Class: &class.Class{}}
			index[n] = w
			u.workloads = append(u.workloads, w)
		}
		w.Members = append(w.Members, m)
	}
}

// result sorts the lines and counts what they stand for.
func (d *differ) result() Changes {
	for _, key := range slices.SortedFunc(maps.Keys(d.groups), group.compare) {
		d.changes.List = append(d.changes.List, *d.groups[key])
	}
	return d.changes
}

func (g group) compare(h group) int {
	return cmp.Or(strings.Compare(g.from, h.from), strings.Compare(g.to, h.to), cmp.Compare(g.port, h.port),
		cmp.Compare(g.last, h.last), strings.Compare(string(g.protocol), string(h.protocol)), cmp.Compare(g.before, h.before), cmp.Compare(g.after, h.after))
}
