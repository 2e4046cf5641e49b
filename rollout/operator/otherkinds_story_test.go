package operator

import (
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// serve makes the API server serve a kind with any content, and waits until it does.
func (s *story) serve(gvk schema.GroupVersionKind, plural string, scope apiextensionsv1.ResourceScope) {
	s.t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + gvk.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: gvk.Group, Scope: scope,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(gvk.Kind), Kind: gvk.Kind, ListKind: gvk.Kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: gvk.Version, Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{
				OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)},
			}}},
		},
	}
	if strings.HasSuffix(gvk.Group, ".k8s.io") { // such a group wants a link to its approval
		crd.Annotations = map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: "unapproved, for a test"}
	}
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.c.client.Create(s.ctx, &unstructured.Unstructured{Object: raw}); err != nil && !apierrors.IsAlreadyExists(err) {
		s.t.Fatalf("CRD %s: %v", crd.Name, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	for err := s.c.client.List(s.ctx, list); err != nil; err = s.c.client.List(s.ctx, list) {
		if s.ctx.Err() != nil {
			s.t.Fatalf("%s is not served: %v", gvk, err)
		}
	}
}

var (
	ciliumKind   = schema.GroupVersionKind{Group: "cilium.io", Version: "v2", Kind: "CiliumNetworkPolicy"}
	calicoKind   = schema.GroupVersionKind{Group: "crd.projectcalico.org", Version: "v1", Kind: "NetworkPolicy"}
	baselineKind = schema.GroupVersionKind{Group: "policy.networking.k8s.io", Version: "v1alpha1", Kind: "BaselineAdminNetworkPolicy"}
)

func (s *story) serveAll() {
	s.t.Helper()
	s.serve(ciliumKind, "ciliumnetworkpolicies", apiextensionsv1.NamespaceScoped)
	s.serve(calicoKind, "networkpolicies", apiextensionsv1.NamespaceScoped)
	s.serve(baselineKind, "baselineadminnetworkpolicies", apiextensionsv1.ClusterScoped)
}

// other makes a policy of another kind; an empty namespace is for the cluster.
func (s *story) other(gvk schema.GroupVersionKind, namespace string, spec fields) {
	s.t.Helper()
	o := &unstructured.Unstructured{Object: fields{"spec": spec}}
	o.SetGroupVersionKind(gvk)
	o.SetNamespace(namespace)
	o.SetName(s.ns)
	s.create(o)
}

var ciliumDeny = fields{"endpointSelector": fields{}, "ingress": []any{fields{}}}

func TestAPolicyOfAnotherKindIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(s *story)
		want string // NS stands for the namespace
	}{
		{"Cilium's", func(s *story) { s.other(ciliumKind, s.ns, ciliumDeny) },
			"CiliumNetworkPolicy NS/NS of cilium.io may select pods that a bridge opens: namespace NS, Ingress (today client, other, server-0 and 1 more)"},
		{"Calico's", func(s *story) { s.other(calicoKind, s.ns, fields{"types": []any{"Egress"}}) },
			"NetworkPolicy NS/NS of crd.projectcalico.org may select pods that a bridge opens: namespace NS, Egress"},
		{"a baseline", func(s *story) {
			s.other(baselineKind, "", fields{"subject": fields{"namespaces": fields{"matchLabels": fields{labelNamespace: s.ns}}}, "ingress": []any{fields{"action": "Deny"}}})
		}, "BaselineAdminNetworkPolicy NS of policy.networking.k8s.io may select pods that a bridge opens: namespace NS, Ingress"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.serveAll()
			tt.make(s)
			s.begin(s.rollout(s.good()))
			s.wantRefused(strings.ReplaceAll(tt.want, "NS", s.ns))
		})
	}
}

// wantRefused waits for the end of a run that is refused in these words, and leaves nothing.
func (s *story) wantRefused(want string) {
	s.t.Helper()
	if st := s.end(); st.Phase != v1alpha1.PhaseRefused || !strings.Contains(st.Message, want) {
		s.t.Errorf("ended %s: %q\nwant Refused: %q", st.Phase, st.Message, want)
	}
	s.wantPolicies(false)
	s.wantNothingLeft()
}

