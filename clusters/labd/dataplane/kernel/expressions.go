package kernel

import (
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	"golang.org/x/sys/unix"
)

// expressions translates one rule.
func expressions(r ruleset.Rule) ([]expr.Any, error) {
	w := writer{ip: headers[r.Family]}
	if r.Family == 0 && readsAddresses(r) {
		return nil, fmt.Errorf("rule %q reads addresses and names no family", r)
	}
	if r.Family != 0 {
		w.add(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg0}, equal(reg0, []byte{w.ip.nfproto}))
	}
	w.state(r)
	w.addresses(r)
	if r.Proto != 0 {
		w.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0}, equal(reg0, []byte{byte(r.Proto)}))
	}
	if r.PortLast != 0 {
		w.add(ports(r.PortFirst, r.PortLast)...)
	}
	w.tuples(r)
	w.statements(r)
	if err := w.action(r); err != nil {
		return nil, err
	}
	return w.out, nil
}

func readsAddresses(r ruleset.Rule) bool {
	switch r.Action {
	case ruleset.DispatchSrc, ruleset.DispatchDst, ruleset.DispatchFront, ruleset.Balance, ruleset.SNAT, ruleset.DNAT:
		return true
	}
	return r.Src.IsValid() || r.Dst.IsValid() || r.SrcIn.IsValid() || r.DstIn.IsValid() ||
		r.SrcSet+r.DstSet+r.DstPortSet+r.PairSet+r.FrontSet+r.Remember != ""
}

// writer collects the expressions of one rule.
type writer struct {
	ip  header
	out []expr.Any
}

func (w *writer) add(more ...expr.Any) { w.out = append(w.out, more...) }

func (w *writer) state(r ruleset.Rule) {
	if r.FromWire {
		w.add(&expr.Meta{Key: expr.MetaKeyIIF, Register: reg0},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: binaryutil.NativeEndian.PutUint32(loopbackIndex)})
	}
	if r.Marked != 0 {
		w.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0})
		w.add(anyBit(binaryutil.NativeEndian.PutUint32(r.Marked))...)
	}
	if r.Established {
		w.add(&expr.Ct{Register: reg0, Key: expr.CtKeySTATE})
		w.add(anyBit(binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED))...)
	}
	if r.Direction != "" {
		w.add(&expr.Ct{Register: reg0, Key: expr.CtKeyDIRECTION}, equal(reg0, []byte{directions[r.Direction]}))
	}
	if r.Tagged != 0 {
		w.add(&expr.Ct{Register: reg0, Key: expr.CtKeyMARK}, equal(reg0, binaryutil.NativeEndian.PutUint32(r.Tagged)))
	}
}

// directions are the kernel's numbers.
var directions = map[ruleset.Direction]byte{ruleset.Original: 0, ruleset.Reply: 1}

func (w *writer) addresses(r ruleset.Rule) {
	if r.Src.IsValid() {
		w.add(w.src(reg0), equal(reg0, r.Src.AsSlice()))
	}
	if r.Dst.IsValid() {
		w.add(w.dst(reg0), equal(reg0, r.Dst.AsSlice()))
	}
	if r.SrcIn.IsValid() {
		w.add(w.src(reg0))
		w.add(within(r.SrcIn)...)
	}
	if r.DstIn.IsValid() {
		w.add(w.dst(reg0))
		w.add(within(r.DstIn)...)
	}
	if r.SrcSet != "" {
		w.add(w.src(reg0), &expr.Lookup{SourceRegister: reg0, SetName: r.SrcSet, Invert: r.NotSrcSet})
	}
	if r.DstSet != "" {
		w.add(w.dst(reg0), &expr.Lookup{SourceRegister: reg0, SetName: r.DstSet, Invert: r.NotDstSet})
	}
}

// tuples looks keys of several parts up: they lie side by side in registers.
func (w *writer) tuples(r ruleset.Rule) {
	after := w.ip.after()
	if r.DstPortSet != "" {
		w.add(w.dst(reg0), loadPort(after), &expr.Lookup{SourceRegister: reg0, SetName: r.DstPortSet})
	}
	if r.PairSet != "" {
		w.add(w.src(reg0), w.dst(after), &expr.Lookup{SourceRegister: reg0, SetName: r.PairSet})
	}
	if r.FrontSet != "" {
		w.front()
		w.add(&expr.Lookup{SourceRegister: reg0, SetName: r.FrontSet})
	}
}

// front loads destination, protocol and destination port.
func (w *writer) front() {
	after := w.ip.after()
	w.add(w.dst(reg0), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: after}, loadPort(after+1))
}

func (w *writer) statements(r ruleset.Rule) {
	if r.Remember != "" {
		w.add(w.src(reg0), &expr.Dynset{SrcRegKey: reg0, SetName: r.Remember, Operation: unix.NFT_DYNSET_OP_UPDATE})
	}
	if r.Mark != 0 {
		bit := binaryutil.NativeEndian.PutUint32(r.Mark)
		w.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0},
			&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(^r.Mark), Xor: bit},
			&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0, SourceRegister: true})
	}
	if r.Tag != 0 {
		w.add(&expr.Immediate{Register: reg0, Data: binaryutil.NativeEndian.PutUint32(r.Tag)},
			&expr.Ct{Register: reg0, Key: expr.CtKeyMARK, SourceRegister: true})
	}
	if r.Counter != "" {
		w.add(&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: r.Counter})
	}
	if r.LogGroup != 0 {
		w.add(logTo(r.LogGroup, r.LogText)...)
	}
}

func (w *writer) action(r ruleset.Rule) error {
	switch r.Action {
	case ruleset.Continue:
	case ruleset.Accept:
		w.add(&expr.Verdict{Kind: expr.VerdictAccept})
	case ruleset.Drop:
		w.add(&expr.Verdict{Kind: expr.VerdictDrop})
	case ruleset.Jump:
		w.add(&expr.Verdict{Kind: expr.VerdictJump, Chain: r.Target})
	case ruleset.DispatchSrc:
		w.add(w.src(reg0), verdictMap(r.Target))
	case ruleset.DispatchDst:
		w.add(w.dst(reg0), verdictMap(r.Target))
	case ruleset.DispatchFront:
		w.front()
		w.add(verdictMap(r.Target))
	case ruleset.BalanceChains:
		w.add(random(r.Modulo), verdictMap(r.Target))
	case ruleset.Balance:
		w.add(random(r.Modulo), &expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetName: r.Target})
		w.add(w.translate(expr.NATTypeDestNAT, w.ip.after()))
	case ruleset.DNAT:
		w.add(&expr.Immediate{Register: reg0, Data: r.To.AsSlice()}, &expr.Immediate{Register: w.ip.after(), Data: bigEndian16(r.ToPort)})
		w.add(w.translate(expr.NATTypeDestNAT, w.ip.after()))
	case ruleset.SNAT:
		w.add(&expr.Immediate{Register: reg0, Data: r.To.AsSlice()}, w.translate(expr.NATTypeSourceNAT, 0))
	case ruleset.RejectReset:
		w.add(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	case ruleset.RejectUnreachable:
		w.add(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH})
	case ruleset.RejectProhibited:
		w.add(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED})
	default:
		return fmt.Errorf("action %q is not known", r.Action)
	}
	return nil
}

// translate is the NAT of the address in reg0 and, if port is not 0, of the port there.
func (w *writer) translate(kind expr.NATType, port uint32) expr.Any {
	return &expr.NAT{Type: kind, Family: uint32(w.ip.nfproto), RegAddrMin: reg0, RegProtoMin: port}
}
