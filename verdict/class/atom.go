package class

import (
	"cmp"
	"net/netip"
	"slices"
)

// Outside returns one address for each set of addresses that the CIDRs of the
// policies tell apart: for each CIDR its first address that no narrower one
// covers, and for each family the first ordinary one that none covers. A set
// that narrower CIDRs fill has none, and so has one whose addresses are all
// taken, which is for addresses of pods and nodes. Without CIDRs it is one IPv4
// address, which stands for every outside end.
func (v *Vocabulary) Outside(taken func(netip.Addr) bool) []netip.Addr {
	roots := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	if slices.ContainsFunc(v.prefixes, func(p netip.Prefix) bool { return !p.Addr().Is4() }) {
		roots = append(roots, netip.MustParsePrefix("2000::/3"))
	}
	var all []netip.Addr
	for _, p := range slices.Concat(v.prefixes, roots) {
		start := p.Addr()
		if slices.Contains(roots, p) {
			start = ordinary(start)
		}
		if a, ok := v.first(p, start, taken); ok && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// ordinary is where the search for an address of the whole family begins, so
// that people see one that looks like the internet.
func ordinary(root netip.Addr) netip.Addr {
	if root.Is4() {
		return netip.MustParseAddr("1.1.1.1")
	}
	return netip.MustParseAddr("2606:4700:4700::1111")
}

// maxTaken bounds how many taken addresses are stepped over one by one.
const maxTaken = 4096

// first is the first address of p, from start on, that no narrower prefix
// covers and that is not taken.
func (v *Vocabulary) first(p netip.Prefix, start netip.Addr, taken func(netip.Addr) bool) (netip.Addr, bool) {
	steps := 0
	for a := start; a.IsValid() && p.Contains(a); {
		if n, ok := v.narrower(p, a); ok {
			a = last(n).Next()
			continue
		}
		if taken == nil || !taken(a) {
			return a, true
		}
		if steps++; steps > maxTaken {
			break
		}
		a = a.Next()
	}
	return netip.Addr{}, false
}

// narrower is the widest prefix inside p, other than p, that covers a.
func (v *Vocabulary) narrower(p netip.Prefix, a netip.Addr) (netip.Prefix, bool) {
	for _, q := range v.prefixes { // wider ones come first
		if q.Bits() > p.Bits() && q.Contains(a) {
			return q, true
		}
	}
	return netip.Prefix{}, false
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
}
