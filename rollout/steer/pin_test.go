package steer

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

const named = "spec:\n  serviceAccountName: team\n"

// digestsOfFiles are those of the suite and the ConfigMap.
func digestsOfFiles(t *testing.T) (suite, cm string) {
	t.Helper()
	in, err := input(t, "ai", false, aSuite, aMap, aRollout)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := in.Pins()
	if err != nil || len(pins) != 1 || pins[0].Rollout != "ai/r" || len(pins[0].Suites) != 1 || pins[0].ConfigMap == nil {
		t.Fatalf("%+v, %v", pins, err)
	}
	return pins[0].Suites[0].Digest, pins[0].ConfigMap.Digest
}

// A rollout that is made with the rights of an account is applied with the digests of what
// was applied with it. What somebody else has left in the cluster is not taken in unseen:
// the author states its digest, or has applied the rollout with it before.
func TestARolloutIsAppliedWithTheDigestsOfItsSources(t *testing.T) {
	const other = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "ai", Name: name} }
	stored := v1alpha1.ConfigMapSource(&corev1.ConfigMap{ObjectMeta: meta("policies"), Data: map[string]string{"p.yaml": "stored"}})
	suite, cm := digestsOfFiles(t)
	with := func(digest string) string {
		return strings.NewReplacer("spec:\n", named, "{name: s}", "{name: s, digest: "+digest+"}").Replace(aRollout)
	}
	has := func(digest string) *v1alpha1.ConfigMapRef {
		return &v1alpha1.ConfigMapRef{Name: "policies", Digest: digest}
	}
	lent := strings.Replace(aRollout, "spec:\n", named, 1)
	unseen := []string{"ConfigMap policies is in none of the files", stored.Digest, "tightrope rollout digest"}
	for _, tt := range []struct {
		name      string
		documents []string
		before    *v1alpha1.ConfigMapRef // of the stored rollout; nil: it has none
		account   string                 // of the stored rollout
		want      []string               // digests of the suite and of the ConfigMap
		says      []string               // of the refusal; nil: it is applied
	}{
		{"with an account", []string{aSuite, aMap, lent}, nil, "", []string{suite, cm}, nil},
		{"with a ConfigMap of the cluster", []string{aSuite, lent}, nil, "", nil, unseen},
		{"with one that it has had", []string{aSuite, lent}, has(stored.Digest), "team", []string{suite, stored.Digest}, nil},
		{"with one that was changed since", []string{aSuite, lent}, has(other), "team", nil, unseen},
		{"with one that it has had unpinned", []string{aSuite, lent}, has(""), "team", nil, unseen},
		{"with one that it has had for another account", []string{aSuite, lent}, has(stored.Digest), "theirs", nil, unseen},
		{"with another that has that digest", []string{aSuite, lent}, &v1alpha1.ConfigMapRef{Name: "others", Digest: stored.Digest}, "team", nil, unseen},
		{"with one that it states", []string{aSuite, strings.Replace(lent, "{name: policies}", "{name: policies, digest: "+stored.Digest+"}", 1)}, nil, "", []string{suite, stored.Digest}, nil},
		{"with a changed file", []string{aSuite, aMap, lent}, has(stored.Digest), "team", []string{suite, cm}, nil},
		{"with an account and the right digest", []string{aSuite, aMap, with(suite)}, nil, "", []string{suite, cm}, nil},
		{"without an account", []string{aSuite, aMap, aRollout}, nil, "", []string{"", ""}, nil},
		{"with another digest", []string{aSuite, aMap, with(other)}, nil, "", nil, []string{"nothing was changed", other, suite}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ro, _ := pair(v1alpha1.PhaseCommitted, "")
			ro.Spec.Suites = []v1alpha1.SuiteRef{{Name: "s"}}
			ro.Spec.Policies.ConfigMapRef, ro.Spec.ServiceAccountName = tt.before, tt.account
			var applied []v1alpha1.PolicyRollout
			s := over(t, interceptor.Funcs{Apply: func(_ context.Context, _ client.WithWatch, o runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
				var got v1alpha1.PolicyRollout
				raw, err := json.Marshal(o)
				if err := errors.Join(err, json.Unmarshal(raw, &got)); err != nil {
					return err
				}
				if got.Kind == "PolicyRollout" {
					applied = append(applied, got)
				}
				return nil
			}}, ro, &corev1.ConfigMap{ObjectMeta: meta("policies"), Data: map[string]string{"p.yaml": "stored"}})
			in, err := input(t, "ai", false, tt.documents...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Apply(t.Context(), in, Applying{})
			if tt.says != nil {
				for _, says := range tt.says {
					if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), says) || len(applied) > 0 {
						t.Errorf("%v, want %q and nothing applied", err, says)
					}
				}
				return
			}
			if err != nil || len(applied) != 2 {
				t.Fatalf("%d rollouts were applied, want it tried and applied: %v", len(applied), err)
			}
			for _, got := range applied {
				if digests := stated(&got); !reflect.DeepEqual(digests, tt.want) {
					t.Errorf("digests %q, want %q", digests, tt.want)
				}
			}
		})
	}
}

func TestDigestsOfFilesTakeAllOfThem(t *testing.T) {
	in, err := input(t, "ai", false, aSuite, aRollout)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Pins(); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "ConfigMap ai/policies, which rollout ai/r names, is in none of the files") {
		t.Errorf("got %v", err)
	}
}
