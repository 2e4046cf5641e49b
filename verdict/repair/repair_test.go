package repair

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
)

var (
	gateway = &verdict.Pod{Namespace: "ai", Name: "gateway-1", Labels: map[string]string{"app": "gateway", "pod-template-hash": "x"}}
	model   = &verdict.Pod{Namespace: "ai", Name: "model-1", Labels: map[string]string{"team": "ml", "pod-template-hash": "x"}}
	dns     = &verdict.Pod{Namespace: "kube-system", Name: "coredns-1", Labels: map[string]string{"k8s-app": "kube-dns"}}
)

// world is the named policies, each given as the YAML of its spec.
func world(t *testing.T, specs ...string) verdict.World {
	t.Helper()
	w := verdict.World{Namespaces: map[string]map[string]string{"ai": nil, "kube-system": nil}}
	for i := 0; i < len(specs); i += 2 {
		p := verdict.Policy{Namespace: "ai", Name: specs[i]}
		if err := yaml.UnmarshalStrict([]byte(specs[i+1]), &p.Spec); err != nil {
			t.Fatal(err)
		}
		w.Policies = append(w.Policies, p)
	}
	return w
}

func conn(from, to *verdict.Pod, port int32, protocol corev1.Protocol) verdict.Conn {
	return verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: port, Protocol: protocol}
}

// candidates are the only policies that may be changed.
func candidates(names ...string) func(string) bool {
	return func(policy string) bool { return slices.Contains(names, strings.TrimPrefix(policy, "ai/")) }
}

const (
	closed    = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
	ofGateway = "{podSelector: {matchLabels: {app: gateway}}, policyTypes: [Egress], egress: [{ports: [{port: 8000}]}]}"
	ofModel   = "{podSelector: {matchLabels: {team: ml}}, policyTypes: [Ingress]}"
)

func TestTheMissingRuleGoesWhereItBelongs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		world   verdict.World
		conn    verdict.Conn
		options Options
		want    string
	}{
		{"into the policy that is about the workload",
			world(t, "closed", closed, "gateway", ofGateway), conn(gateway, dns, 53, "UDP"), Options{},
			`to spec.egress of ai/gateway:
- to:
  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
    podSelector: {matchLabels: {k8s-app: kube-dns}}
  ports:
  - {port: 53, protocol: UDP}`},
		{"at both ends, where both deny",
			world(t, "gateway", ofGateway, "model", ofModel), conn(gateway, model, 9000, ""), Options{},
			`to spec.egress of ai/gateway:
- to:
  - podSelector: {matchLabels: {team: ml}}
  ports:
  - {port: 9000, protocol: TCP}
to spec.ingress of ai/model:
- from:
  - podSelector: {matchLabels: {app: gateway}}
  ports:
  - {port: 9000, protocol: TCP}`},
		{"into a policy of its own beside a default deny",
			world(t, "closed", closed, "gateway-53-udp-egress", ofModel), conn(gateway, dns, 53, "UDP"), Options{},
			`a new policy ai/gateway-53-udp-egress-2:
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway-53-udp-egress-2, namespace: ai}
spec:
  egress:
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
    ports:
    - {port: 53, protocol: UDP}
  podSelector: {matchLabels: {app: gateway}}
  policyTypes: [Egress]`},
		{"never into somebody else's policy",
			world(t, "gateway", ofGateway), conn(gateway, dns, 53, "UDP"), Options{Own: candidates(), Inline: true},
			`a new policy ai/gateway-53-udp-egress:
- name: gateway-53-udp-egress
  namespace: ai
  spec:
    egress:
    - to:
      - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
        podSelector: {matchLabels: {k8s-app: kube-dns}}
      ports:
      - {port: 53, protocol: UDP}
    podSelector: {matchLabels: {app: gateway}}
    policyTypes: [Egress]`},
		{"into one's own policy, though another's comes nearer",
			world(t, "a-foreign", strings.ReplaceAll(ofGateway, "8000", "53, protocol: UDP}], to: [{podSelector: {}"), "mine", ofGateway),
			conn(gateway, dns, 53, "UDP"), Options{Own: candidates("mine")},
			"to spec.egress of ai/mine:\n"},
		{"nowhere, when nothing is denied",
			world(t), conn(gateway, dns, 53, "UDP"), Options{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Of(tt.world, tt.conn, tt.options)
			if got := r.String(); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if v := verdict.Compile(r.World, nil).Judge(tt.conn); v.Decision != verdict.Allow {
				t.Errorf("with what is suggested: %s", v.Reason)
			}
			if r.Why != "" {
				t.Errorf("why not: %s", r.Why)
			}
		})
	}
}

// Two repairs made one after the other fit together: the second starts from the
// world of the first.
func TestRepairsFitTogether(t *testing.T) {
	w := world(t, "closed", closed)
	first := Of(w, conn(gateway, dns, 53, "UDP"), Options{})
	second := Of(first.World, conn(gateway, dns, 53, "TCP"), Options{})
	if got := second.Additions[0]; got.New || got.Policy != first.Additions[0].Policy {
		t.Errorf("the second goes %s, not into the policy of the first", got.Where())
	}
	if len(w.Policies) != 1 || len(w.Policies[0].Spec.Egress) != 0 {
		t.Error("the given world was changed")
	}
}

// A policy of the administrators outranks every NetworkPolicy.
func TestWhatNoNetworkPolicyCanChangeIsSaid(t *testing.T) {
	w := world(t)
	w.ClusterPolicies = []verdict.ClusterPolicy{{Name: "quarantine", Spec: v1alpha2.ClusterNetworkPolicySpec{
		Tier: v1alpha2.AdminTier, Subject: v1alpha2.ClusterNetworkPolicySubject{Namespaces: &metav1.LabelSelector{}},
		Egress: []v1alpha2.ClusterNetworkPolicyEgressRule{{Action: v1alpha2.ClusterNetworkPolicyRuleActionDeny, To: []v1alpha2.ClusterNetworkPolicyEgressPeer{{Namespaces: &metav1.LabelSelector{}}}}},
	}}}
	r := Of(w, conn(gateway, dns, 53, "UDP"), Options{})
	if len(r.Additions) > 0 || !strings.Contains(r.String(), "Only the policy") || !strings.Contains(r.Why, "quarantine") {
		t.Errorf("got %q", r)
	}
}
