package supervisor

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

const bridge = "br0" // the underlay: what a rack's switch is to real nodes

// buildUnderlay makes the bridge that nodes are plugged into, with the API
// server's addresses on it.
func buildUnderlay(f layout.Families) error {
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}); err != nil {
		return fmt.Errorf("underlay: add bridge: %w", err)
	}
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("underlay: %w", err)
	}
	settings := []string{"ipv4/ip_forward"}
	if f.HasIPv6() {
		settings = append(settings, "ipv6/conf/all/forwarding")
	}
	for _, name := range settings {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("underlay: %w", err)
		}
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return fmt.Errorf("underlay: bring the bridge up: %w", err)
	}
	if err := addAddresses(&netlink.Handle{}, br, f.Addresses()); err != nil {
		return fmt.Errorf("underlay: %w", err)
	}
	return nil
}

// nodeAddresses are node i's, counted from 1.
func nodeAddresses(f layout.Families, i int) []string {
	return f.Pick(fmt.Sprintf("172.31.0.%d", 10+i), fmt.Sprintf("fd00:172:31::%d", 10+i))
}

// port is the bridge's end of node i's cable.
func port(i int) string { return fmt.Sprintf("node%d", i) }

// podCIDRs are node i's.
func podCIDRs(f layout.Families, i int) []string {
	return f.Pick(fmt.Sprintf("10.244.%d.0/24", i), fmt.Sprintf("fd00:10:244:%d::/64", i))
}

// underlayBits are the lengths of the underlay's prefixes.
const underlayBits4, underlayBits6 = 16, 64

// addAddresses gives a link on the underlay its addresses. Those of IPv6 come with
// one of the link alone, as who forwards asks for neighbours with it. No address
// waits until it is known to be nobody else's.
func addAddresses(h *netlink.Handle, link netlink.Link, addrs []string) error {
	var nets []*net.IPNet
	for _, text := range addrs {
		if ip := net.ParseIP(text); ip.To4() != nil {
			nets = append(nets, &net.IPNet{IP: ip.To4(), Mask: net.CIDRMask(underlayBits4, 32)})
		} else {
			local := append(net.ParseIP("fe80::")[:8:8], ip[8:]...)
			nets = append(nets, &net.IPNet{IP: ip, Mask: net.CIDRMask(underlayBits6, 128)}, &net.IPNet{IP: local, Mask: net.CIDRMask(underlayBits6, 128)})
		}
	}
	for _, n := range nets {
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("address %s on %s: %w", n, link.Attrs().Name, err)
		}
	}
	return nil
}

// plugNode connects the network namespace of a node's process to the underlay,
// and teaches it and us the routes to the pods.
func plugNode(f layout.Families, i, nodes, pid int) error {
	if err := plug(f, i, nodes, pid); err != nil {
		return fmt.Errorf("network of node-%d: %w", i, err)
	}
	return nil
}

func plug(f layout.Families, i, nodes, pid int) error {
	host, inside := port(i), fmt.Sprintf("tn%d", i)
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: host, MasterIndex: br.Attrs().Index},
		PeerName: inside, PeerNamespace: netlink.NsPid(pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add a veth pair: %w", err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return err
	}
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := configureNode(h, inside, f, i, nodes); err != nil {
		return err
	}
	return addRoutes(&netlink.Handle{}, br, podCIDRs(f, i), nodeAddresses(f, i))
}

func configureNode(h *netlink.Handle, inside string, f layout.Families, i, nodes int) error {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	eth, err := h.LinkByName(inside)
	if err != nil {
		return err
	}
	if err := h.LinkSetName(eth, "eth0"); err != nil {
		return err
	}
	for _, link := range []netlink.Link{lo, eth} {
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
	}
	if err := addAddresses(h, eth, nodeAddresses(f, i)); err != nil {
		return err
	}
	if err := addRoutes(h, eth, f.Pick("0.0.0.0/0", "::/0"), f.Addresses()); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	for j := 1; j <= nodes; j++ {
		if j == i {
			continue
		}
		if err := addRoutes(h, eth, podCIDRs(f, j), nodeAddresses(f, j)); err != nil {
			return fmt.Errorf("route to the pods of node-%d: %w", j, err)
		}
	}
	return nil
}

// addRoutes sees to one route per family: ranges and the gateways to them. A node
// that comes back finds those to it.
func addRoutes(h *netlink.Handle, link netlink.Link, cidrs, gateways []string) error {
	for i, cidr := range cidrs {
		_, dst, _ := net.ParseCIDR(cidr) // ours, always well formed
		if err := h.RouteReplace(&netlink.Route{Dst: dst, Gw: net.ParseIP(gateways[i]), LinkIndex: link.Attrs().Index}); err != nil {
			return fmt.Errorf("%s via %s: %w", cidr, gateways[i], err)
		}
	}
	return nil
}
