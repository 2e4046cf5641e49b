package operator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// A suite may not make a storm of attempts, at everybody or at one pod, nor pods without end.
func TestAStormOfAttemptsIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name       string
		identities int
		paths      int // of each identity
		interval   time.Duration
		says       string // empty: it may go on
	}{
		{"a hundred paths", 10, 10, 250 * time.Millisecond, ""},
		{"as often as can be", 1, 1, 10 * time.Millisecond, ""},
		{"too often at one pod", 2, 10, 10 * time.Millisecond, "probe pods would try pod a/server with 4000 attempts a second, and one run makes at most 2000: set spec.analysis.interval to 30ms"},
		{"too often altogether", 100, 30, 250 * time.Millisecond, "all probe pods together would make 48010 attempts a second, and one run makes at most 20000: set spec.analysis.interval to 610ms"},
		{"too many pods", 501, 1, 10 * time.Second, "the suites need 1003 probe pods, and one run makes at most 1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := named()
			p := aPlan()
			p.Interval = tt.interval
			for i := range tt.identities {
				id := fmt.Sprintf("id-%d", i)
				p.Identities = append(p.Identities, v1alpha1.Identity{Name: id, Namespace: "a"})
				for range tt.paths {
					path := aPath(id, "a", "server", 8080, "TCP")
					path.From = id
					p.Paths = append(p.Paths, path)
				}
			}
			no := &refusal{}
			p.limitLoad(w, no)
			if got := strings.Join(no.reasons, "\n"); !strings.Contains(got, tt.says) || (tt.says == "") != (got == "") {
				t.Errorf("it says %q, want %q", got, tt.says)
			}
		})
	}
}
