package operator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

var readVerbs = metav1.Verbs{"get", "list", "watch"}

func TestWhichKindsArePolicies(t *testing.T) {
	served := func(groupVersion string, kinds ...string) *metav1.APIResourceList {
		l := &metav1.APIResourceList{GroupVersion: groupVersion}
		for _, kind := range kinds {
			l.APIResources = append(l.APIResources, metav1.APIResource{Name: strings.ToLower(kind), Kind: kind, Verbs: readVerbs})
		}
		return l
	}
	status := served("cilium.io/v2", "CiliumNetworkPolicy")
	status.APIResources[0].Name += "/status"
	unlisted := served("blind.example/v1", "BlindNetworkPolicy")
	unlisted.APIResources[0].Verbs = metav1.Verbs{"create"}
	lists := []*metav1.APIResourceList{
		served("v1", "Pod"), served("networking.k8s.io/v1", "NetworkPolicy", "Ingress"), served("policy/v1", "PodDisruptionBudget"),
		served("cilium.io/v2", "CiliumNetworkPolicy", "CiliumEndpoint", "CiliumClusterwideNetworkPolicy"), status,
		served("projectcalico.org/v3", "NetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "Tier"),
		served("controlplane.antrea.io/v1beta2", "NetworkPolicy"),
		served("networking.k8s.aws/v1alpha1", "PolicyEndpoint", "ClusterPolicyEndpoint"),
		served("k8s.ovn.org/v1", "EgressFirewall", "EgressIP"), served("gold.example/v1", "GoldNetworkPolicy"), unlisted,
	}
	broken := map[schema.GroupVersion]error{
		{Group: "metrics.k8s.io", Version: "v1beta1"}:            errors.New("down"),
		{Group: "policy.networking.k8s.io", Version: "v1alpha1"}: errors.New("down"),
		{Group: "crd.antrea.io", Version: "v1beta1"}:             errors.New("down"),
		{Group: "network.example", Version: "v1"}:                errors.New("down"),
	}
	got, ignored := policyKinds(lists, broken)
	var kinds []string
	for _, k := range got.kinds {
		kinds = append(kinds, k.kind+"."+k.Group)
	}
	slices.Sort(kinds)
	want := []string{"CiliumClusterwideNetworkPolicy.cilium.io", "CiliumNetworkPolicy.cilium.io", "EgressFirewall.k8s.ovn.org", "GoldNetworkPolicy.gold.example", "NetworkPolicy.projectcalico.org"}
	if !slices.Equal(kinds, want) {
		t.Errorf("kinds %q, want %q", kinds, want)
	}
	for i, start := range []string{
		"API group crd.antrea.io/v1beta1 cannot be discovered (down)", "API group network.example/v1 ", "API group policy.networking.k8s.io/v1alpha1 ",
		"the cluster serves BlindNetworkPolicy of blind.example without a way to list them",
	} {
		if i >= len(got.unknown) || !strings.HasPrefix(got.unknown[i], start) {
			t.Errorf("unknown %q, want [%d] to start with %q", got.unknown, i, start)
		}
	}
	if !slices.Equal(ignored, []string{"metrics.k8s.io/v1beta1"}) {
		t.Errorf("ignored %q, want the metrics", ignored)
	}
}

// fakeDiscovery serves CiliumNetworkPolicies, and counts how often it is asked.
type fakeDiscovery struct {
	asked int
	err   error
}

func (d *fakeDiscovery) ServerPreferredResourcesWithContext(context.Context) ([]*metav1.APIResourceList, error) {
	d.asked++
	return []*metav1.APIResourceList{{GroupVersion: "cilium.io/v2", APIResources: []metav1.APIResource{
		{Name: "ciliumnetworkpolicies", Kind: "CiliumNetworkPolicy", Namespaced: true, Verbs: readVerbs},
	}}}, d.err
}

func fakeKinds(d *fakeDiscovery, objects ...runtime.Object) (*OtherKinds, *fake.FakeDynamicClient) {
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		{Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies"}: "CiliumNetworkPolicyList",
	}, objects...)
	return &OtherKinds{discovery: d, objects: client}, client
}

