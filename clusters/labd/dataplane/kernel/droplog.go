package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Of linux/netfilter/nfnetlink_log.h.
const (
	nflogPacket, nflogConfig = 0, 1 // message types
	configCommand            = 1    // NFULA_CFG_CMD
	configMode               = 2    // NFULA_CFG_MODE
	configFlushTime          = 4    // NFULA_CFG_TIMEOUT, in hundredths of a second
	configThreshold          = 5    // NFULA_CFG_QTHRESH
	commandBind              = 1    // NFULNL_CFG_CMD_BIND
	copyPacket               = 2    // NFULNL_COPY_PACKET: as much payload as asked for
	copyRange                = 64   // bytes of it: an IP header and the ports
	packetPayload            = 9    // NFULA_PAYLOAD
	packetPrefix             = 10   // NFULA_PREFIX
)

// LoggedPacket is what the log tells of one packet. The zero Addr and port stand
// for what could not be read: headers come from whoever sent the packet.
type LoggedPacket struct {
	Prefix   string // of the rule that reported it
	Src, Dst netip.Addr
	Proto    uint8
	DstPort  uint16 // of TCP and UDP
}

// ReadLog calls seen with every packet that rules report to the group, until ctx
// ends. It returns nil then, and an error when the kernel
// cannot be asked or the socket fails. Packets that come faster than they are
// read are lost, which is not an error.
func ReadLog(ctx context.Context, ns int, group uint16, seen func(LoggedPacket)) (err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns})
	if err != nil {
		return fmt.Errorf("packet log: open netlink socket: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := bindLog(conn, group); err != nil {
		return fmt.Errorf("packet log: bind group %d: %w", group, err)
	}
	// A deadline in the past ends a Receive that is under way.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		msgs, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			continue
		case err != nil:
			return fmt.Errorf("packet log: read: %w", err)
		}
		for _, m := range msgs {
			if packet, ok := logged(m); ok {
				seen(packet)
			}
		}
	}
}

// bindLog asks for the headers of the group's packets, one by one. The
// kernel's answer comes in the same stream as the packets: a refusal is an
// error of the next Receive.
func bindLog(conn *netlink.Conn, group uint16) error {
	body, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: configCommand, Data: []byte{commandBind}},
		{Type: configMode, Data: append(binary.BigEndian.AppendUint32(nil, copyRange), copyPacket, 0)},
		{Type: configFlushTime, Data: binary.BigEndian.AppendUint32(nil, 1)},
		{Type: configThreshold, Data: binary.BigEndian.AppendUint32(nil, 1)},
	})
	if err != nil {
		return err
	}
	header := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, group)
	_, err = conn.Send(netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_ULOG<<8 | nflogConfig,
			Flags: netlink.Request | netlink.Acknowledge,
		},
		Data: append(header, body...),
	})
	return err
}

func logged(m netlink.Message) (LoggedPacket, bool) {
	if m.Header.Type != unix.NFNL_SUBSYS_ULOG<<8|nflogPacket || len(m.Data) < 4 {
		return LoggedPacket{}, false
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[4:])
	if err != nil {
		return LoggedPacket{}, false
	}
	var p LoggedPacket
	for ad.Next() {
		switch ad.Type() {
		case packetPrefix:
			p.Prefix = ad.String()
		case packetPayload:
			p.readHeaders(ad.Bytes())
		}
	}
	return p, p.Prefix != ""
}

// readHeaders reads the addresses and the target port of an IPv4 or IPv6 packet
// (without extension headers) as far as they are there.
func (p *LoggedPacket) readHeaders(b []byte) {
	var size int
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		p.Proto, size = b[9], int(b[0]&0x0f)*4
	case len(b) >= 40 && b[0]>>4 == 6:
		p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		p.Proto, size = b[6], 40
	default:
		return
	}
	if (p.Proto == unix.IPPROTO_TCP || p.Proto == unix.IPPROTO_UDP) && len(b) >= size+4 {
		p.DstPort = binary.BigEndian.Uint16(b[size+2:])
	}
}
