package verdict

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// What is deleted leaves nothing behind: an engine that runs for months holds
// what there is, not what there was.
func TestWhatIsDeletedLeavesNothingBehind(t *testing.T) {
	e := New(World{}, nil)
	r := rand.New(rand.NewPCG(1, 1))
	grown := 0
	for range 30 {
		for range 60 {
			e.SetPolicy(randomPolicy(r, fmt.Sprint("p", r.IntN(8))))
			p := Pod{Namespace: []string{"ai", "data", "mon"}[r.IntN(3)], Name: fmt.Sprint("x", r.IntN(9)), Labels: map[string]string{"app": []string{"gateway", "model", "store"}[r.IntN(3)]}}
			p.IPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, byte(r.IntN(16))})}
			e.SetPod(p)
			e.SetNamespace(p.Namespace, map[string]string{"tier": []string{"ai", "data"}[r.IntN(2)]})
		}
		grown = max(grown, len(e.compiler.recipes.byKey), len(e.compiler.sets.byKey))
		w := e.Snapshot().World()
		for _, p := range w.Policies {
			e.DeletePolicy(p.Key())
		}
		for _, p := range e.Snapshot().Pods() {
			e.DeletePod(p.Key())
		}
		for ns := range w.Namespaces {
			e.DeleteNamespace(ns)
		}
	}
	if grown < 10 {
		t.Errorf("there never was much to leave behind: %d", grown)
	}
	c := e.compiler
	for what, n := range map[string]int{
		"classes": len(c.members.byKey), "labels": len(c.postings), "namespaces": len(c.homes), "profiles but one": len(c.profiles.byKey) - 1,
		"recipes but three": len(c.recipes.byKey) - 3, "sets": len(c.sets.byKey), "scopes": len(c.scopes.byKey),
		"blocks": len(c.blocks.byKey), "prefixes": len(c.atoms.byPrefix),
	} {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
	for _, all := range [][2]int{{len(c.recipes.all), 300}, {len(c.sets.all), 100}, {len(c.members.all), 40}, {int(c.atoms.last), 10}} {
		if all[0] > all[1] {
			t.Errorf("numbers are not given out again: %d, want at most %d", all[0], all[1])
		}
	}
	for range e.Snapshot().spaces.all {
		t.Error("a namespace is left in the snapshot")
	}
}

func TestBits(t *testing.T) {
	var b bits
	b.put(3, true)
	c := b.with(200, true)
	if b.has(200) || !c.has(200) || !c.has(3) || c.with(3, false).has(3) || !c.has(3) || c.has(100000) {
		t.Errorf("got %v, %v", b, c)
	}
	if u := union([]bits{nil, b, c, {1}}); !u.has(0) || !u.has(3) || !u.has(200) || u.has(4) {
		t.Errorf("union: got %v", u)
	}
}
