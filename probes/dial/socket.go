package dial

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openSocket opens a socket to an address and begins to connect it.
func openSocket(to netip.AddrPort, protocol string) (int, error) {
	kind := unix.SOCK_STREAM
	if protocol == "UDP" {
		kind = unix.SOCK_DGRAM
	}
	family := unix.AF_INET6
	if to.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if kind == unix.SOCK_DGRAM {
		hearICMP(fd, family)
	}
	err = rawConnect(fd, to)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		rawClose(fd)
		return -1, err
	}
	return fd, nil
}

// zone is the number of a link-local address's interface; 0 for one that is not there.
func zone(name string) uint32 {
	if name == "" {
		return 0
	}
	if link, err := net.InterfaceByName(name); err == nil {
		return uint32(link.Index)
	}
	n, _ := strconv.ParseUint(name, 10, 32) // no number: no zone
	return uint32(n)
}

// resetOnClose makes closing reset the connection: thousands of attempts leave no
// socket in TIME_WAIT and use up no local ports. It can fail only on a socket that
// is already gone.
func resetOnClose(fd int) {
	at := unix.Linger{Onoff: 1}
	rawSetsockopt(fd, unix.SOL_SOCKET, unix.SO_LINGER, unsafe.Pointer(&at), unsafe.Sizeof(at))
}

// socketError is why a connect failed; nil if it succeeded. Only a socket that
// looks broken is asked.
func socketError(fd int, broken bool) error {
	if !broken {
		return nil
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if errno != 0 {
		return syscall.Errno(errno)
	}
	return nil
}

// hearICMP has a datagram socket told of every ICMP error, as a connecting stream
// is, and by whom. Where that cannot be had, only port unreachable is heard of.
func hearICMP(fd, family int) {
	yes := int32(1)
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if family == unix.AF_INET6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	rawSetsockopt(fd, level, option, unsafe.Pointer(&yes), unsafe.Sizeof(yes))
}

// offender is whose ICMP error a datagram socket got; false if it is not known.
func offender(fd int) (netip.Addr, bool) {
	var oob [256]byte
	_, n, _, _, err := unix.Recvmsg(fd, nil, oob[:], unix.MSG_ERRQUEUE)
	if err != nil {
		return netip.Addr{}, false
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return netip.Addr{}, false
	}
	const size = int(unsafe.Sizeof(unix.SockExtendedErr{})) // the offender's address follows it
	for _, m := range messages {
		switch v4, v6 := 4, 8; { // where an address stands in a sockaddr
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR && len(m.Data) >= size+v4+4:
			return netip.AddrFromSlice(m.Data[size+v4 : size+v4+4])
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR && len(m.Data) >= size+v6+16:
			return netip.AddrFromSlice(m.Data[size+v6 : size+v6+16])
		}
	}
	return netip.Addr{}, false
}
