package operator

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestTheFirstDropOfASuspectIsTheMomentOfBreaking(t *testing.T) {
	issued := time.Now()
	at := func(ms int) time.Time { return issued.Add(time.Duration(ms) * time.Millisecond) }
	me, you, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	x := suspect{from: me, to: []netip.AddrPort{netip.AddrPortFrom(you, 53)}, protocol: "UDP"}
	all := []FirstDrop{
		{me, you, 53, "UDP", at(-5)},   // dropped before the write was sent: by something else
		{me, you, 53, "TCP", at(1)},    // another protocol
		{me, you, 54, "UDP", at(2)},    // another port
		{other, you, 53, "UDP", at(3)}, // from another pod
		{me, other, 53, "UDP", at(4)},  // to another pod
		{me, you, 53, "UDP", at(40)},
		{me, you, 53, "UDP", at(30)},
		{me, you, 53, "UDP", at(600)}, // after it was decided
	}
	if got, ok := x.firstDropped(all, issued, at(500)); !ok || !got.Equal(at(30)) {
		t.Errorf("first drop: got %v %v, want %v", got, ok, at(30))
	}
	if got, ok := x.firstDropped(all[:5], issued, at(500)); ok {
		t.Errorf("first drop without a packet of the suspect: got %v, want none", got)
	}
}

func TestASuspectPassesTheNodesOfBothEnds(t *testing.T) {
	pod := func(ip, node string) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{PodIP: ip, HostIP: node}}
	}
	var x suspect
	var seen []string
	use := func(a netip.Addr) { seen = append(seen, a.String()) }
	for _, p := range []*corev1.Pod{pod("10.0.0.1", "172.31.0.1"), pod("10.0.1.1", "172.31.0.2"), pod("10.0.0.2", "172.31.0.1"), pod("", ""), nil} {
		x.pass(p, use)
	}
	if want := []string{"172.31.0.1", "172.31.0.2"}; !slices.Equal(x.nodes, want) {
		t.Errorf("nodes: got %v, want %v", x.nodes, want)
	}
	if want := []string{"10.0.0.1", "10.0.1.1", "10.0.0.2"}; !slices.Equal(seen, want) {
		t.Errorf("addresses: got %v, want %v", seen, want)
	}
}

func TestDropsOfANodeAreReadAndBounded(t *testing.T) {
	answer := `[{"from":"10.0.0.1","to":"10.0.0.2","port":53,"protocol":"UDP","first":"2026-01-02T03:04:05.6Z","pod":"a/b"}]`
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		if r.URL.Path != "/elsewhere" { // where a redirect would be followed to
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(u.Port())
	read := func() ([]FirstDrop, error) {
		return NodeDrops{Port: port}.FirstDrops(context.Background(), u.Hostname())
	}
	got, err := read()
	if err != nil || len(got) != 1 || got[0].Port != 53 || got[0].From != netip.MustParseAddr("10.0.0.1") {
		t.Fatalf("drops: got %+v, %v", got, err)
	}
	for name, bad := range map[string]string{"garbage": "{", "too much": "[" + strings.Repeat(" ", maxDrops) + "]"} {
		answer = bad
		if _, err := read(); err == nil || !strings.Contains(err.Error(), u.Hostname()) {
			t.Errorf("%s: got error %v, want one that names the node", name, err)
		}
	}
	answer = "[]"
	for _, status = range []int{http.StatusNotFound, http.StatusFound} {
		if _, err := read(); err == nil {
			t.Errorf("status %d: got no error", status)
		}
	}
}
