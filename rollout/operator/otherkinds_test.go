package operator

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// shopBridge opens the pods of namespace shop (team=buy) that are labelled app=web.
func shopBridge(d networkingv1.PolicyType) plan.Bridge {
	return plan.Bridge{Bridge: rollout.Bridge{Namespace: "shop", Direction: d, Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
}

func shopWorld() *world {
	w := &world{
		verdict: verdict.World{Namespaces: map[string]map[string]string{"shop": {"team": "buy"}, "bank": {"team": "pay"}}},
		pods:    map[types.NamespacedName]*corev1.Pod{},
	}
	for _, name := range []string{"web-1", "web-2", "web-3", "web-4", "web-5", "db-1"} {
		app, _, _ := strings.Cut(name, "-")
		w.pods[types.NamespacedName{Namespace: "shop", Name: name}] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": app}}}
	}
	return w
}

// otherOf reads a policy from YAML.
func otherOf(t *testing.T, text string) otherPolicy {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	gvr, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
	return readPolicy(otherKind{gvr, o.GetKind(), o.GetNamespace() != ""}, o)
}

func object(apiVersion, kind, metadata, rest string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: " + metadata + "\n" + rest
}

const in, out = "Ingress", "Egress"

// meeting is a policy and the directions of the two bridges that it meets.
type meeting struct{ name, policy, want string }

func (m meeting) check(t *testing.T) {
	p, got := otherOf(t, m.policy), ""
	for _, d := range []networkingv1.PolicyType{in, out} {
		if len(openedByBridges([]otherPolicy{p}, []plan.Bridge{shopBridge(d)}, shopWorld())) > 0 {
			got += string(d)
		}
	}
	if got != m.want {
		t.Errorf("meets the bridges of %q, want %q", got, m.want)
	}
}

func TestAPolicyOfCiliumMayBeOpened(t *testing.T) {
	cilium := func(rest string) string {
		return object("cilium.io/v2", "CiliumNetworkPolicy", "{namespace: shop, name: x}", rest)
	}
	wide := func(rest string) string {
		return object("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "{name: x}", rest)
	}
	for _, m := range []meeting{
		{"Cilium's default deny", cilium(`spec: {endpointSelector: {}, ingress: [{}], egress: [{}]}`), in + out},
		{"in another namespace", object("cilium.io/v2", "CiliumNetworkPolicy", "{namespace: bank, name: x}", `spec: {endpointSelector: {}, ingress: [{}]}`), ""},
		{"one direction", cilium(`spec: {endpointSelector: {}, egress: [{}]}`), out},
		{"an empty section", cilium(`spec: {endpointSelector: {}, ingress: []}`), in},
		{"a deny section", cilium(`spec: {endpointSelector: {}, egressDeny: [{toEntities: [world]}]}`), out},
		{"default deny without a section", cilium(`spec: {endpointSelector: {}, ingress: [{}], enableDefaultDeny: {egress: true}}`), in + out},
		{"default deny turned off", cilium(`spec: {endpointSelector: {}, egress: [{}], enableDefaultDeny: {egress: false}}`), out},
		{"the bridge's label", cilium(`spec: {endpointSelector: {matchLabels: {"k8s:app": web}}, ingress: [{}]}`), in},
		{"another value of it", cilium(`spec: {endpointSelector: {matchLabels: {"k8s:app": db}}, ingress: [{}]}`), ""},
		{"another value, from any source", cilium(`spec: {endpointSelector: {matchLabels: {app: db}}, ingress: [{}]}`), ""},
		{"another value, as an expression", cilium(`spec: {endpointSelector: {matchExpressions: [{key: any:app, operator: In, values: [db, api]}]}, ingress: [{}]}`), ""},
		{"a label that Cilium may leave out", cilium(`spec: {endpointSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}, ingress: [{}]}`), in},
		{"a label of another source", cilium(`spec: {endpointSelector: {matchLabels: {"container:app": db}}, ingress: [{}]}`), in},
		{"one of several rules", cilium(`specs: [{endpointSelector: {matchLabels: {app: db}}, egress: [{}]}, {endpointSelector: {}, ingress: [{}]}]`), in},
		{"neither spec nor specs", cilium(``), in + out},
		{"the whole cluster", wide(`spec: {endpointSelector: {}, ingress: [{}]}`), in},
		{"the bridge's namespace by name", wide(`spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": shop}}, ingress: [{}]}`), in},
		{"another namespace by name", wide(`spec: {endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: bank}}, ingress: [{}]}`), ""},
		{"all but the bridge's namespace", wide(`spec: {endpointSelector: {matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [shop]}]}, ingress: [{}]}`), ""},
		{"all but another namespace", wide(`spec: {endpointSelector: {matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [bank]}]}, ingress: [{}]}`), in},
		{"the namespace's label", wide(`spec: {endpointSelector: {matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": buy}}, ingress: [{}]}`), in},
		{"another namespace's label", wide(`spec: {endpointSelector: {matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": pay}}, ingress: [{}]}`), ""},
		{"nodes", wide(`spec: {nodeSelector: {}, ingress: [{}]}`), ""},
	} {
		t.Run(m.name, m.check)
	}
}

func TestAPolicyOfAnotherKindMayBeOpened(t *testing.T) {
	baseline := func(rest string) string {
		return object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "{name: x}", rest)
	}
	antrea := func(rest string) string {
		return object("crd.antrea.io/v1beta1", "ClusterNetworkPolicy", "{name: x}", rest)
	}
	for _, m := range []meeting{
		{"Calico's, in the namespace", object("crd.projectcalico.org/v1", "NetworkPolicy", "{namespace: shop, name: x}", `spec: {selector: "app == 'db'"}`), in + out},
		{"Calico's, of one type", object("crd.projectcalico.org/v1", "NetworkPolicy", "{namespace: shop, name: x}", `spec: {types: [Egress]}`), out},
		{"Calico's, in another namespace", object("crd.projectcalico.org/v1", "NetworkPolicy", "{namespace: bank, name: x}", `spec: {}`), ""},
		{"Calico's, of the cluster", object("projectcalico.org/v3", "GlobalNetworkPolicy", "{name: security.x}", `spec: {tier: security, types: [Ingress]}`), in},
		{"what Calico lists of NetworkPolicies", object("projectcalico.org/v3", "NetworkPolicy", "{namespace: shop, name: knp.default.x}", `spec: {}`), ""},
		{"what Calico lists of a baseline", object("projectcalico.org/v3", "GlobalNetworkPolicy", "{name: kbanp.baselineadminnetworkpolicy.default}", `spec: {}`), ""},

		{"a baseline tier", baseline(`spec: {tier: Baseline, subject: {namespaces: {}}, ingress: [{action: Deny}]}`), in},
		{"a baseline without rules", baseline(`spec: {tier: Baseline, subject: {namespaces: {}}}`), ""},
		{"a baseline of the namespace's label", baseline(`spec: {subject: {namespaces: {matchLabels: {team: buy}}}, egress: [{action: Deny}]}`), out},
		{"a baseline of another label", baseline(`spec: {subject: {namespaces: {matchLabels: {team: pay}}}, egress: [{action: Deny}]}`), ""},
		{"a baseline of another name", baseline(`spec: {subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: bank}}}, egress: [{action: Deny}]}`), ""},
		{"a baseline of the name", baseline(`spec: {subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}, egress: [{action: Deny}]}`), out},
		{"a baseline of other pods", baseline(`spec: {subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}, egress: [{action: Deny}]}`), ""},
		{"a baseline of the pods", baseline(`spec: {subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}, egress: [{action: Deny}]}`), out},
		{"a subject that nobody knows", baseline(`spec: {subject: {machines: {}}, egress: [{action: Deny}]}`), out},
		{"a subject that is half known", baseline(`spec: {subject: {namespaces: {matchLabels: {team: pay}}, machines: {}}, egress: [{action: Deny}]}`), out},
		{"a selector that is none", baseline(`spec: {subject: {namespaces: [shop]}, egress: [{action: Deny}]}`), out},

		{"Antrea's, of other pods", antrea(`spec: {appliedTo: [{podSelector: {matchLabels: {app: db}}}], ingress: [{}]}`), ""},
		{"Antrea's, of the pods", antrea(`spec: {appliedTo: [{podSelector: {matchLabels: {app: db}}}, {namespaceSelector: {matchLabels: {team: buy}}}], ingress: [{}]}`), in},
		{"Antrea's, of a group", antrea(`spec: {appliedTo: [{group: payments}], egress: [{}]}`), out},
		{"Antrea's, of a group and other pods", antrea(`spec: {appliedTo: [{group: payments, podSelector: {matchLabels: {app: db}}}], egress: [{}]}`), out},
		{"Antrea's, by rule", antrea(`spec: {egress: [{appliedTo: [{podSelector: {matchLabels: {app: db}}}]}]}`), out},

		{"GKE's names of other pods", object("networking.gke.io/v1alpha3", "FQDNNetworkPolicy", "{namespace: shop, name: x}", `spec: {podSelector: {matchLabels: {app: db}}, egress: [{}]}`), ""},
		{"GKE's names", object("networking.gke.io/v1alpha3", "FQDNNetworkPolicy", "{namespace: shop, name: x}", `spec: {podSelector: {}, egress: [{}]}`), out},
		{"EKS' application policy", object("networking.k8s.aws/v1alpha1", "ApplicationNetworkPolicy", "{namespace: shop, name: x}", `spec: {podSelector: {}, policyTypes: [Egress]}`), out},
		{"OVN's firewall", object("k8s.ovn.org/v1", "EgressFirewall", "{namespace: shop, name: default}", `spec: {egress: [{type: Deny}]}`), out},
		{"OpenShift's, in another namespace", object("network.openshift.io/v1", "EgressNetworkPolicy", "{namespace: bank, name: x}", `spec: {}`), ""},
		{"a kind that nobody knows", object("example.org/v1", "GoldNetworkPolicy", "{name: x}", `spec: {}`), in + out},
		{"one of a namespace", object("example.org/v1", "GoldNetworkPolicy", "{namespace: bank, name: x}", `spec: {}`), ""},
	} {
		t.Run(m.name, m.check)
	}
}

func TestARefusalNamesPolicyPodsAndDirections(t *testing.T) {
	p := otherOf(t, object("cilium.io/v2", "CiliumNetworkPolicy", "{namespace: shop, name: x}", `spec: {endpointSelector: {}, ingress: [{}], egress: [{}]}`))
	bridges := []plan.Bridge{shopBridge("Ingress"), shopBridge("Egress")}
	want := "CiliumNetworkPolicy shop/x of cilium.io may select pods that a bridge opens: namespace shop, Egress and Ingress (today web-1, web-2, web-3 and 2 more)"
	if got := openedByBridges([]otherPolicy{p}, bridges, shopWorld()); len(got) != 1 || got[0] != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	none := &world{}
	if got := openedByBridges([]otherPolicy{p}, bridges, none); len(got) != 1 || !strings.Contains(got[0], "(no pod of today)") {
		t.Errorf("got %q, want a policy that selects no pod of today: one may be created", got)
	}
	many := slices.Repeat([]otherPolicy{p}, 8)
	if got := openedByBridges(many, bridges, shopWorld()); len(got) != 6 || got[5] != "so may 3 more" {
		t.Errorf("got %q, want five policies and the number of the others", got)
	}
	if got := openedByBridges(many, nil, shopWorld()); len(got) != 0 {
		t.Errorf("got %q without a bridge, want nothing: nothing is opened", got)
	}
}

func TestANamespaceOfUnknownLabelsMayBeSelected(t *testing.T) {
	p := otherOf(t, object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "{name: x}", `spec: {subject: {namespaces: {matchLabels: {team: pay}}}, ingress: [{}]}`))
	if got := openedByBridges([]otherPolicy{p}, []plan.Bridge{shopBridge("Ingress")}, &world{}); len(got) != 1 {
		t.Errorf("got %q, want the policy: the namespace's labels are not known", got)
	}
}

// TestTheControllerMayListEveryKnownKind holds the manifest to the kinds that are read.
func TestTheControllerMayListEveryKnownKind(t *testing.T) {
	objects, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	for _, o := range objects {
		if o.GetKind() == "ClusterRole" && o.GetName() == "tightrope-controller" {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
				t.Fatal(err)
			}
		}
	}
	for known := range readers {
		gvr, _ := meta.UnsafeGuessKindToResource(known.WithVersion("v1"))
		if !slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, known.Group) && slices.Contains(r.Resources, gvr.Resource) &&
				slices.Equal(r.Verbs, []string{"get", "list", "watch"})
		}) {
			t.Errorf("ClusterRole %s has no rule to get, list and watch %s", role.Name, gvr.GroupResource())
		}
	}
}
