package operator

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Of two runs that claim at once, both must agree who goes on.
func TestOfTwoRunsExactlyOneIsOlder(t *testing.T) {
	run := func(ns, name string, at time.Time) *v1alpha1.PolicyRolloutRun {
		return &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, CreationTimestamp: metav1.NewTime(at)}}
	}
	now := time.Now()
	for _, tt := range []struct {
		name string
		a, b *v1alpha1.PolicyRolloutRun
	}{
		{"by creation", run("b", "x", now.Add(-time.Second)), run("a", "x", now)},
		{"by namespace when created together", run("a", "x", now), run("b", "x", now)},
		{"by name in one namespace", run("a", "x", now), run("a", "y", now)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !older(tt.a, tt.b) || older(tt.b, tt.a) {
				t.Errorf("older(a,b)=%v older(b,a)=%v, want true and false", older(tt.a, tt.b), older(tt.b, tt.a))
			}
		})
	}
}
