package podnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// gateway is where every pod's packets go first. Nobody has this address: a
// neighbour entry leads to the node's end of the veth.
var gateway = net.IPv4(169, 254, 1, 1).To4()

// Link is one pod's connection to its node.
type Link struct {
	Name string // of the node's end; at most 15 characters
	Addr netip.Addr

	space *Space
	node  netlink.Link // the node's end
}

// Prepare makes the pair, down on both ends: nothing can pass before Up.
func Prepare(space *Space, name string, addr netip.Addr) (*Link, error) {
	l := &Link{Name: name, Addr: addr, space: space}
	if err := l.prepare(); err != nil {
		return nil, fmt.Errorf("network of pod address %s: %w", addr, err)
	}
	return l, nil
}

func (l *Link) prepare() error {
	if err := l.space.Do(func() error { return apply(podSettings) }); err != nil {
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
		return fmt.Errorf("network of pod address %s: %w", l.Addr, err)
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
	if err := h.AddrAdd(eth, &netlink.Addr{IPNet: host(l.Addr)}); err != nil {
		return nil, fmt.Errorf("add the pod's address: %w", err)
	}
	index := eth.Attrs().Index
	if err := h.NeighAdd(neighbour(index, gateway, l.node.Attrs().HardwareAddr)); err != nil {
		return nil, fmt.Errorf("pod's neighbour entry: %w", err)
	}
	gw := &net.IPNet{IP: gateway, Mask: net.CIDRMask(32, 32)}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: index, Dst: gw, Scope: netlink.SCOPE_LINK}); err != nil {
		return nil, fmt.Errorf("pod's route to the node: %w", err)
	}
	all := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: index, Dst: all, Gw: gateway, Src: l.Addr.AsSlice()}); err != nil {
		return nil, fmt.Errorf("pod's default route: %w", err)
	}
	return eth.Attrs().HardwareAddr, nil
}

func (l *Link) upOutside(pod net.HardwareAddr) error {
	if err := netlink.LinkSetUp(l.node); err != nil {
		return fmt.Errorf("bring the node's end up: %w", err)
	}
	index := l.node.Attrs().Index
	if err := netlink.NeighAdd(neighbour(index, l.Addr.AsSlice(), pod)); err != nil {
		return fmt.Errorf("node's neighbour entry: %w", err)
	}
	route := &netlink.Route{LinkIndex: index, Dst: host(l.Addr), Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("node's route to the pod: %w", err)
	}
	return nil
}

// Down removes the pair, and with it routes and neighbours. It may be called twice.
func (l *Link) Down() error {
	err := netlink.LinkDel(l.node)
	if err == nil || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove the link of pod address %s: %w", l.Addr, err)
}

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

func neighbour(index int, ip net.IP, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, IP: ip, HardwareAddr: mac, State: netlink.NUD_PERMANENT, Family: netlink.FAMILY_V4}
}
