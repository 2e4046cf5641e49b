package operator

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

var server = types.NamespacedName{Namespace: "a", Name: "server"}

// apart gives each path a Service of its own, with nobody behind it.
func apart(w *world, path *plan.Path, i int) {
	key := types.NamespacedName{Namespace: "a", Name: fmt.Sprint("server-", i)}
	w.services[key] = w.services[server].DeepCopy()
	w.services[key].Name, path.To.Service.Name = key.Name, key.Name
}

// doubled puts a second pod behind the Service.
func doubled(w *world, _ *plan.Path, _ int) {
	other := w.pods[server].DeepCopy()
	other.Name, other.Status.PodIP, other.Status.PodIPs = "other", "10.0.0.8", []corev1.PodIP{{IP: "10.0.0.8"}}
	w.pods[types.NamespacedName{Namespace: "a", Name: "other"}] = other
	if endpoints := &w.slices[server][0].Endpoints; len(*endpoints) == 1 {
		second := discoveryv1.Endpoint{Addresses: []string{"10.0.0.8"}, TargetRef: &corev1.ObjectReference{Namespace: "a", Name: "other"}}
		*endpoints = append(*endpoints, second)
	}
}

// A suite may not make a storm of attempts, at everybody or at one pod, nor pods without end.
func TestAStormOfAttemptsIsRefused(t *testing.T) {
	byService, byAddress := []v1alpha1.Via{v1alpha1.ViaService}, []v1alpha1.Via{v1alpha1.ViaPodIP}
	dns := types.NamespacedName{Namespace: "kube-system", Name: "kube-dns"}
	for _, tt := range []struct {
		name       string
		identities int
		paths      int // of each identity
		interval   time.Duration
		via        []v1alpha1.Via
		edit       func(w *world, path *plan.Path, i int) // may be nil
		says       string                                 // empty: it may go on
	}{
		{"a hundred paths", 10, 10, 250 * time.Millisecond, nil, nil, ""},
		{"a hundred paths apart", 10, 10, 250 * time.Millisecond, nil, apart, ""},
		{"as often as can be", 1, 1, 10 * time.Millisecond, nil, nil, ""},
		{"too often at one pod", 2, 10, 10 * time.Millisecond, byAddress, nil, "probe pods would try pod a/server with 4000 attempts a second, and one run makes at most 2000: set spec.analysis.interval to 30ms"},
		{"too often through a Service", 2, 10, 10 * time.Millisecond, byService, nil, "probe pods would try pod a/server with 4000 attempts a second, and one run makes at most 2000: set spec.analysis.interval to 30ms"},
		{"too often both ways", 2, 10, 10 * time.Millisecond, nil, nil, "probe pods would try pod a/server with 8000 attempts a second"},
		{"too often at a Service of nobody known", 2, 10, 10 * time.Millisecond, byService, func(w *world, _ *plan.Path, _ int) {
			delete(w.slices, server)
		}, "probe pods would try Service a/server with 4000 attempts a second"},
		{"too often at each of two pods", 2, 10, 10 * time.Millisecond, byService, doubled, "probe pods would try pod a/other with 4000 attempts a second"},
		{"too often at a pod that slices of Services lead to", 2, 10, 10 * time.Millisecond, byService, func(w *world, path *plan.Path, i int) {
			apart(w, path, i)
			elsewhere := w.slices[dns][0].DeepCopy()
			elsewhere.Endpoints[0].TargetRef = nil
			w.slices[types.NamespacedName{Namespace: "a", Name: path.To.Service.Name}] = []*discoveryv1.EndpointSlice{elsewhere}
		}, "probe pods would try pod kube-system/kube-dns with 8100 attempts a second"},
		{"too many names looked up", 1, 30, 10 * time.Millisecond, byService, apart, "probe pods would try pod kube-system/kube-dns with 6100 attempts a second"},
		{"too many where name servers are not known", 1, 30, 10 * time.Millisecond, byService, func(w *world, path *plan.Path, i int) {
			apart(w, path, i)
			delete(w.services, dns)
		}, "probe pods would try the cluster's name servers with 6000 attempts a second"},
		{"by the address of a Service no name is looked up", 1, 30, 10 * time.Millisecond, byService, func(w *world, path *plan.Path, i int) {
			apart(w, path, i)
			path.Expect = v1alpha1.ExpectDeny
		}, ""},
		{"too many questions", 1, 30, 10 * time.Millisecond, byService, func(_ *world, path *plan.Path, _ int) {
			path.To.Service = v1alpha1.ServiceTarget{Namespace: dns.Namespace, Name: dns.Name, Port: dnsPort, Protocol: "UDP"}
			path.Probe.Type = v1alpha1.ProbeDNS
		}, "probe pods would try pod kube-system/kube-dns with 6100 attempts a second"},
		{"too often altogether", 100, 30, 250 * time.Millisecond, nil, nil, "all probe pods together would make 48010 attempts a second, and one run makes at most 20000: set spec.analysis.interval to 610ms"},
		{"as many paths of one identity as a suite has", 1, 2000, 10 * time.Second, nil, nil, ""},
		{"more checks than a probe pod tells of in time", 1, 600, 250 * time.Millisecond, nil, nil,
			"would have 1200 checks, and tells in time of at most 750 with spec.analysis.interval 250ms: set it to 710ms, let another identity"},
		{"more checks than a probe pod takes", 1, 2050, 10 * time.Second, nil, nil, "would have a plan of 4100 checks in "},
		{"too many pods", 501, 1, 10 * time.Second, nil, nil, "the suites need 1003 probe pods, and one run makes at most 1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := named()
			p := aPlan()
			p.Interval = tt.interval
			for i := range tt.identities {
				id := fmt.Sprintf("id-%d", i)
				p.Identities = append(p.Identities, v1alpha1.Identity{Name: id, Namespace: "a"})
				for j := range tt.paths {
					path := aPath(id, "a", "server", 8080, "TCP")
					path.From, path.Via = id, tt.via
					if tt.edit != nil {
						tt.edit(w, &path, i*tt.paths+j)
					}
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

// A platform as people have it is far from the bound of one pod at the usual interval, and
// within all bounds at a sixth of that.
func TestThePlatformIsFarFromAStorm(t *testing.T) {
	rec, err := loadRecording(filepath.Join("testdata", "recorded", "gw-forgot-dns-0-busy-1.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	p := newReplay(t.Context(), rec)
	defer p.session.close()
	_, rest := rec.split()
	for _, m := range rest {
		if m.Object != nil && !m.Object.Gone {
			p.change(m.Object)
		}
	}
	w, err := readWorld(t.Context(), p.stored)
	if err != nil {
		t.Fatal(err)
	}
	l, names := rec.Plan.newLoad(w), 0
	for _, a := range rec.Plan.agents(w, nil) {
		l.add(a, float64(time.Second)/float64(a.plan.Interval))
	}
	for where, n := range l.at {
		if n > maxAttemptsAtPod/10 || rec.Plan.Interval != 250*time.Millisecond {
			t.Errorf("%s gets %.0f attempts a second at %v", where, n, rec.Plan.Interval)
		}
		if strings.HasPrefix(where, "pod kube-system/coredns-") && n > 100 {
			names++
		}
	}
	if names != 2 {
		t.Errorf("%v, want the questions at two name servers", l.at)
	}
	rec.Plan.Interval = 40 * time.Millisecond
	no := &refusal{}
	if rec.Plan.limitLoad(w, no); len(no.reasons) > 0 {
		t.Error(no.reasons)
	}
}

// A probe pod tells of as many checks a second as is reckoned with, though the pods
// that they lead to have long names.
func TestALineTellsOfSoManyChecks(t *testing.T) {
	now := time.Now().UTC()
	line := probes.Line{Agent: strings.Repeat("a", 63) + "/" + strings.Repeat("b", 120), Boot: "0123abcd", Seq: 1 << 40, Digest: strings.Repeat("d", 71), From: now, To: now}
	for i := range toldASecond / 4 {
		line.Counts = append(line.Counts, probes.Count{ID: fmt.Sprintf("p%d/%s", 1900+i, strings.Repeat("c", 63)), Outcomes: map[probes.Outcome]int{probes.Reached: 4},
			Last: probes.Reached, Streak: 1 << 20, Since: now.Add(-time.Hour), Newest: now})
	}
	if raw, err := json.Marshal(line); err != nil || len(raw) > probes.MaxLine {
		t.Errorf("a line about %d checks has %d bytes, more than %d (%v)", len(line.Counts), len(raw), probes.MaxLine, err)
	}
}
