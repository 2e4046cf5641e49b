package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	"golang.org/x/sys/unix"
)

// Registers: the verdict register aside, rules here use three 4-byte registers
// that lie side by side, so that keys of several parts can be looked up.
const (
	reg0 = unix.NFT_REG32_00
	reg1 = unix.NFT_REG32_00 + 1
	reg2 = unix.NFT_REG32_00 + 2
)

// Offsets in the IPv4 header, and of the destination port in TCP, UDP and SCTP.
const (
	offSrc, offDst = 12, 16
	offDstPort     = 2
)

// expressions translates one rule.
func expressions(r ruleset.Rule) ([]expr.Any, error) {
	var e []expr.Any
	add := func(more ...expr.Any) { e = append(e, more...) }
	if r.Established {
		add(established()...)
	}
	if r.Src.IsValid() {
		add(load(offSrc, reg0), equal(reg0, r.Src.AsSlice()))
	}
	if r.Dst.IsValid() {
		add(load(offDst, reg0), equal(reg0, r.Dst.AsSlice()))
	}
	if r.SrcIn.IsValid() {
		add(within(offSrc, r.SrcIn)...)
	}
	if r.DstIn.IsValid() {
		add(within(offDst, r.DstIn)...)
	}
	if r.SrcSet != "" {
		add(load(offSrc, reg0), &expr.Lookup{SourceRegister: reg0, SetName: r.SrcSet, Invert: r.NotSrcSet})
	}
	if r.DstSet != "" {
		add(load(offDst, reg0), &expr.Lookup{SourceRegister: reg0, SetName: r.DstSet, Invert: r.NotDstSet})
	}
	if r.Proto != 0 {
		add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0}, equal(reg0, []byte{byte(r.Proto)}))
	}
	if r.PortLast != 0 {
		add(ports(r.PortFirst, r.PortLast)...)
	}
	if r.DstPortSet != "" {
		add(load(offDst, reg0), loadPort(reg1), &expr.Lookup{SourceRegister: reg0, SetName: r.DstPortSet})
	}
	if r.PairSet != "" {
		add(load(offSrc, reg0), load(offDst, reg1), &expr.Lookup{SourceRegister: reg0, SetName: r.PairSet})
	}
	if r.Counter != "" {
		add(&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: r.Counter})
	}
	if r.LogGroup != 0 {
		add(logTo(r.LogGroup, r.LogText)...)
	}
	a, err := action(r)
	if err != nil {
		return nil, err
	}
	return append(e, a...), nil
}

func action(r ruleset.Rule) ([]expr.Any, error) {
	switch r.Action {
	case ruleset.Continue:
		return nil, nil
	case ruleset.Accept:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}, nil
	case ruleset.Drop:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}, nil
	case ruleset.Jump:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: r.Target}}, nil
	case ruleset.DispatchSrc:
		return []expr.Any{load(offSrc, reg0), verdictMap(r.Target)}, nil
	case ruleset.DispatchDst:
		return []expr.Any{load(offDst, reg0), verdictMap(r.Target)}, nil
	case ruleset.DispatchFront:
		return []expr.Any{
			load(offDst, reg0),
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
			loadPort(reg2),
			verdictMap(r.Target),
		}, nil
	case ruleset.Balance:
		return []expr.Any{
			&expr.Numgen{Register: reg0, Modulus: r.Modulo, Type: unix.NFT_NG_RANDOM},
			&expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetName: r.Target},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0, RegProtoMin: reg1},
		}, nil
	case ruleset.SNAT:
		return []expr.Any{
			&expr.Immediate{Register: reg0, Data: r.To.AsSlice()},
			&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0},
		}, nil
	case ruleset.RejectReset:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}, nil
	case ruleset.RejectUnreachable:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpPortUnreachable}}, nil
	}
	return nil, fmt.Errorf("action %q is not known", r.Action)
}

const icmpPortUnreachable = 3

func load(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4, DestRegister: register}
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

func established() []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: reg0, Key: expr.CtKeySTATE},
		&expr.Bitwise{
			SourceRegister: reg0, DestRegister: reg0, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED),
			Xor:  make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: make([]byte, 4)},
	}
}

func within(offset uint32, p netip.Prefix) []expr.Any {
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	return []expr.Any{
		load(offset, reg0),
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		equal(reg0, p.Masked().Addr().AsSlice()),
	}
}

func ports(first, last uint16) []expr.Any {
	be := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	if first == last {
		return []expr.Any{loadPort(reg0), equal(reg0, be(first))}
	}
	return []expr.Any{loadPort(reg0), &expr.Range{Op: expr.CmpOpEq, Register: reg0, FromData: be(first), ToData: be(last)}}
}

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
