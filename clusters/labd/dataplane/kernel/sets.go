package kernel

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

// elementsPerMessage keeps the list of elements below the 64 KiB that one
// netlink attribute can hold; the longest element takes about 120 bytes.
const elementsPerMessage = 400

var (
	addrPort      = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	addrPair      = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
	addrProtoPort = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
)

func set(t *nftables.Table, name string, kind ruleset.Kind) *nftables.Set {
	s := &nftables.Set{Table: t, Name: name, KeyType: nftables.TypeIPAddr, KeyByteOrder: binaryutil.BigEndian}
	switch kind {
	case ruleset.AddrRanges:
		s.Interval = true
	case ruleset.AddrPorts:
		s.KeyType = addrPort
	case ruleset.AddrPairs:
		s.KeyType = addrPair
	case ruleset.AddrChains:
		s.IsMap, s.DataType = true, nftables.TypeVerdict
	case ruleset.FrontChains:
		s.KeyType, s.IsMap, s.DataType = addrProtoPort, true, nftables.TypeVerdict
	case ruleset.IndexTargets:
		s.KeyType, s.KeyByteOrder = nftables.TypeInteger, binaryutil.NativeEndian
		s.IsMap, s.DataType = true, addrPort
	}
	return s
}

func encode(kind ruleset.Kind, elements []ruleset.Element) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, len(elements))
	for _, e := range elements {
		switch kind {
		case ruleset.AddrRanges:
			out = append(out, interval(e)...)
		case ruleset.AddrPorts:
			out = append(out, nftables.SetElement{Key: join(e.Addr.AsSlice(), padded16(e.Port))})
		case ruleset.AddrPairs:
			out = append(out, nftables.SetElement{Key: join(e.Addr.AsSlice(), e.Last.AsSlice())})
		case ruleset.AddrChains:
			out = append(out, nftables.SetElement{Key: e.Addr.AsSlice(), VerdictData: gotoChain(e.Chain)})
		case ruleset.FrontChains:
			key := join(e.Addr.AsSlice(), []byte{byte(e.Proto), 0, 0, 0}, padded16(e.Port))
			out = append(out, nftables.SetElement{Key: key, VerdictData: gotoChain(e.Chain)})
		case ruleset.IndexTargets:
			out = append(out, nftables.SetElement{
				Key: binaryutil.NativeEndian.PutUint32(e.Index),
				Val: join(e.Addr.AsSlice(), padded16(e.Port)),
			})
		default:
			out = append(out, nftables.SetElement{Key: e.Addr.AsSlice()})
		}
	}
	return out
}

// interval writes a range as the kernel keeps it: where it begins, and the
// first address after it, unless there is none.
func interval(e ruleset.Element) []nftables.SetElement {
	out := []nftables.SetElement{{Key: e.Addr.AsSlice()}}
	if after := e.Last.Next(); after.IsValid() {
		out = append(out, nftables.SetElement{Key: after.AsSlice(), IntervalEnd: true})
	}
	return out
}

func gotoChain(name string) *expr.Verdict {
	return &expr.Verdict{Kind: expr.VerdictGoto, Chain: name}
}

// padded16 is a port as one part of a concatenated key: in network order, then
// filled up to the 4 bytes of a register.
func padded16(n uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, n), 0, 0)
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
