package profile

import (
	"maps"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// story drives a lens: at a second, with these policies at the API, these are in force.
type story struct {
	t       *testing.T
	lens    *Lens
	start   time.Time
	second  float64
	api     map[string]*networkingv1.NetworkPolicy
	inForce map[types.NamespacedName]*networkingv1.NetworkPolicy
	wrong   []string
}

func tell(t *testing.T, profile string) *story {
	t.Helper()
	s := &story{t: t, lens: NewLens("node-1"), start: time.Unix(1000, 0),
		api: map[string]*networkingv1.NetworkPolicy{}, inForce: map[types.NamespacedName]*networkingv1.NetworkPolicy{}}
	s.is(profile)
	return s
}

func (s *story) now() time.Time {
	return s.start.Add(time.Duration(s.second * float64(time.Second)))
}

func (s *story) is(profile string) {
	s.t.Helper()
	node, err := Parse(profile, Profile{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.lens.Tune(s.now(), node)
}

func policy(name, version string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: name, ResourceVersion: version}}
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "ai", Name: name}
}

func annotated(p *networkingv1.NetworkPolicy, text string) *networkingv1.NetworkPolicy {
	p.Annotations = map[string]string{Annotation: text}
	return p
}

// hear tells the lens what differs from what the API had.
func (s *story) hear(have []*networkingv1.NetworkPolicy) {
	gone := maps.Clone(s.api)
	for _, p := range have {
		delete(gone, p.Name)
		if was := s.api[p.Name]; was != nil && was.ResourceVersion == p.ResourceVersion {
			continue
		}
		s.api[p.Name] = p
		if err := s.lens.Hear(s.now(), named(p.Name), p); err != nil {
			s.wrong = append(s.wrong, p.Name+": "+err.Error())
		}
	}
	for name := range gone {
		delete(s.api, name)
		s.lens.Hear(s.now(), named(name), nil)
	}
}

// at wants versions in force, as name@version, and the second of the next change; -1 means never.
func (s *story) at(second float64, next float64, have []*networkingv1.NetworkPolicy, want ...string) {
	s.t.Helper()
	s.second = second
	s.hear(have)
	changed, due := s.lens.Settle(s.now())
	maps.Copy(s.inForce, changed)
	var names []string
	for name, p := range s.inForce {
		if p != nil {
			names = append(names, name.Name+"@"+p.ResourceVersion)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		s.t.Errorf("at %v s %v is in force, want %v", second, names, want)
	}
	switch {
	case next < 0 && !due.IsZero():
		s.t.Errorf("at %v s: the next change is due at %v s, want none", second, due.Sub(s.start))
	case next >= 0 && due.Sub(s.start) != time.Duration(next*float64(time.Second)):
		s.t.Errorf("at %v s: the next change is due at %v, want %v s", second, due.Sub(s.start), next)
	}
}

type policies = []*networkingv1.NetworkPolicy

func TestWithoutFaultsTheLensIsClear(t *testing.T) {
	s := tell(t, "enforce")
	s.at(0, -1, policies{policy("a", "1")}, "a@1")
	s.at(1, -1, policies{policy("a", "2"), policy("b", "3")}, "a@2", "b@3")
	s.at(2, -1, policies{policy("b", "3")}, "b@3")
}

func TestADelayHoldsBackEveryKindOfNews(t *testing.T) {
	s := tell(t, "delay=2s")
	s.at(0, 2, policies{policy("a", "1")})
	s.at(2, -1, policies{policy("a", "1")}, "a@1")
	s.at(3, 5, policies{policy("a", "2")}, "a@1")
	s.at(4, 5, policies{}, "a@1")
	s.at(5, 6, policies{}, "a@2")
	s.at(6, -1, policies{})
}

func TestTheEndOfADelayReleasesWhatWaits(t *testing.T) {
	s := tell(t, "delay=1h")
	s.at(0, 3600, policies{policy("a", "1")})
	s.is("enforce")
	s.at(1, -1, policies{policy("a", "1")}, "a@1")
}

func TestAStaleUpdateLeavesTheOldRulesUntilTheResync(t *testing.T) {
	s := tell(t, "updates=stale,resync=10s")
	s.at(0, -1, policies{policy("a", "1")}, "a@1")
	s.at(1, 11, policies{policy("a", "2")}, "a@1")
	s.at(11, -1, policies{policy("a", "2")}, "a@2")
	s.at(12, -1, policies{})
}

func TestALostUpdateTakesTheRulesAwayUntilTheResync(t *testing.T) {
	s := tell(t, "updates=lost,resync=10s")
	s.at(0, -1, policies{policy("a", "1")}, "a@1")
	s.at(1, 11, policies{policy("a", "2")})
	s.at(11, -1, policies{policy("a", "2")}, "a@2")
}

func TestWithoutResyncOnlyTheEndOfTheProfileRepairs(t *testing.T) {
	for _, profile := range []string{"updates=stale", "updates=lost"} {
		s := tell(t, profile)
		want := []string{"a@1"}
		if profile == "updates=lost" {
			want = nil
		}
		s.at(0, -1, policies{policy("a", "1")}, "a@1")
		s.at(1, -1, policies{policy("a", "2")}, want...)
		s.at(2, -1, policies{policy("a", "3")}, want...)
		s.is("enforce")
		s.at(3, -1, policies{policy("a", "3")}, "a@3")
	}
}

func TestAPolicysOwnAnnotationIsItsOwn(t *testing.T) {
	s := tell(t, "enforce")
	ignored, late := annotated(policy("ignored", "1"), "ignore"), annotated(policy("late", "1"), "delay=3s")
	bad := annotated(policy("bad", "1"), "deny=reject")
	s.at(0, 3, policies{policy("a", "1"), ignored, late, bad}, "a@1", "bad@1")
	s.at(3, -1, policies{policy("a", "1"), policy("ignored", "2"), late, bad}, "a@1", "bad@1", "ignored@2", "late@1")
	if len(s.wrong) == 0 || s.wrong[0][:4] != "bad:" {
		t.Errorf("complaints: %v", s.wrong)
	}
}

func TestIgnoringIsTurnedOnAndOff(t *testing.T) {
	s := tell(t, "ignore")
	s.at(0, -1, policies{policy("a", "1")})
	s.is("enforce")
	s.at(1, -1, policies{policy("a", "1")}, "a@1")
	s.is("ignore")
	s.at(2, -1, policies{policy("a", "1")})
	s.at(3, -1, policies{policy("a", "2")})
	s.is("enforce,delay=1h")
	s.at(4, -1, policies{policy("a", "2")}, "a@2")
}

func TestTheSameSeedGivesTheSameDelays(t *testing.T) {
	delays := func(seed string) (all []time.Duration) {
		node, err := Parse("delay=0s..10s,seed="+seed, Profile{})
		if err != nil {
			t.Fatal(err)
		}
		lens, now := NewLens("node-1"), time.Unix(1000, 0)
		lens.Tune(now, node)
		for i := range 5 {
			lens.Hear(now, named(string(rune('a'+i))), policy("a", "1"))
			_, next := lens.Settle(now)
			all = append(all, next.Sub(now))
			now = now.Add(time.Minute)
			lens.Settle(now)
		}
		return all
	}
	if a, b := delays("1"), delays("1"); !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
	if a, b := delays("1"), delays("2"); slices.Equal(a, b) {
		t.Errorf("two seeds give the same delays: %v", a)
	}
}
