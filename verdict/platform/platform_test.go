package platform

import (
	"reflect"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

func TestAClusterHasTheSizeThatWasAskedFor(t *testing.T) {
	for _, s := range Sizes()[:4] {
		w, pods := New(s)
		if len(pods) != s.Pods || len(w.Policies) != s.Policies {
			t.Errorf("%+v: got %d pods, %d policies", s, len(pods), len(w.Policies))
		}
		keys := map[string]bool{}
		for _, p := range pods {
			keys[p.Key()] = true
			if _, ok := w.Namespaces[p.Namespace]; !ok {
				t.Errorf("%s is in a namespace that is not there", p.Key())
			}
		}
		if len(keys) != len(pods) {
			t.Errorf("%+v: two pods of one name: %d names for %d pods", s, len(keys), len(pods))
		}
		again, morePods := New(s)
		if !reflect.DeepEqual(w, again) || !reflect.DeepEqual(pods, morePods) {
			t.Errorf("%+v: the same size and seed made another cluster", s)
		}
	}
}

func TestPoliciesDecideSomethingEitherWay(t *testing.T) {
	w, pods := New(Size{Pods: 300, Policies: 120, DualStack: true})
	s := verdict.Compile(w, pods)
	seen := map[verdict.Decision]int{}
	for a := range s.Pods() {
		for b := range s.Pods() {
			if (a*31+b)%17 == 0 {
				seen[s.Decide(a, b, 8000, "")]++
			}
		}
	}
	if seen[verdict.Allow] < 50 || seen[verdict.Deny] < 100 {
		t.Errorf("a cluster in which hardly anything is decided: %v", seen)
	}
}
