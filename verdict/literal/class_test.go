package literal

import (
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/literal/random"
)

// Pods that a snapshot puts in one class are judged alike by the specification
// too, as sources and as targets; and a world that a snapshot gives back is the
// one that it was compiled from.
func TestPodsOfAClassAreJudgedAlike(t *testing.T) {
	alike := 0
	for seed := range uint64(400) {
		d := random.Seed(seed)
		w, pods := d.World()
		s := verdict.Compile(w, pods)
		back := s.World()
		for range 30 {
			c := d.Conn()
			if c.From.Pod == nil || c.To.Pod == nil || c.FromNode || c.From.IP.IsValid() || c.To.IP.IsValid() {
				continue
			}
			want := Judge(w, c)
			if got := Judge(back, c); got != want {
				t.Fatalf("seed %d: the world that the snapshot gives back says %+v, want %+v", seed, got, want)
			}
			for i := range pods {
				as := c
				if as.From.Pod = &pods[i]; toItself(run{Conn: c}) || toItself(run{Conn: as}) || !sameClass(s, c.From.Pod, &pods[i]) {
					continue
				}
				alike++
				if got := Judge(w, as); got.Decision != want.Decision {
					t.Fatalf("seed %d: %s and %s are of one class, but to %s %d/%s one is judged %s and the other %s",
						seed, c.From.Pod.Key(), pods[i].Key(), c.To.Pod.Key(), c.Port, c.Protocol, want.Decision, got.Decision)
				}
			}
			for i := range pods {
				as := c
				if as.To.Pod = &pods[i]; toItself(run{Conn: c}) || toItself(run{Conn: as}) || !sameClass(s, c.To.Pod, &pods[i]) {
					continue
				}
				alike++
				if got := Judge(w, as); got.Decision != want.Decision {
					t.Fatalf("seed %d: %s and %s are of one class, but from %s %d/%s one is judged %s and the other %s",
						seed, c.To.Pod.Key(), pods[i].Key(), c.From.Pod.Key(), c.Port, c.Protocol, want.Decision, got.Decision)
				}
			}
		}
	}
	if alike < 500 {
		t.Errorf("only %d pairs of one class were compared", alike)
	}
}

// sameClass is about two pods that are not one; the first may be one that the
// snapshot does not hold.
func sameClass(s *verdict.Snapshot, a, b *verdict.Pod) bool {
	x, ok := s.Find(a.Key())
	y, also := s.Find(b.Key())
	return ok && also && x != y && s.Class(x) == s.Class(y)
}
