package dial

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tightrope-dev/tightrope/probes"
)

// serve listens on a loopback port and gives every connection to handle, until
// the test ends; it then waits for the handlers.
func serve(t testing.TB, handle func(*net.TCPConn)) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	stop := make(chan struct{})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				release := make(chan struct{})
				running.Go(func() { // a test that is over waits for nobody
					select {
					case <-stop:
						conn.Close()
					case <-release:
					}
				})
				defer close(release)
				handle(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		close(stop)
		l.Close()
		running.Wait()
	})
	return portOf(l.Addr())
}

func portOf(a net.Addr) int32 {
	_, port, _ := net.SplitHostPort(a.String())
	n, _ := strconv.Atoi(port)
	return int32(n)
}

// closedPort is one that nobody listens on.
func closedPort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l.Addr())
}

// blackhole is a port whose listener has no room left, so that the kernel drops
// every further SYN, as a policy would.
func blackhole(t *testing.T) int32 {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := int32(name.(*syscall.SockaddrInet4).Port)
	filler, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { filler.Close() })
	return port
}

// reply answers a DNS question: with an address for names under "known.", with
// NXDOMAIN for others.
func reply(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RCode = true, dnsmessage.RCodeNameError
	m.Additionals = nil
	q := m.Questions[0]
	if q.Name.String() == "known." {
		m.RCode = dnsmessage.RCodeSuccess
		if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
	}
	raw, _ := m.Pack()
	return raw
}

// serveUDP answers each datagram with what answer returns; with none for nil.
func serveUDP(t *testing.T, answer func([]byte) [][]byte) int32 {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, datagram := range answer(buf[:n]) {
				_, _ = conn.WriteTo(datagram, from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		running.Wait()
	})
	return portOf(conn.LocalAddr())
}

// nameServerTCP answers one question per connection.
func nameServerTCP(conn *net.TCPConn) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	question := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return
	}
	answer := reply(question)
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

// says reads the request and answers with a text.
func says(text string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
	}
}

// silence holds the connection open until the other side goes.
func silence(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) }

// resets reads the request and resets the connection.
func resets(conn *net.TCPConn) {
	_, _ = conn.Read(make([]byte, 4096))
	_ = conn.SetLinger(0)
}

// hangsUp reads the request and closes without a word.
func hangsUp(conn *net.TCPConn) { _, _ = conn.Read(make([]byte, 4096)) }

func check(kind, protocol string, port int32) probes.Check {
	return probes.Check{ID: "c", Type: kind, Protocol: protocol, Host: "127.0.0.1", Port: port, Path: "/health", Query: "known."}
}
