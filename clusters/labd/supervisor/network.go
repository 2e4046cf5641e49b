package supervisor

import (
	"fmt"
	"net"
	"os"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
)

const bridge = "br0" // the underlay: what a rack's switch is to real nodes

// tryNetwork does the two things that sandboxes forbid although they allowed
// the namespaces: it brings lo up and makes an nftables table.
func tryNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	nft := &nftables.Conn{}
	table := nft.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "tightrope_probe"})
	nft.DelTable(table)
	if err := nft.Flush(); err != nil {
		return fmt.Errorf("add an nftables table: %w", err)
	}
	return nil
}

// buildUnderlay makes the bridge that nodes are plugged into, with the API
// server's address on it.
func buildUnderlay() error {
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}); err != nil {
		return fmt.Errorf("underlay: add bridge: %w", err)
	}
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("underlay: %w", err)
	}
	if err := addAddress(&netlink.Handle{}, br, controlplane.Address, 16); err != nil {
		return fmt.Errorf("underlay: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("underlay: %w", err)
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return fmt.Errorf("underlay: bring the bridge up: %w", err)
	}
	return nil
}

// nodeAddress is node i's, counted from 1.
func nodeAddress(i int) string { return fmt.Sprintf("172.31.0.%d", 10+i) }

// port is the bridge's end of node i's cable.
func port(i int) string { return fmt.Sprintf("node%d", i) }

// podCIDR is node i's.
func podCIDR(i int) string { return fmt.Sprintf("10.244.%d.0/24", i) }

func addAddress(h *netlink.Handle, link netlink.Link, addr string, bits int) error {
	ip := &net.IPNet{IP: net.ParseIP(addr).To4(), Mask: net.CIDRMask(bits, 32)}
	if err := h.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil {
		return fmt.Errorf("address %s on %s: %w", addr, link.Attrs().Name, err)
	}
	return nil
}

// plugNode connects the network namespace of a node's process to the underlay,
// and teaches it and us the routes to the pods.
func plugNode(i, nodes, pid int) error {
	if err := plug(i, nodes, pid); err != nil {
		return fmt.Errorf("network of node-%d: %w", i, err)
	}
	return nil
}

func plug(i, nodes, pid int) error {
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
	if err := configureNode(h, inside, i, nodes); err != nil {
		return err
	}
	return netlink.RouteReplace(via(podCIDR(i), nodeAddress(i), br)) // a node that comes back has it already
}

func configureNode(h *netlink.Handle, inside string, i, nodes int) error {
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
	if err := addAddress(h, eth, nodeAddress(i), 16); err != nil {
		return err
	}
	if err := h.RouteAdd(via("0.0.0.0/0", controlplane.Address, eth)); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	for j := 1; j <= nodes; j++ {
		if j == i {
			continue
		}
		if err := h.RouteAdd(via(podCIDR(j), nodeAddress(j), eth)); err != nil {
			return fmt.Errorf("route to the pods of node-%d: %w", j, err)
		}
	}
	return nil
}

func via(cidr, gateway string, link netlink.Link) *netlink.Route {
	_, dst, _ := net.ParseCIDR(cidr) // ours, always well formed
	return &netlink.Route{Dst: dst, Gw: net.ParseIP(gateway), LinkIndex: link.Attrs().Index}
}
