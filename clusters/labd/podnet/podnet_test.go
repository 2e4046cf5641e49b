package podnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestAnAddressComesBackLast(t *testing.T) {
	a, err := NewAddresses("10.0.0.0/29") // 1 to 6
	if err != nil {
		t.Fatal(err)
	}
	take := func() string {
		addr, err := a.Take()
		if err != nil {
			return "none"
		}
		return addr.String()
	}
	first := take()
	if first != "10.0.0.1" {
		t.Fatalf("first address %s", first)
	}
	a.Give(netip.MustParseAddr(first))
	a.Give(netip.MustParseAddr(first)) // twice must not make it two
	a.Give(netip.MustParseAddr("10.0.0.5"))
	for _, want := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1", "none"} {
		if got := take(); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestABadRangeIsRefused(t *testing.T) {
	for _, cidr := range []string{"", "10.0.0.0", "10.0.0.0/31", "fd00::/127"} {
		if _, err := NewAddresses(cidr); err == nil {
			t.Errorf("%q was accepted", cidr)
		}
	}
}

// newPod connects a pod and returns it with its space.
func newPod(t *testing.T, name string, addrs ...string) (*Space, *Link) {
	t.Helper()
	s, err := OpenSpace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var all []netip.Addr
	for _, a := range addrs {
		all = append(all, netip.MustParseAddr(a))
	}
	l, err := Prepare(s, name, all...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return s, l
}

// listen accepts one connection in the pod and returns who it came from.
func listen(t *testing.T, s *Space, addr string) <-chan string {
	t.Helper()
	from := make(chan string, 1)
	err := s.Do(func() error {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			if c, err := l.Accept(); err == nil {
				from <- c.RemoteAddr().(*net.TCPAddr).IP.String()
				c.Close()
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return from
}

// dial connects by system calls: net.Dial might use another thread, in another
// namespace. It gives the first packet a second chance: the kernel may take a
// second to start a link whose two ends happen to have the same number.
func dial(ip string, port int) error {
	family, to := unix.AF_INET, unix.Sockaddr(nil)
	if a := netip.MustParseAddr(ip); a.Is6() {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: a.As16(), Port: port}
	} else {
		to = &unix.SockaddrInet4{Addr: a.As4(), Port: port}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(int64(2500 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return err
	}
	return unix.Connect(fd, to)
}

func TestPodsReachEachOtherThroughTheNode(t *testing.T) {
	if err := SetUpNode(false); err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, la := newPod(t, "poda", "10.244.1.1")
	b, lb := newPod(t, "podb", "10.244.1.2")
	if err := a.Do(func() error { return dial("10.244.1.2", 80) }); err == nil {
		t.Error("a pod sent a packet before it was up")
	}
	for _, l := range []*Link{la, lb} {
		if err := l.Up(); err != nil {
			t.Fatal(err)
		}
	}
	from := listen(t, b, "10.244.1.2:80")
	if err := a.Do(func() error { return dial("10.244.1.2", 80) }); err != nil {
		t.Fatalf("pod to pod: %v", err)
	}
	if got := <-from; got != "10.244.1.1" {
		t.Errorf("the server saw %s, want the pod's own address", got)
	}
	if err := a.Do(func() error { return noIPv6(t) }); err != nil {
		t.Error(err)
	}
	if err := lb.Down(); err != nil {
		t.Fatal(err)
	}
	if err := lb.Down(); err != nil {
		t.Errorf("second Down: %v", err)
	}
	if err := a.Do(func() error { return dial("10.244.1.2", 80) }); err == nil {
		t.Error("a pod that is down still answers")
	}
}

func TestPodsHaveBothFamilies(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("this kernel has no IPv6")
	}
	if err := SetUpNode(true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { apply(nodeSettingsIPv4) })
	a, la := newPod(t, "poda", "10.244.1.1", "fd00:10:244:1::1")
	b, lb := newPod(t, "podb", "10.244.1.2", "fd00:10:244:1::2")
	for _, l := range []*Link{la, lb} {
		if err := l.Up(); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range []string{"10.244.1.2", "fd00:10:244:1::2"} {
		from := listen(t, b, net.JoinHostPort(addr, "80"))
		if err := a.Do(func() error { return dial(addr, 80) }); err != nil {
			t.Fatalf("pod to pod by %s: %v", addr, err)
		}
		if got := <-from; got != strings.TrimSuffix(addr, "2")+"1" {
			t.Errorf("the server saw %s by %s", got, addr)
		}
	}
	if b, err := os.ReadFile("/proc/net/if_inet6"); err != nil || strings.Contains(string(b), "fe80") && strings.Contains(string(b), "pod") {
		t.Errorf("the node's ends of pods have link-local addresses, a way past policies:\n%s, %v", b, err)
	}
}

func TestAPodTakesOneAddressOfEachFamilyOrNone(t *testing.T) {
	r, err := NewRanges("10.0.0.0/30", "fd00::/64")
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Take()
	if err != nil || len(first) != 2 || first[1] != netip.MustParseAddr("fd00::1") {
		t.Fatalf("%v, %v", first, err)
	}
	second, _ := r.Take()
	if _, err := r.Take(); err == nil {
		t.Error("a third pod has an address")
	}
	r.Give(second)
	if again, err := r.Take(); err != nil || again[0] != second[0] {
		t.Errorf("%v, %v", again, err)
	}
	if _, err := NewRanges(); err == nil {
		t.Error("a node without a range was accepted")
	}
}

// The kernel keeps at most gc_thresh3 neighbours, 1,024 by default, for all of the
// machine, and nobody may change that inside a user namespace. The entries of pods
// are permanent, and those do not count.
func TestNeighboursOfManyPodsFit(t *testing.T) {
	_, link := newPod(t, "poda", "10.244.1.1")
	if err := link.Up(); err != nil {
		t.Fatal(err)
	}
	mac := link.node.Attrs().HardwareAddr
	addr := netip.MustParseAddr("10.245.0.1")
	for range 3000 {
		if err := netlink.NeighAdd(neighbour(link.node.Attrs().Index, addr, mac)); err != nil {
			t.Fatalf("neighbour %s: %v", addr, err)
		}
		addr = addr.Next()
	}
	list, err := netlink.NeighList(link.node.Attrs().Index, netlink.FAMILY_V4)
	if err != nil || len(list) < 3000 {
		t.Errorf("%d neighbours are left, %v", len(list), err)
	}
}

// noIPv6: a link-local address would be a way around IPv4 policies.
func noIPv6(t *testing.T) error {
	b, err := os.ReadFile("/proc/thread-self/net/if_inet6")
	if err != nil {
		t.Logf("no IPv6 in this kernel: %v", err)
		return nil
	}
	if len(b) > 0 {
		return fmt.Errorf("the pod has IPv6 addresses:\n%s", b)
	}
	return nil
}

func TestASpaceEndsOnce(t *testing.T) {
	s, err := OpenSpace()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	if err := s.Do(func() error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Do after Close: %v", err)
	}
}
