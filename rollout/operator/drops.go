package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// FirstDrop is the first packet of a flow that a node's data plane dropped since
// the policies that drop it last changed.
type FirstDrop struct {
	From     netip.Addr `json:"from"`
	To       netip.Addr `json:"to"`
	Port     int32      `json:"port"`
	Protocol string     `json:"protocol"` // TCP or UDP
	First    time.Time  `json:"first"`    // by the node's clock
}

// DropReader asks the data plane of a node, by its address, what it dropped
// first. Most data planes cannot tell; the lab's can.
type DropReader interface {
	FirstDrops(ctx context.Context, node string) ([]FirstDrop, error)
}

// NodeDrops reads first drops over HTTP from a port of the node's address.
type NodeDrops struct{ Port int }

// nodeClient goes straight to the address it is given: an answer from a node
// must not send the controller elsewhere.
var nodeClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

const (
	// dropsWithin bounds how long a rollback waits to hear of first drops.
	dropsWithin = 500 * time.Millisecond
	// maxDrops bounds an answer; a data plane that says more is not believed.
	maxDrops = 1 << 20 // bytes
)

// FirstDrops implements DropReader.
func (n NodeDrops) FirstDrops(ctx context.Context, node string) ([]FirstDrop, error) {
	url := "http://" + net.JoinHostPort(node, strconv.Itoa(n.Port)) + "/drops"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("first drops of node %s: %w", node, err)
	}
	resp, err := nodeClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("first drops of node %s: %w", node, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("first drops of node %s: %s", node, resp.Status)
	}
	var drops []FirstDrop
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDrops)).Decode(&drops); err != nil {
		return nil, fmt.Errorf("first drops of node %s: %w", node, err)
	}
	return drops, nil
}

// suspect is where the packets of a cut attempt may have been dropped: on their
// way from one pod to any of some others.
type suspect struct {
	from     netip.Addr
	to       []netip.AddrPort
	protocol string
	nodes    []string // addresses of the nodes that the packets pass
}

// suspectOf says what to look for in the data plane's drops for a failing check.
func (p *picture) suspectOf(s sight) suspect {
	e := p.endsOf(s)
	x := suspect{protocol: e.protocol}
	x.pass(e.from, func(a netip.Addr) { x.from = a })
	for _, b := range e.to {
		x.pass(b.pod, func(a netip.Addr) { x.to = append(x.to, netip.AddrPortFrom(a, uint16(b.port))) })
	}
	return x
}

// pass notes a pod's node, and hands its address on; a pod that is gone has none.
func (x *suspect) pass(pod *corev1.Pod, use func(netip.Addr)) {
	if pod == nil {
		return
	}
	if a, err := netip.ParseAddr(pod.Status.PodIP); err == nil {
		use(a)
	}
	if node := pod.Status.HostIP; node != "" && !slices.Contains(x.nodes, node) {
		x.nodes = append(x.nodes, node)
	}
}

func (x suspect) is(d FirstDrop) bool {
	return d.From == x.from && d.Protocol == x.protocol && slices.Contains(x.to, netip.AddrPortFrom(d.To, uint16(d.Port)))
}

// firstDropped is the earliest moment, from issued to received, at which a
// packet of the suspect was dropped.
func (x suspect) firstDropped(drops []FirstDrop, issued, received time.Time) (time.Time, bool) {
	var first time.Time
	for _, d := range drops {
		if x.is(d) && !d.First.Before(issued) && !d.First.After(received) && (first.IsZero() || d.First.Before(first)) {
			first = d.First
		}
	}
	return first, !first.IsZero()
}

// dateBreaks replaces, for each cut, the acknowledgement of the tightening write
// by the first drop that the data plane counted, where it can tell. Nothing is
// decided by it, and it comes after the restoring write.
func (r *RunReconciler) dateBreaks(ctx context.Context, s *session) {
	found := s.undated
	s.undated = nil
	if r.Drops == nil || len(found) == 0 || s.issued.IsZero() {
		return
	}
	ctx, stop := context.WithTimeout(ctx, dropsWithin)
	defer stop()
	asked := map[string][]FirstDrop{}
	for _, f := range found {
		var drops []FirstDrop
		for _, node := range f.suspect.nodes {
			if _, ok := asked[node]; !ok {
				asked[node], _ = r.Drops.FirstDrops(ctx, node) // a node that does not answer has no say
			}
			drops = append(drops, asked[node]...)
		}
		if at, ok := f.suspect.firstDropped(drops, s.issued, f.received); ok {
			s.record.broken(f, at)
		}
	}
}

// broken dates a cut by its first dropped packet.
func (r *record) broken(f foundCut, at time.Time) {
	if _, ok := r.wasCut(f.cell); ok {
		r.log(evidence.Entry{Stamp: &evidence.Stamp{Row: r.rowOf[f.cell], Detect: millis(f.received.Round(0).Sub(at)), Broken: report.BrokenByDrop}}, time.Now())
	}
}
