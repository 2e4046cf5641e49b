package manifest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

func setOf(t *testing.T, text string, o Options) *Set {
	t.Helper()
	set, err := ReadStream("all.yaml", strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A pod somewhere in a range is judged as all pods in the range would be, and not
// at all where these differ: held against every address of it.
func TestAPodSomewhereInARangeIsJudgedLikeEveryAddressOfIt(t *testing.T) {
	const text = `apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x, labels: {app: a}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: x, labels: {app: b}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: x}
spec:
  podSelector: {matchLabels: {app: a}}
  policyTypes: [Egress]
  egress: [{to: [{ipBlock: {cidr: %s}}]}]
`
	counts := map[verdict.Decision]int{}
	for _, cidr := range []string{
		"10.9.0.0/24", "10.9.0.0/27", "10.9.0.16/30", "10.9.0.0/24, except: [10.9.0.0/27]", "10.9.0.0/24, except: [10.9.0.4/30]",
		"0.0.0.0/0, except: [10.0.0.0/8]", "10.9.0.31/32", "10.8.0.0/16", "10.9.1.0/24", "fd00::/8", "0.0.0.0/0, except: [10.9.0.31/32]",
	} {
		within := netip.MustParsePrefix("10.9.0.0/27")
		set := setOf(t, fmt.Sprintf(text, cidr), Options{PodCIDRs: []netip.Prefix{within}})
		s := verdict.Compile(set.World, set.Pods)
		a, _ := s.Find("x/a")
		b, _ := s.Find("x/b")
		want, first := verdict.Unknown, true
		for ip := within.Addr(); within.Contains(ip); ip = ip.Next() {
			pod := set.Pods[1]
			pod.StandIns, pod.IPs = nil, []netip.Addr{ip}
			v := s.Judge(verdict.Conn{From: verdict.End{Pod: &set.Pods[0]}, To: verdict.End{Pod: &pod}, Port: 80}).Decision
			if !first && v != want {
				want = verdict.Unknown
				break
			}
			want, first = v, false
		}
		counts[want]++
		judged := s.Judge(verdict.Conn{From: verdict.End{Pod: &set.Pods[0]}, To: verdict.End{Pod: &set.Pods[1]}, Port: 80})
		if judged.Decision != want || s.Decide(a, b, 80, "") != want {
			t.Errorf("ipBlock %s: %s and %s, want %s: %s", cidr, judged.Decision, s.Decide(a, b, 80, ""), want, judged.Reason)
		}
	}
	if len(counts) != 3 {
		t.Errorf("not every verdict occurs: %v", counts)
	}
}

// Without a range nothing changes, and a pod that has an address, or its node's,
// keeps it.
func TestOnlyAPodWithoutAddressIsSomewhere(t *testing.T) {
	const text = `apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.1.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: x}
spec: {hostNetwork: true, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: x}
spec: {containers: [{name: c, image: i}]}
`
	stated := Options{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd00::/64")}}
	for i, pod := range setOf(t, text, stated).Pods {
		if want := []int{0, 0, 2}[i]; len(pod.StandIns) != want {
			t.Errorf("%s: %v", pod.Key(), pod.StandIns)
		}
	}
	if pod := setOf(t, text, Options{}).Pods[2]; pod.StandIns != nil {
		t.Errorf("nothing was stated, and it is at %v", pod.StandIns)
	}
}

// Labels that are stated are those of the namespace, beside what the input has.
func TestStatedLabelsOfNamespacesCount(t *testing.T) {
	const text = `apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {env: prod, team: x}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: b}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: policy, namespace: a}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ml}}}]}]}
`
	set := setOf(t, text, Options{NamespaceLabels: map[string]map[string]string{"a": {"team": "ml"}, "b": {"team": "ml"}}})
	if got := fmt.Sprint(set.World.Namespaces); got != "map[a:map[env:prod team:ml] b:map[team:ml]]" {
		t.Errorf("got %s", got)
	}
	if len(set.Undeclared) > 0 {
		t.Errorf("undeclared: %v", set.Undeclared)
	}
	if _, known := setOf(t, text, Options{}).World.Namespaces["b"]; known {
		t.Error("without it the labels of b are not known")
	}
}
