package dial

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/probes"
)

// Over UDP it matters whose ICMP message says no: one from another address than the
// target's was sent on the way, so the datagram did not arrive. Run in a network
// namespace of its own, where packets may be forged.
func TestWhoSaysThatAPortIsUnreachable(t *testing.T) {
	if !inEmptyNetwork() {
		inNamespaces(t)
		return
	}
	raiseLoopback(t)
	const target, router = "127.0.0.1", "127.0.0.2"
	for _, tt := range []struct {
		name string
		from string
		code int
		want probes.Outcome
	}{
		{"the target, port unreachable", target, 3, probes.PortUnreachable},
		{"somebody on the way, port unreachable", router, 3, probes.Unreachable},
		{"somebody on the way, administratively prohibited", router, 13, probes.Unreachable},
		{"somebody on the way, host unreachable", router, 1, probes.Unreachable},
		{"the target, administratively prohibited", target, 13, probes.Unreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(target)})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			said := make(chan error, 1)
			go func() {
				_, from, err := server.ReadFromUDP(make([]byte, 512))
				if err == nil {
					err = complain(tt.from, tt.code, from, server.LocalAddr().(*net.UDPAddr))
				}
				said <- err
			}()
			got := try(t, patience, check("DNS", "UDP", portOf(server.LocalAddr())))
			server.Close()
			if err := <-said; err != nil {
				t.Fatal(err)
			}
			if got.Outcome != tt.want {
				t.Errorf("%+v, want %q", got, tt.want)
			}
		})
	}
}

// complain sends ICMP destination unreachable about a datagram from one address to another.
func complain(by string, code int, from, to *net.UDPAddr) error {
	raw, err := net.ListenIP("ip4:icmp", &net.IPAddr{IP: net.ParseIP(by)})
	if err != nil {
		return err
	}
	defer raw.Close()
	header, err := (&ipv4.Header{Version: 4, Len: 20, TotalLen: 28, TTL: 64, Protocol: 17, Src: from.IP.To4(), Dst: to.IP.To4()}).Marshal()
	if err != nil {
		return err
	}
	udp := []byte{byte(from.Port >> 8), byte(from.Port), byte(to.Port >> 8), byte(to.Port), 0, 8, 0, 0}
	message := icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: code, Body: &icmp.DstUnreach{Data: append(header, udp...)}}
	packet, err := message.Marshal(nil)
	if err != nil {
		return err
	}
	_, err = raw.WriteToIP(packet, &net.IPAddr{IP: from.IP})
	return err
}

func raiseLoopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

func inEmptyNetwork() bool { return os.Getenv("TIGHTROPE_TEST_EMPTY_NETWORK") != "" }

// inNamespaces runs the calling test again in user and network namespaces of its own.
func inNamespaces(t *testing.T) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.count=1", "-test.v")
	child.Env = append(os.Environ(), "TIGHTROPE_TEST_EMPTY_NETWORK=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	if child.Process == nil {
		t.Skipf("this machine forbids user namespaces: %v", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