func TestAPolicyOfAnotherKindElsewhereIsNoConcern(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.serveAll()
	s.other(ciliumKind, metav1.NamespaceDefault, ciliumDeny)
	s.begin(s.rollout(s.good()))
	s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
}

// Before anything is live, the run plans again, and is refused by name.
func TestAPolicyOfAnotherKindThatAppearsBeforeAnythingIsLiveIsRefused(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.serveAll()
	ro := s.rollout(s.good())
	ro.Spec.Stages[0].MinDuration = metav1.Duration{Duration: time.Hour}
	s.begin(ro)
	s.reach("observe")
	s.other(ciliumKind, s.ns, ciliumDeny)
	s.wantRefused(s.openedByCilium())
	if touched := s.c.plane.touchedBy(s.run()); len(touched) > 0 {
		t.Errorf("production pods were selected by candidates: %v", touched)
	}
}

// While a step soaks nothing is listed: what ends it is the watch. The pods of the policy
// are opened by nothing of the run again.
func TestAPolicyOfAnotherKindThatAppearsInASoakTakesTheRunBack(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.serveAll()
	ro := s.rollout(s.good())
	ro.Spec.Stages[3].MinDuration = metav1.Duration{Duration: time.Hour}
	s.begin(ro)
	s.reach("all")
	for i := range 2 { // the last writes of the step
		await(s, &networkingv1.NetworkPolicyList{}, "an inert bridge", func(np *networkingv1.NetworkPolicy) bool {
			return np.Name == plan.ObjectName(s.run(), roleBridge, i) && inert(np)
		})
	}
	h := s.record()
	s.other(ciliumKind, s.ns, fields{"endpointSelector": fields{"matchLabels": fields{"k8s:app": "server"}}, "ingress": []any{fields{}}})
	st := s.end()
	s.wantEnd(st, v1alpha1.PhaseRolledBack, "Foreign", "RolledBack")
	h.worlds()
	h.wantLeftAlone(map[string]string{"app": "server"}, networkingv1.PolicyTypeIngress)
	if want := s.openedByCilium(); !strings.Contains(st.Message, want) || !strings.Contains(st.Message, "so the plan no longer holds") {
		t.Errorf("message %q, want it to name the policy: %q", st.Message, want)
	}
}

// wantLeftAlone checks, of a history that is over and began with every bridge inert, that
// no bridge ever selected such pods, and that candidates which had let go of them never
// took them up again.
func (h *history) wantLeftAlone(pods map[string]string, d networkingv1.PolicyType) {
	h.s.t.Helper()
	let := map[string]bool{} // a candidate go of the pods
	for _, e := range h.events {
		np, ok := e.object.(*networkingv1.NetworkPolicy)
		if !ok || e.event == watch.Deleted || !slices.Contains(np.Spec.PolicyTypes, d) {
			continue
		}
		switch np.Labels[v1alpha1.LabelRole] {
		case roleBridge:
			if selects(&np.Spec.PodSelector, pods) {
				h.s.t.Errorf("at revision %d bridge %s opens pods that somebody isolated: %v", e.at, np.Name, np.Spec.PodSelector)
			}
		case roleCandidate:
			is := selects(&np.Spec.PodSelector, pods)
			if is && let[np.Name] {
				h.s.t.Errorf("at revision %d candidate %s selects pods again that it had let go of", e.at, np.Name)
			}
			let[np.Name] = let[np.Name] || !is
		}
	}
	if len(let) == 0 {
		h.s.t.Error("the history has no candidate")
	}
}

func (s *story) openedByCilium() string {
	return "CiliumNetworkPolicy " + s.ns + "/" + s.ns + " of cilium.io may select pods that a bridge opens: namespace " + s.ns + ", Ingress"
}
