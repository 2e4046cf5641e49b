package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	"golang.org/x/sys/unix"
)

// reg0 is the first of sixteen 4-byte registers that lie side by side; a key of
// several parts begins there.
const reg0 = unix.NFT_REG32_00

// loopbackIndex is lo's number in every network namespace.
const loopbackIndex = 1

// offDstPort is the offset of the destination port in TCP, UDP and SCTP.
const offDstPort = 2

// header says where an IP header has its addresses, in bytes.
type header struct {
	nfproto       byte
	src, dst, len uint32
}

var headers = map[ruleset.Family]header{
	ruleset.IPv4: {unix.NFPROTO_IPV4, 12, 16, 4},
	ruleset.IPv6: {unix.NFPROTO_IPV6, 8, 24, 16},
}

// after is the register behind an address in reg0.
func (h header) after() uint32 { return reg0 + h.len/4 }

func (w *writer) src(register uint32) expr.Any { return w.load(w.ip.src, register) }
func (w *writer) dst(register uint32) expr.Any { return w.load(w.ip.dst, register) }

func (w *writer) load(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: w.ip.len, DestRegister: register}
}

func loadPort(register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: offDstPort, Len: 2, DestRegister: register}
}

func equal(register uint32, data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func verdictMap(set string) expr.Any {
	return &expr.Lookup{SourceRegister: reg0, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set}
}

func random(modulo uint32) expr.Any {
	return &expr.Numgen{Register: reg0, Modulus: modulo, Type: unix.NFT_NG_RANDOM}
}

// anyBit matches when reg0 has a bit of the mask.
func anyBit(mask []byte) []expr.Any {
	return []expr.Any{
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: make([]byte, 4)},
	}
}

// within matches when the address in reg0 is in the range.
func within(p netip.Prefix) []expr.Any {
	p = p.Masked()
	length := len(p.Addr().AsSlice())
	mask := make([]byte, length)
	for bit := range p.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return []expr.Any{
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: uint32(length), Mask: mask, Xor: make([]byte, length)},
		equal(reg0, p.Addr().AsSlice()),
	}
}

func ports(first, last uint16) []expr.Any {
	if first == last {
		return []expr.Any{loadPort(reg0), equal(reg0, bigEndian16(first))}
	}
	return []expr.Any{loadPort(reg0), &expr.Range{Op: expr.CmpOpEq, Register: reg0, FromData: bigEndian16(first), ToData: bigEndian16(last)}}
}

func bigEndian16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// logTo tells at most LogRate packets a second to an nflog group, with only as
// much of the packet as its headers.
func logTo(group uint16, text string) []expr.Any {
	return []expr.Any{
		&expr.Limit{Type: expr.LimitTypePkts, Rate: ruleset.LogRate, Unit: expr.LimitTimeSecond, Burst: ruleset.LogRate},
		&expr.Log{
			Key:     1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN,
			Group:   group,
			Snaplen: 64,
			Data:    []byte(text),
		},
	}
}
