package podnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Gateways are where every pod's packets go first. Nobody has these addresses: a
// neighbour entry leads to the node's end of the veth.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

func gateway(of netip.Addr) netip.Addr {
	if of.Is4() {
		return gateway4
	}
	return gateway6
}

// Link is one pod's connection to its node.
type Link struct {
	Name  string // of the node's end; at most 15 characters
	Addrs []netip.Addr

	space *Space
	node  netlink.Link // the node's end
}

// Prepare makes the pair, down on both ends: nothing can pass before Up. The pod
// will have one address of each family of the lab.
func Prepare(space *Space, name string, addrs ...netip.Addr) (*Link, error) {
	l := &Link{Name: name, Addrs: addrs, space: space}
	if err := l.prepare(); err != nil {
		return nil, l.explain(err)
	}
	return l, nil
}

func (l *Link) explain(err error) error {
	return fmt.Errorf("network of pod addresses %v: %w", l.Addrs, err)
}

func (l *Link) settings() []setting {
	if slices.ContainsFunc(l.Addrs, netip.Addr.Is6) {
		return slices.Concat(podSettings, podSettingsIPv6)
	}
	return slices.Concat(podSettings, podSettingsIPv4)
}

func (l *Link) prepare() error {
	if err := l.space.Do(func() error { return apply(l.settings()) }); err != nil {
		return err
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.Name}, PeerName: "eth0",
		PeerNamespace: netlink.NsFd(l.space.FD())}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add a veth pair: %w", err)
	}
	node, err := netlink.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("find the node's end: %w", err)
	}
	l.node = node
	return nil
}

// Up configures both ends and brings them up.
func (l *Link) Up() error {
	mac, err := l.upInside()
	if err == nil {
		err = l.upOutside(mac)
	}
	if err != nil {
		return l.explain(err)
	}
	return nil
}

func (l *Link) upInside() (net.HardwareAddr, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(l.space.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	eth, err := h.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(h.LinkSetUp(lo), h.LinkSetUp(eth)); err != nil {
		return nil, fmt.Errorf("bring the pod's links up: %w", err)
	}
	for _, a := range l.Addrs {
		if err := l.address(h, eth, a); err != nil {
			return nil, err
		}
	}
	return eth.Attrs().HardwareAddr, nil
}

// address gives the pod an address and the way out that belongs to it.
func (l *Link) address(h *netlink.Handle, eth netlink.Link, a netip.Addr) error {
	index, gw := eth.Attrs().Index, gateway(a)
	if err := h.AddrAdd(eth, &netlink.Addr{IPNet: host(a), Flags: unix.IFA_F_NODAD}); err != nil {
		return fmt.Errorf("add the pod's address %s: %w", a, err)
	}
	if err := h.NeighAdd(neighbour(index, gw, l.node.Attrs().HardwareAddr)); err != nil {
		return fmt.Errorf("pod's neighbour entry: %w", err)
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: index, Dst: host(gw), Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("pod's route to the node: %w", err)
	}
	all := &net.IPNet{IP: make(net.IP, a.BitLen()/8), Mask: net.CIDRMask(0, a.BitLen())}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: index, Dst: all, Gw: gw.AsSlice(), Src: a.AsSlice()}); err != nil {
		return fmt.Errorf("pod's default route by %s: %w", gw, err)
	}
	return nil
}

func (l *Link) upOutside(pod net.HardwareAddr) error {
	if err := netlink.LinkSetUp(l.node); err != nil {
		return fmt.Errorf("bring the node's end up: %w", err)
	}
	index := l.node.Attrs().Index
	for _, a := range l.Addrs {
		if err := netlink.NeighAdd(neighbour(index, a, pod)); err != nil {
			return fmt.Errorf("node's neighbour entry: %w", err)
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: host(a), Scope: netlink.SCOPE_LINK}); err != nil {
			return fmt.Errorf("node's route to the pod: %w", err)
		}
	}
	return nil
}

// Down removes the pair, and with it routes and neighbours. It may be called twice.
func (l *Link) Down() error {
	err := netlink.LinkDel(l.node)
	if err == nil || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove the link of pod addresses %v: %w", l.Addrs, err)
}

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func neighbour(index int, ip netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	family := netlink.FAMILY_V4
	if ip.Is6() {
		family = netlink.FAMILY_V6
	}
	return &netlink.Neigh{LinkIndex: index, IP: ip.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT, Family: family}
}
