package verdict

import (
	"net/netip"
	"slices"
)

// run is a connection over one address family. A packet has one family, so both
// ends use the same one.
type run struct {
	Conn
	addrs [2][]netip.Addr // of the target, of the source: what peers are matched with, by direction; empty: not known
}

// runs are the ways in which the connection may run: over each family that the
// ends share, IPv4 first. Ends that share none (of one of them no address is
// known, or such a connection cannot be) meet in every combination.
func (c Conn) runs() []run {
	var same, any []run
	for _, a := range families(c.From) {
		for _, b := range families(c.To) {
			r := run{c, [2][]netip.Addr{egress: b, ingress: a}}
			any = append(any, r)
			if len(a) > 0 && len(b) > 0 && a[0].Is4() == b[0].Is4() {
				same = append(same, r)
			}
		}
	}
	if len(same) > 0 {
		return same
	}
	return any
}

// families are the end's addresses, those of IPv4 and those of IPv6; one empty
// list if none is known.
func families(e End) [][]netip.Addr {
	four, six := split(e.addresses())
	switch {
	case len(six) == 0:
		return [][]netip.Addr{four}
	case len(four) == 0:
		return [][]netip.Addr{six}
	}
	return [][]netip.Addr{four, six}
}

func split(all []netip.Addr) (four, six []netip.Addr) {
	for _, a := range all {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	return four, six
}

// addresses are the one stated, else those of the pod, in canonical form.
func (e End) addresses() []netip.Addr {
	switch {
	case e.IP.IsValid():
		return canonical([]netip.Addr{e.IP})
	case e.Pod != nil:
		return canonical(e.Pod.Addresses())
	}
	return nil
}

// canonical leaves out what is no address. An IPv4 address within IPv6 is the
// IPv4 address, and a zone is a matter of one machine.
func canonical(all []netip.Addr) []netip.Addr {
	c := make([]netip.Addr, 0, len(all))
	for _, a := range all {
		if a.IsValid() {
			c = append(c, a.Unmap().WithZone(""))
		}
	}
	return slices.Clip(c)
}

// ends returns the end whose policies decide in the direction, and its peer.
func (c *Conn) ends(d direction) (subject, peer *End) {
	if d == egress {
		return &c.From, &c.To
	}
	return &c.To, &c.From
}

func (c *Conn) toItself() bool {
	a, b := c.From.Pod, c.To.Pod
	return a != nil && b != nil && (a == b || a.Name != "" && a.Name == b.Name && a.Namespace == b.Namespace)
}

// declared are the ports by which names are looked up.
func (c *Conn) declared() []Port {
	if c.To.Pod == nil {
		return nil
	}
	return c.To.Pod.Ports
}

// pair are the addresses of a pod by family.
func pair(p *Pod) [2][]netip.Addr {
	four, six := split(canonical(p.Addresses()))
	return [2][]netip.Addr{four, six}
}
