package operator

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// A suite or a ConfigMap that somebody changed after the rollout was admitted is refused,
// and so is one that was never pinned where there are tenants. The refusal says both
// digests and how to print the right ones, and nothing of what a ConfigMap holds.
func TestWhatWasChangedSinceIsRefused(t *testing.T) {
	const was = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "ai", Name: name} }
	suite := &v1alpha1.ConnectivitySuite{ObjectMeta: meta("s"), Spec: v1alpha1.ConnectivitySuiteSpec{Identities: []v1alpha1.Identity{{Name: "a", Namespace: "a"}}}}
	cm := &corev1.ConfigMap{ObjectMeta: meta("p"), Data: map[string]string{"p.yaml": "password: hunter2\n"}}
	right := []string{v1alpha1.SuiteSource(suite).Digest, v1alpha1.ConfigMapSource(cm).Digest}
	for _, tt := range []struct {
		name    string
		single  bool
		digests []string // of the suite and of the ConfigMap
		suites  int      // that are gone on with
		says    []string // nil: of digests nothing is said
		reads   bool     // the ConfigMap is
	}{
		{"as they were", false, right, 1, nil, true},
		{"another suite", false, []string{was, right[1]}, 0, []string{"ConnectivitySuite ai/s is another than rollout ai/r was made for", was, right[0]}, true},
		{"another ConfigMap", true, []string{right[0], was}, 1, []string{"ConfigMap ai/p is another than rollout ai/r was made for", was, right[1]}, false},
		{"no digest", false, []string{"", ""}, 0, []string{"does not say with which digest it names ConnectivitySuite ai/s", "does not say with which digest it names ConfigMap ai/p"}, false},
		{"no digest, and no tenants", true, []string{"", ""}, 1, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ro := aRollout("r", "u")
			ro.Namespace = "ai"
			ro.Spec.Suites = []v1alpha1.SuiteRef{{Name: "s", Digest: tt.digests[0]}}
			ro.Spec.Policies = v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "p", Digest: tt.digests[1]}}
			r, p, no := &RunReconciler{Live: fakeAPI(interceptor.Funcs{}, suite, cm), SingleTenant: tt.single}, &Plan{}, &refusal{}
			suites, err := r.readSuites(t.Context(), ro, p, no)
			if err != nil || len(suites) != tt.suites {
				t.Errorf("goes on with %d suites, want %d: %v", len(suites), tt.suites, err)
			}
			if _, err := r.readCandidates(t.Context(), ro, p, no); err != nil {
				t.Fatal(err)
			}
			got := no.Error()
			for _, says := range append(tt.says, map[bool][]string{true: {"\ntightrope rollout digest r -n ai"}}[tt.says != nil]...) {
				if strings.Count(got, says) != 1 {
					t.Errorf("it says %q, want %q once", got, says)
				}
			}
			if tt.says == nil && strings.Contains(got, "digest") {
				t.Errorf("it says %q", got)
			}
			if reads := strings.Contains(got, "key p.yaml"); reads != tt.reads {
				t.Errorf("the ConfigMap is read: %v, want %v: %q", reads, tt.reads, got)
			}
		})
	}
}
