package operator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// tenantsMayNot is what preflight refuses an account that has rights in its own namespace only.
var tenantsMayNot = []struct {
	name   string
	change func(ro *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, other string)
	says   []string // OTHER is the namespace of others
}{
	{"a policy elsewhere", func(ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite, other string) {
		ro.Spec.Policies.Inline[0].Namespace = other
	}, []string{"may not do everything that this rollout needs in namespace OTHER", "# in namespace OTHER, service account", "may not create/update configmaps, create/get/update networkpolicies.networking.k8s.io", "kubectl -n OTHER create rolebinding", "--clusterrole=tightrope-target"}},
	{"a policy in kube-system", func(ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite, _ string) {
		ro.Spec.Policies.Inline[0].Namespace = "kube-system"
	}, []string{"in namespace kube-system, which is protected"}},
	{"a probe pod elsewhere", func(_ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, other string) {
		suite.Spec.Identities[1].Namespace = other
	}, []string{"create/delete/get/patch pods", "get pods/log", "needs in namespace OTHER"}},
	{"a probe pod in kube-system, as its DNS", func(_ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, _ string) {
		suite.Spec.Identities[1].Namespace, suite.Spec.Identities[1].Labels = "kube-system", map[string]string{"k8s-app": "kube-dns"}
	}, []string{`identity "other" lives in namespace kube-system, which is protected`}},
	{"our labels", func(_ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, _ string) {
		suite.Spec.Identities[1].Labels[v1alpha1.LabelRun] = "theirs"
	}, []string{`identity "other" has label tightrope.dev/run`}},
	{"an identity called like ours", func(_ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, _ string) {
		suite.Spec.Identities[1].Name, suite.Spec.Paths[1].From = controlIdentity, controlIdentity
	}, []string{`identity "tightrope-control" is called like one of Tightrope's own pods`}},
	{"a target that is not theirs", func(_ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, other string) {
		suite.Spec.Paths[1].To = targetOf(other, "vault")
	}, []string{"# in namespace OTHER, ", "may not get networkpolicies.networking.k8s.io, get pods, get services", "--clusterrole=tightrope-reach"}},
	{"a target that is not there either", func(_ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, other string) {
		suite.Spec.Paths[1].To = targetOf(other, "none")
	}, []string{"# in namespace OTHER, ", "may not get networkpolicies.networking.k8s.io, get pods, get services"}},
	{"a suite that was changed since", func(ro *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, _ string) {
		pin(ro, suite)
		suite.Spec.Paths = suite.Spec.Paths[:1]
	}, []string{"is another than rollout", "states digest sha256:", "tightrope rollout digest"}},
	{"a ConfigMap that was changed since", func(ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite, _ string) {
		ro.Spec.Policies = v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "policies", Digest: "sha256:" + strings.Repeat("0", 64)}}
	}, []string{"ConfigMap ", "/policies is another than rollout", "tightrope rollout digest"}},
	{"a storm of attempts", func(ro *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, _ string) {
		ro.Spec.Analysis.Interval.Duration = 10 * time.Millisecond
		for i := range 20 {
			path := suite.Spec.Paths[0]
			path.Name = fmt.Sprint("again ", i)
			suite.Spec.Paths = append(suite.Spec.Paths, path)
		}
	}, []string{"attempts a second, and one run makes at most 2000: set spec.analysis.interval to"}},
	{"another's account", func(ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite, _ string) {
		ro.Spec.ServiceAccountName = "default"
	}, []string{"the controller may not act as service account", "tightrope upgrade --tenant"}},
}

func targetOf(ns, name string) v1alpha1.Target {
	return v1alpha1.Target{Service: v1alpha1.ServiceTarget{Namespace: ns, Name: name, Port: 80}}
}

// What the account may not do preflight refuses, with what is missing. It tells nothing
// of what there is in a namespace of others.
func TestPreflightRefusesWhatTheAccountMayNot(t *testing.T) {
	for _, tt := range tenantsMayNot {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := aTenant(t, 36)
			other := s.elsewhere()
			ro, suite := s.theirs(), s.suite()
			s.create(&corev1.ConfigMap{ObjectMeta: s.meta("policies"), Data: map[string]string{"p.yaml": "password: vault"}})
			ro.Spec.Suites[0].Digest = ""
			if tt.change(ro, suite, other); ro.Spec.Suites[0].Digest == "" {
				pin(ro, suite)
			}
			s.beginWith(ro, suite)
			st := s.end()
			if st.Phase != v1alpha1.PhaseRefused {
				t.Fatalf("ended %s: %s; want it refused", st.Phase, st.Message)
			}
			for _, says := range tt.says {
				if says = strings.ReplaceAll(says, "OTHER", other); !strings.Contains(st.Message, says) {
					t.Errorf("it says %q, want %q", st.Message, says)
				}
			}
			for _, tells := range []string{"vault", "does not exist", "no ready pod"} {
				if strings.Contains(st.Message, tells) {
					t.Errorf("it tells of another tenant's namespace: %q", st.Message)
				}
			}
			s.wantNothingLeft()
		})
	}
}
