package literal

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// run is a connection over one address family.
type run struct {
	verdict.Conn
	from, to []netip.Addr // what each end may use in this run; empty: not known
}

// party is one end in a run.
type party struct {
	verdict.End
	addrs []netip.Addr
}

// ends returns the end whose policies decide in the direction, and its peer.
func (r run) ends(d networkingv1.PolicyType) (subject, peer party) {
	from, to := party{r.From, r.from}, party{r.To, r.to}
	if d == egress {
		return from, to
	}
	return to, from
}

// runs are the ways in which the connection may run. A packet has one family, so
// both ends use the same one: each that they share is a run, IPv4 first. Ends
// that share none (of one of them no address is known, or such a connection
// cannot be) meet in every combination.
func runs(c verdict.Conn) []run {
	var same, any []run
	for _, a := range families(c.From) {
		for _, b := range families(c.To) {
			r := run{c, a, b}
			if any = append(any, r); len(a) > 0 && len(b) > 0 && a[0].Is4() == b[0].Is4() {
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
func families(e verdict.End) [][]netip.Addr {
	var four, six []netip.Addr
	for _, a := range addresses(e) {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	all := slices.DeleteFunc([][]netip.Addr{four, six}, func(l []netip.Addr) bool { return len(l) == 0 })
	if len(all) == 0 {
		return [][]netip.Addr{nil}
	}
	return all
}

// addresses are the one stated, else those of the pod, in canonical form.
func addresses(e verdict.End) []netip.Addr {
	var all []netip.Addr
	switch {
	case e.IP.IsValid():
		all = []netip.Addr{e.IP}
	case e.Pod != nil:
		all = slices.DeleteFunc(slices.Clone(e.Pod.Addresses()), func(a netip.Addr) bool { return !a.IsValid() })
	}
	for i, a := range all {
		all[i] = a.Unmap().WithZone("")
	}
	return all
}
