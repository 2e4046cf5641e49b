package faults

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// scale is what a share of packets is counted in: a hundredth of a percent.
const scale = 10000

// loss drops packets on the sender's node, and so each packet has one chance. It
// follows the pods until it is undone.
func (k *Keeper) loss(ctx context.Context, id int, s Spec) (undo, error) {
	l := &lossy{machine: k.machine, table: tableName(id), spec: s, end: make(chan struct{}), news: make(chan struct{}, 1)}
	if err := l.watch(ctx, k.machine.Client()); err != nil {
		return l.undo, err
	}
	if err := l.program(); err != nil {
		return l.undo, err
	}
	l.wg.Go(l.follow)
	return l.undo, nil
}

// lossy is one fault of the kind Loss.
type lossy struct {
	machine   Machine
	table     string
	spec      Spec
	factories [2]informers.SharedInformerFactory
	listers   [2]corelisters.PodLister // of From and To
	news      chan struct{}            // holds one token while pods may have changed
	end       chan struct{}
	once      sync.Once
	wg        sync.WaitGroup
}

func (l *lossy) watch(ctx context.Context, client kubernetes.Interface) error {
	for i, p := range []Pods{l.spec.From, l.spec.To} {
		l.factories[i] = informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(p.Namespace),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = p.Selector }))
		pods := l.factories[i].Core().V1().Pods()
		l.listers[i] = pods.Lister()
		changed := func() {
			select {
			case l.news <- struct{}{}:
			default:
			}
		}
		_, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { changed() },
			UpdateFunc: func(any, any) { changed() }, DeleteFunc: func(any) { changed() }})
		if err != nil {
			return fmt.Errorf("watch pods: %w", err)
		}
		l.factories[i].Start(l.end)
		if !cache.WaitForCacheSync(ctx.Done(), pods.Informer().HasSynced) {
			return fmt.Errorf("watch pods: %w", context.Cause(ctx))
		}
	}
	return nil
}

// follow keeps the nodes' tables up to date. A node that is down has no table,
// and nothing to lose; when it comes back its pods have news.
func (l *lossy) follow() {
	for {
		select {
		case <-l.end:
			return
		case <-l.news:
			_ = l.program()
		}
	}
}

// undo may be called again after an error.
func (l *lossy) undo(context.Context) error {
	l.once.Do(func() { close(l.end) })
	l.wg.Wait()
	for _, f := range l.factories {
		if f != nil {
			f.Shutdown()
		}
	}
	var errs []error
	for _, node := range l.machine.Nodes() {
		errs = append(errs, l.onNode(node, nil))
	}
	return errors.Join(errs...)
}

func (l *lossy) program() error {
	from, to := l.pods(0), l.pods(1)
	var errs []error
	for _, node := range l.machine.Nodes() {
		lines := []line{{onlyOf(from, node), addresses(to)}}
		if !l.spec.OneWay {
			lines = append(lines, line{onlyOf(to, node), addresses(from)})
		}
		errs = append(errs, l.onNode(node, lines))
	}
	return errors.Join(errs...)
}

// line is what may lose packets: from these addresses to those.
type line struct{ from, to []netip.Addr }

func (l *lossy) pods(i int) []*corev1.Pod {
	all, _ := l.listers[i].List(labels.Everything()) // it reads memory
	return all
}

func onlyOf(pods []*corev1.Pod, node string) []netip.Addr {
	var here []*corev1.Pod
	for _, p := range pods {
		if p.Spec.NodeName == node {
			here = append(here, p)
		}
	}
	return addresses(here)
}

// addresses are those of pods that have a network of their own.
func addresses(pods []*corev1.Pod) []netip.Addr {
	var all []netip.Addr
	for _, p := range pods {
		if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, ip := range p.Status.PodIPs {
			if a, err := netip.ParseAddr(ip.IP); err == nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// onNode replaces the fault's table on a node; without lines it is removed.
func (l *lossy) onNode(node string, lines []line) error {
	pid, err := l.machine.PID(node)
	if err != nil {
		return nil // it is down, and its network with it
	}
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("network of %s: %w", node, err)
	}
	defer ns.Close()
	c, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	if err != nil {
		return fmt.Errorf("filter on %s: %w", node, err)
	}
	t := &nftables.Table{Name: l.table, Family: nftables.TableFamilyINet}
	c.AddTable(t)
	c.DelTable(t)
	if len(lines) > 0 {
		if err := fillLoss(c, t, lines, uint32(math.Ceil(l.spec.Percent*scale/100))); err != nil {
			return fmt.Errorf("filter on %s: %w", node, err)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("filter on %s: %w", node, err)
	}
	return nil
}

func fillLoss(c *nftables.Conn, t *nftables.Table, lines []line, share uint32) error {
	c.AddTable(t)
	accept := nftables.ChainPolicyAccept
	ch := c.AddChain(&nftables.Chain{Table: t, Name: "forward", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityRef(-10), Policy: &accept})
	for i, l := range lines {
		for _, f := range families {
			from, to := f.only(l.from), f.only(l.to)
			if len(from) == 0 || len(to) == 0 {
				continue
			}
			src, err := f.set(c, t, fmt.Sprintf("from%d_%s", i, f.name), from)
			if err != nil {
				return err
			}
			dst, err := f.set(c, t, fmt.Sprintf("to%d_%s", i, f.name), to)
			if err != nil {
				return err
			}
			c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: f.rule(src, dst, share)})
		}
	}
	return nil
}

// family is one of the two kinds of address.
type family struct {
	name          string
	proto         byte
	src, dst, len uint32 // of the addresses in the header, in bytes
	key           nftables.SetDatatype
	is            func(netip.Addr) bool
}

var families = []family{
	{"ip4", unix.NFPROTO_IPV4, 12, 16, 4, nftables.TypeIPAddr, netip.Addr.Is4},
	{"ip6", unix.NFPROTO_IPV6, 8, 24, 16, nftables.TypeIP6Addr, netip.Addr.Is6},
}

func (f family) only(all []netip.Addr) (mine []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for _, a := range all {
		if f.is(a) && !seen[a] {
			seen[a] = true
			mine = append(mine, a)
		}
	}
	return mine
}

func (f family) set(c *nftables.Conn, t *nftables.Table, name string, addrs []netip.Addr) (*nftables.Set, error) {
	s := &nftables.Set{Table: t, Name: name, KeyType: f.key, KeyByteOrder: binaryutil.BigEndian}
	var elements []nftables.SetElement
	for _, a := range addrs {
		elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
	}
	return s, c.AddSet(s, elements)
}

// rule compares a random number below scale in network order, as the kernel
// compares bytes.
func (f family) rule(src, dst *nftables.Set, share uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.proto}},
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: f.src, Len: f.len, DestRegister: 1},
		&expr.Lookup{SourceRegister: 1, SetName: src.Name, SetID: src.ID},
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: f.dst, Len: f.len, DestRegister: 1},
		&expr.Lookup{SourceRegister: 1, SetName: dst.Name, SetID: dst.ID},
		&expr.Numgen{Register: 1, Modulus: scale, Type: unix.NFT_NG_RANDOM},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint32(share)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}
