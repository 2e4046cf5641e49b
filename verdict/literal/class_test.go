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
			if got, want := Judge(back, c), Judge(w, c); got != want {
				t.Fatalf("seed %d: the world that the snapshot gives back says %+v, want %+v", seed, got, want)
			}
			for i := range pods {
				from, to := c, c
				from.From.Pod, to.To.Pod = &pods[i], &pods[i]
				if sameClass(s, c.From.Pod, &pods[i]) {
					alike += judgedAlike(t, seed, w, c, from)
				}
				if sameClass(s, c.To.Pod, &pods[i]) {
					alike += judgedAlike(t, seed, w, c, to)
				}
			}
		}
	}
	if alike < 500 {
		t.Errorf("only %d pairs of one class were compared", alike)
	}
}

// judgedAlike returns how many pairs it compared: none where a pod meets itself.
func judgedAlike(t *testing.T, seed uint64, w verdict.World, a, b verdict.Conn) int {
	t.Helper()
	if toItself(run{Conn: a}) || toItself(run{Conn: b}) {
		return 0
	}
	if x, y := Judge(w, a), Judge(w, b); x.Decision != y.Decision {
		t.Errorf("seed %d: ends are of one class, but %s to %s %d/%s is judged %s (%s), and %s to %s %s (%s)",
			seed, a.From, a.To, a.Port, a.Protocol, x.Decision, x.Reason, b.From, b.To, y.Decision, y.Reason)
	}
	return 1
}

// sameClass is about two pods that are not one; the first may be one that the
// snapshot does not hold.
func sameClass(s *verdict.Snapshot, a, b *verdict.Pod) bool {
	x, ok := s.Find(a.Key())
	y, also := s.Find(b.Key())
	return ok && also && x != y && s.Class(x) == s.Class(y)
}
