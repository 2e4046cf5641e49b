package verdict_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/platform"
)

// BenchmarkCompile makes the first snapshot of a world. Bytes are what stays:
// of the engine as compiled, and with every row of TCP port 8000 made.
func BenchmarkCompile(b *testing.B) {
	for _, size := range platform.Sizes() {
		b.Run(name(size), func(b *testing.B) {
			w, pods := platform.New(size)
			before := heap()
			e := verdict.New(w, pods)
			compiled := heap()
			e.Snapshot().On(8000, "TCP")
			warm := heap()
			runtime.KeepAlive(e)
			for b.Loop() {
				verdict.New(w, pods)
			}
			b.ReportMetric(float64(compiled-before), "compiled-bytes")
			b.ReportMetric(float64(warm-before), "warm-bytes")
			runtime.KeepAlive(pods)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// change is one kind of change, made in turn with the others.
type change struct {
	kind string
	make func(e *verdict.Engine, i int)
}

// mix is what changes in a live cluster, and what is rare but costly.
func mix(w verdict.World, pods []verdict.Pod) []change {
	pod := func(i int) verdict.Pod { return pods[i*7919%len(pods)] }
	policy := func(i int) verdict.Policy {
		p := w.Policies[i*7919%len(w.Policies)]
		p.Spec = *p.Spec.DeepCopy()
		return p
	}
	return []change{
		{"pod-replaced", func(e *verdict.Engine, i int) { // another name and address, the same labels
			p := pod(i)
			e.DeletePod(p.Key())
			p.IPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})}
			e.SetPod(p)
		}},
		{"pod-of-new-template", func(e *verdict.Engine, i int) { // labels that no pod had before
			p := pod(i)
			p.Labels = with(p.Labels, "pod-template-hash", fmt.Sprint("new-", i))
			e.SetPod(p)
		}},
		{"pod-with-new-label-key", func(e *verdict.Engine, i int) {
			p := pod(i)
			p.Labels = with(p.Labels, fmt.Sprint("key-", i), "x")
			e.SetPod(p)
		}},
		{"policy-again", func(e *verdict.Engine, i int) { e.SetPolicy(policy(i)) }},
		{"policy-new-label-key", func(e *verdict.Engine, i int) {
			p := policy(i)
			p.Spec.PodSelector = metav1.LabelSelector{}
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: &metav1.LabelSelector{}, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{fmt.Sprint("key-", i): "x"}}}}})
			e.SetPolicy(p)
		}},
		{"policy-new-block", func(e *verdict.Engine, i int) {
			p := policy(i)
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{
				IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.%d.0.0/16", i%256), Except: []string{fmt.Sprintf("10.%d.%d.0/24", i%256, i/256%256)}}}}})
			e.SetPolicy(p)
		}},
		{"default-deny-deleted", func(e *verdict.Engine, i int) {
			p := w.Policies[i%min(len(w.Policies), 100)] // those come first
			e.DeletePolicy(p.Key())
		}},
		{"default-deny-set", func(e *verdict.Engine, i int) { e.SetPolicy(w.Policies[i%min(len(w.Policies), 100)]) }},
		{"namespace-relabelled", func(e *verdict.Engine, i int) {
			ns := pod(i).Namespace
			e.SetNamespace(ns, with(w.Namespaces[ns], "env", []string{"prod", "staging", "test"}[i%3]))
		}},
	}
}

func with(labels map[string]string, key, value string) map[string]string {
	all := map[string]string{key: value}
	for k, v := range labels {
		if k != key {
			all[k] = v
		}
	}
	return all
}

// BenchmarkChange makes changes of all kinds in turn, each followed by verdicts
// that make rows anew, and reports how long each kind takes until readers see it.
func BenchmarkChange(b *testing.B) {
	for _, size := range platform.Sizes()[2:] {
		b.Run(name(size), func(b *testing.B) {
			w, pods := platform.New(size)
			e := verdict.New(w, pods)
			e.Snapshot().On(8000, "TCP")
			all := mix(w, pods)
			took := make([][]time.Duration, len(all))
			for i := 0; b.Loop(); i++ {
				k := i % len(all)
				start := time.Now()
				all[k].make(e, i)
				took[k] = append(took[k], time.Since(start))
				e.Snapshot().On(8000, "TCP")
			}
			for k, t := range took {
				if slices.Sort(t); len(t) > 0 {
					b.ReportMetric(float64(t[len(t)/2].Microseconds()), all[k].kind+"-p50-µs")
					b.ReportMetric(float64(t[len(t)*99/100].Microseconds()), all[k].kind+"-p99-µs")
				}
			}
		})
	}
}
