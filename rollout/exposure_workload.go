package rollout

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// perReplica are label keys that controllers give each pod or each revision a
// value of its own for. They do not tell workloads apart unless a policy asks.
var perReplica = map[string]bool{
	"pod-template-hash": true, "controller-revision-hash": true, "pod-template-generation": true,
	"statefulset.kubernetes.io/pod-name": true, "apps.kubernetes.io/pod-index": true,
	"controller-uid": true, "batch.kubernetes.io/controller-uid": true,
	"job-name": true, "batch.kubernetes.io/job-name": true, "batch.kubernetes.io/job-completion-index": true,
}

// workload is a set of pods that policies cannot tell apart, in the order given.
type workload struct{ pods []*verdict.Pod }

// edge picks the pods that speak for an edge to another workload. Within one
// workload they are two different pods; it has no such edge if it has one pod.
func (a workload) edge(b workload) (from, to *verdict.Pod, ok bool) {
	if a.pods[0] != b.pods[0] {
		return a.pods[0], b.pods[0], true
	}
	if len(a.pods) < 2 {
		return nil, nil, false
	}
	return a.pods[0], a.pods[1], true
}

// workloads groups the pods, in order of their first pods.
func workloads(pods []verdict.Pod, policies []verdict.Policy) []workload {
	names := mentioned(policies)
	var all []workload
	index := map[string]int{}
	for i := range pods {
		key := names.signature(&pods[i])
		at, ok := index[key]
		if !ok {
			at = len(all)
			index[key] = at
			all = append(all, workload{})
		}
		all[at].pods = append(all[at].pods, &pods[i])
	}
	return all
}

// vocabulary is what policies can tell pods apart by, besides namespace and ports.
type vocabulary struct {
	keys     map[string]bool
	prefixes []netip.Prefix // of ipBlocks, and of their excepts
}

func mentioned(policies []verdict.Policy) vocabulary {
	v := vocabulary{keys: map[string]bool{}}
	for _, p := range policies {
		v.addSelector(&p.Spec.PodSelector)
		for _, r := range p.Spec.Ingress {
			v.addPeers(r.From)
		}
		for _, r := range p.Spec.Egress {
			v.addPeers(r.To)
		}
	}
	return v
}

func (v *vocabulary) addSelector(sel *metav1.LabelSelector) {
	if sel == nil {
		return
	}
	for key := range sel.MatchLabels {
		v.keys[key] = true
	}
	for _, r := range sel.MatchExpressions {
		v.keys[r.Key] = true
	}
}

func (v *vocabulary) addPeers(peers []networkingv1.NetworkPolicyPeer) {
	for _, p := range peers {
		v.addSelector(p.PodSelector)
		if p.IPBlock == nil {
			continue
		}
		for _, cidr := range append([]string{p.IPBlock.CIDR}, p.IPBlock.Except...) {
			// One that does not parse makes verdicts Unknown for all pods alike.
			if prefix, err := netip.ParsePrefix(cidr); err == nil && !slices.Contains(v.prefixes, prefix) {
				v.prefixes = append(v.prefixes, prefix)
			}
		}
	}
}

// signature is equal for two pods exactly if they are of one workload.
func (v vocabulary) signature(p *verdict.Pod) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q host=%t", p.Namespace, p.HostNetwork)
	if p.HostNetwork {
		fmt.Fprintf(&b, " node=%q", p.Node)
	}
	var labels []string
	for key, value := range p.Labels {
		if v.keys[key] || !perReplica[key] && !strings.HasPrefix(key, labelPrefix) {
			labels = append(labels, fmt.Sprintf("%q=%q", key, value))
		}
	}
	slices.Sort(labels)
	fmt.Fprint(&b, labels)
	for _, port := range p.Ports {
		fmt.Fprintf(&b, " %q:%d/%q", port.Name, port.Number, port.Protocol)
	}
	for _, ip := range p.IPs {
		fmt.Fprintf(&b, " v4=%t:", ip.Unmap().Is4())
		for _, prefix := range v.prefixes {
			fmt.Fprintf(&b, "%t,", prefix.Contains(ip.Unmap()))
		}
	}
	return b.String()
}
