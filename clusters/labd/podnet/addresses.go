package podnet

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// Addresses hands out the addresses of a node's range. One that was given back
// waits behind all others, so that a stale peer finds nobody rather than a stranger.
type Addresses struct {
	mu     sync.Mutex
	prefix netip.Prefix
	free   []netip.Addr
	used   map[netip.Addr]bool
}

// maxAddresses bounds the memory of a wide range.
const maxAddresses = 4096

// NewAddresses takes a range of either family. Its first and last address are
// never given out.
func NewAddresses(cidr string) (*Addresses, error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || p.Addr().BitLen()-p.Bits() < 2 {
		return nil, fmt.Errorf("pod range %q: want a range of at least four addresses", cidr)
	}
	a := &Addresses{prefix: p.Masked(), used: map[netip.Addr]bool{}}
	at := a.prefix.Addr().Next()
	for p.Contains(at.Next()) && len(a.free) < maxAddresses {
		a.free = append(a.free, at)
		at = at.Next()
	}
	return a, nil
}

// Take returns the address that has been free for the longest time.
func (a *Addresses) Take() (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		return netip.Addr{}, fmt.Errorf("no free address in %s: all %d are in use", a.prefix, len(a.used))
	}
	addr := a.free[0]
	a.free = a.free[1:]
	a.used[addr] = true
	return addr, nil
}

// Give returns an address. One that is not in use is ignored.
func (a *Addresses) Give(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used[addr] {
		delete(a.used, addr)
		a.free = append(a.free, addr)
	}
}

// Ranges are a node's ranges, one of each family of the lab. A pod has an address
// out of each.
type Ranges []*Addresses

// NewRanges takes one range of each family.
func NewRanges(cidrs ...string) (Ranges, error) {
	var all Ranges
	for _, cidr := range cidrs {
		a, err := NewAddresses(cidr)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	if len(all) == 0 {
		return nil, errors.New("a node needs a range of pod addresses")
	}
	return all, nil
}

// Take returns one address of each family, or none.
func (r Ranges) Take() ([]netip.Addr, error) {
	var taken []netip.Addr
	for _, a := range r {
		addr, err := a.Take()
		if err != nil {
			r.Give(taken)
			return nil, err
		}
		taken = append(taken, addr)
	}
	return taken, nil
}

// Give returns what Take gave.
func (r Ranges) Give(addrs []netip.Addr) {
	for i, addr := range addrs {
		r[i].Give(addr)
	}
}
