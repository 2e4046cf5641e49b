package rollout

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

func TestAToolThatAppliesAPolicyIsSeen(t *testing.T) {
	for name, tt := range map[string]struct {
		meta metav1.ObjectMeta
		want string // empty: nobody
	}{
		"a person":                     {metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl-client-side-apply"}}}, ""},
		"a label that says Helm alone": {metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}, ""}, // charts that kubectl applies have it, too
		"a Helm release":               {metav1.ObjectMeta{Annotations: map[string]string{"meta.helm.sh/release-name": "x"}}, "Helm (annotation meta.helm.sh/release-name)"},
		"Argo CD":                      {metav1.ObjectMeta{Labels: map[string]string{"argocd.argoproj.io/instance": "x"}}, "Argo CD (label argocd.argoproj.io/instance)"},
		"Flux, by its field manager":   {metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kustomize-controller"}}}, "Flux (field manager kustomize-controller)"},
		"an operator":                  {metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Tenant", Name: "x", Controller: new(true)}}}, "the controller of Tenant x"},
		"Kyverno":                      {metav1.ObjectMeta{Labels: map[string]string{"generate.kyverno.io/rule-name": "x"}}, "a Kyverno generate rule"},
	} {
		got := WrittenOver(&networkingv1.NetworkPolicy{ObjectMeta: tt.meta}, &v1alpha1.PolicyRolloutSpec{})
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// What speaks for Tightrope, for kubectl or for a tool is no part of what a rollout writes.
func TestWhatACandidateMustNotHave(t *testing.T) {
	spec := &v1alpha1.PolicyRolloutSpec{}
	for name, tt := range map[string]struct {
		meta metav1.ObjectMeta
		want string // empty: nothing is wrong
	}{
		"labels of its author": {metav1.ObjectMeta{Labels: map[string]string{"team": "ai", "app.kubernetes.io/managed-by": "Helm"}, Annotations: map[string]string{"doc": "x"}}, ""},
		"our label":            {metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelRun: "r"}}, "policy a/p has label tightrope.dev/run in the rollout: Tightrope writes what is under tightrope.dev/ itself"},
		"our annotation":       {metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationCommittedBy: "r"}}, "annotation tightrope.dev/committed-by"},
		"what kubectl wrote":   {metav1.ObjectMeta{Annotations: map[string]string{lastApplied: "{}"}}, "kubectl apply writes that"},
		"the tracking of Argo": {metav1.ObjectMeta{Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "x"}}, "the mark of Argo CD (annotation argocd.argoproj.io/tracking-id)"},
		"an owner":             {metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Tenant"}}}, "ownerReferences"},
		"a finalizer":          {metav1.ObjectMeta{Finalizers: []string{"x"}}, "finalizers"},
		"what a server writes": {metav1.ObjectMeta{UID: "u", ResourceVersion: "1", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "helm"}}}, ""},
	} {
		tt.meta.Namespace, tt.meta.Name = "a", "p"
		got := strings.Join(Unkept(&networkingv1.NetworkPolicy{ObjectMeta: tt.meta}, spec), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	spec.Exceptions = []v1alpha1.Exception{{Type: v1alpha1.ExceptionSuspendedSync, Policy: "a/p", Reason: "argocd app set --sync-policy none"}}
	argo := metav1.ObjectMeta{Namespace: "a", Name: "p", Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "x"}}
	if got := Unkept(&networkingv1.NetworkPolicy{ObjectMeta: argo}, spec); len(got) > 0 {
		t.Errorf("a tool that is suspended: %q", got)
	}
}
