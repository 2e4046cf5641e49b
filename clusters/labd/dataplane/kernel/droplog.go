package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
	copyMeta                 = 1    // NFULNL_COPY_META: no payload
	packetPrefix             = 10   // NFULA_PREFIX
)

// ReadLog calls seen with the prefix of every packet that rules report to the
// group, until ctx ends. It returns nil then, and an error when the kernel
// cannot be asked or the socket fails. Packets that come faster than they are
// read are lost, which is not an error.
func ReadLog(ctx context.Context, ns int, group uint16, seen func(prefix string)) (err error) {
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
			if prefix, ok := logPrefix(m); ok {
				seen(prefix)
			}
		}
	}
}

// bindLog asks for the group's packets, one by one and without payload. The
// kernel's answer comes in the same stream as the packets: a refusal is an
// error of the next Receive.
func bindLog(conn *netlink.Conn, group uint16) error {
	body, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: configCommand, Data: []byte{commandBind}},
		{Type: configMode, Data: []byte{0, 0, 0, 0, copyMeta, 0}},
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

func logPrefix(m netlink.Message) (string, bool) {
	if m.Header.Type != unix.NFNL_SUBSYS_ULOG<<8|nflogPacket || len(m.Data) < 4 {
		return "", false
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[4:])
	if err != nil {
		return "", false
	}
	for ad.Next() {
		if ad.Type() == packetPrefix {
			return ad.String(), true
		}
	}
	return "", false
}
