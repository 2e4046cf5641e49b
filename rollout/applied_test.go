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
