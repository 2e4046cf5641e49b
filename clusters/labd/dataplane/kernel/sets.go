package kernel

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

// elementsPerMessage keeps the list of elements below the 64 KiB that one
// netlink attribute can hold; the longest element takes about 150 bytes.
const elementsPerMessage = 400

// maxRemembered bounds the clients that one endpoint of a Service remembers.
const maxRemembered = 65535

// keyTypes are the types of a family's keys.
type keyTypes struct{ addr, addrPort, addrPair, front nftables.SetDatatype }

func typesOf(addr nftables.SetDatatype) keyTypes {
	return keyTypes{addr,
		nftables.MustConcatSetType(addr, nftables.TypeInetService),
		nftables.MustConcatSetType(addr, addr),
		nftables.MustConcatSetType(addr, nftables.TypeInetProto, nftables.TypeInetService)}
}

var types = map[ruleset.Family]keyTypes{
	ruleset.IPv4: typesOf(nftables.TypeIPAddr), ruleset.IPv6: typesOf(nftables.TypeIP6Addr),
}

func set(t *nftables.Table, name string, of ruleset.Set) *nftables.Set {
	key := types[of.Kind.Family()]
	s := &nftables.Set{Table: t, Name: name, KeyType: key.addr, KeyByteOrder: binaryutil.BigEndian}
	switch of.Kind.For(ruleset.IPv4) {
	case ruleset.AddrRanges:
		s.Interval = true
	case ruleset.AddrPorts:
		s.KeyType = key.addrPort
	case ruleset.AddrPairs:
		s.KeyType = key.addrPair
	case ruleset.Fronts:
		s.KeyType = key.front
	case ruleset.AddrChains:
		s.IsMap, s.DataType = true, nftables.TypeVerdict
	case ruleset.FrontChains:
		s.KeyType, s.IsMap, s.DataType = key.front, true, nftables.TypeVerdict
	case ruleset.IndexTargets:
		s.KeyType, s.KeyByteOrder = nftables.TypeInteger, binaryutil.NativeEndian
		s.IsMap, s.DataType = true, key.addrPort
	case ruleset.IndexChains:
		s.KeyType, s.KeyByteOrder = nftables.TypeInteger, binaryutil.NativeEndian
		s.IsMap, s.DataType = true, nftables.TypeVerdict
	case ruleset.Remembered:
		s.Dynamic, s.HasTimeout, s.Timeout, s.Size = true, true, of.Timeout, maxRemembered
	}
	return s
}

func encode(kind ruleset.Kind, elements []ruleset.Element) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, len(elements))
	for _, e := range elements {
		addr := e.Addr.AsSlice()
		switch kind.For(ruleset.IPv4) {
		case ruleset.AddrRanges:
			out = append(out, interval(e)...)
		case ruleset.AddrPorts:
			out = append(out, nftables.SetElement{Key: join(addr, padded16(e.Port))})
		case ruleset.AddrPairs:
			out = append(out, nftables.SetElement{Key: join(addr, e.Last.AsSlice())})
		case ruleset.AddrChains:
			out = append(out, nftables.SetElement{Key: addr, VerdictData: gotoChain(e.Chain)})
		case ruleset.Fronts:
			out = append(out, nftables.SetElement{Key: front(e)})
		case ruleset.FrontChains:
			out = append(out, nftables.SetElement{Key: front(e), VerdictData: gotoChain(e.Chain)})
		case ruleset.IndexTargets:
			out = append(out, nftables.SetElement{Key: index(e), Val: join(addr, padded16(e.Port))})
		case ruleset.IndexChains:
			out = append(out, nftables.SetElement{Key: index(e), VerdictData: gotoChain(e.Chain)})
		default:
			out = append(out, nftables.SetElement{Key: addr})
		}
	}
	return out
}

func front(e ruleset.Element) []byte {
	return join(e.Addr.AsSlice(), []byte{byte(e.Proto), 0, 0, 0}, padded16(e.Port))
}

func index(e ruleset.Element) []byte { return binaryutil.NativeEndian.PutUint32(e.Index) }

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
func padded16(n uint16) []byte { return append(bigEndian16(n), 0, 0) }

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