func ciliumIn(namespace string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: fields{"spec": fields{"endpointSelector": fields{}, "ingress": []any{fields{}}}}}
	o.SetAPIVersion("cilium.io/v2")
	o.SetKind("CiliumNetworkPolicy")
	o.SetNamespace(namespace)
	o.SetName("x")
	return o
}

func TestOneListPerKindAndOneDiscovery(t *testing.T) {
	d := &fakeDiscovery{}
	k, client := fakeKinds(d, ciliumIn("shop"), ciliumIn("bank"))
	for _, tt := range []struct {
		namespaces []string
		want       int
	}{{[]string{"shop"}, 1}, {[]string{"bank", "shop"}, 2}} {
		got, err := k.list(t.Context(), tt.namespaces)
		if err != nil || len(got.found) != tt.want || got.doubt() != nil {
			t.Errorf("list for %q: %d policies, doubt %v, error %v; want %d without doubt", tt.namespaces, len(got.found), got.doubt(), err, tt.want)
		}
	}
	if n := len(client.Actions()); n != 2 || d.asked != 1 {
		t.Errorf("%d lists and %d discoveries, want 2 and 1", n, d.asked)
	}
}

func TestAListThatFails(t *testing.T) {
	gr := schema.GroupResource{Group: "cilium.io", Resource: "ciliumnetworkpolicies"}
	for _, tt := range []struct {
		name    string
		list    error
		unknown string
		asked   int // discoveries of two attempts
	}{
		{"forbidden", apierrors.NewForbidden(gr, "", errors.New("no rule")), "add the rule {apiGroups: [cilium.io], resources: [ciliumnetworkpolicies], verbs: [get, list, watch]} to ClusterRole", 1},
		{"served no longer", apierrors.NewNotFound(gr, ""), "", 2},
		{"an API server in trouble", apierrors.NewInternalError(errors.New("etcd")), "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &fakeDiscovery{}
			k, client := fakeKinds(d)
			client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, tt.list })
			for range 2 {
				got, err := k.list(t.Context(), []string{"shop"})
				switch {
				case tt.unknown == "" && err == nil:
					t.Error("no error, want one to try again after")
				case tt.unknown != "" && (err != nil || got.doubt() == nil || !strings.Contains(got.doubt().Error(), tt.unknown)):
					t.Errorf("doubt %v, error %v; want doubt with %q", got.doubt(), err, tt.unknown)
				}
			}
			if d.asked != tt.asked {
				t.Errorf("%d discoveries, want %d", d.asked, tt.asked)
			}
		})
	}
}

func TestADiscoveryThatFails(t *testing.T) {
	partly := &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: calicoServed, Version: "v3"}: errors.New("no endpoints")}}
	k, _ := fakeKinds(&fakeDiscovery{err: partly}, ciliumIn("shop"))
	got, err := k.list(t.Context(), []string{"shop"})
	if err != nil || len(got.found) != 1 || got.doubt() == nil || !strings.Contains(got.doubt().Error(), "API group projectcalico.org/v3 cannot be discovered (no endpoints)") {
		t.Errorf("found %d, doubt %v, error %v; want what is served, and doubt about Calico", len(got.found), got.doubt(), err)
	}
	k, _ = fakeKinds(&fakeDiscovery{err: errors.New("connection refused")})
	if _, err := k.list(t.Context(), []string{"shop"}); err == nil {
		t.Error("no error without discovery, want one to try again after")
	}
}

func TestTheRuleForCalicosServerNamesTiers(t *testing.T) {
	k := otherKind{schema.GroupVersionResource{Group: calicoServed, Version: "v3", Resource: "networkpolicies"}, "NetworkPolicy", true}
	if got := k.forbidden(); !strings.Contains(got, "resources: [networkpolicies, tiers, tier.networkpolicies]") {
		t.Errorf("%s\nwant the rights on tiers too", got)
	}
}
