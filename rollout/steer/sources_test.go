package steer

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// The generation of a rollout says nothing of its suite and its ConfigMap.
func TestARunOfOtherSourcesIsToldFromThatOfTheApplied(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseCommitted, "")
	ro.Spec.Suites, ro.Spec.Policies.ConfigMapRef = []v1alpha1.SuiteRef{{Name: "s"}}, &v1alpha1.ConfigMapRef{Name: "policies"}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "ai", Name: name} }
	cm := &corev1.ConfigMap{ObjectMeta: meta("policies"), Data: map[string]string{"p.yaml": "older"}}
	suite := &v1alpha1.ConnectivitySuite{ObjectMeta: meta("s"), Spec: v1alpha1.ConnectivitySuiteSpec{Identities: []v1alpha1.Identity{{Name: "other"}}}}
	applied := func(documents ...string) Applied {
		t.Helper()
		in, err := input(t, "ai", false, append(documents, aRollout)...)
		if err != nil {
			t.Fatal(err)
		}
		s := over(t, interceptor.Funcs{Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			return nil
		}}, ro, cm, suite)
		all, err := s.Apply(t.Context(), in, Applying{})
		if err != nil || len(all) != 1 || all[0].Changed {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0]
	}
	all := applied(aSuite, aMap)
	if why := all.Differs(run); why != "" {
		t.Errorf("before there is a plan: %s", why)
	}
	run.Status.PlanDigest = "sha256:x"
	for _, want := range []string{"it does not say with which ConnectivitySuite s", "it does not say with which ConfigMap policies"} {
		if why := all.Differs(run); !strings.Contains(why, want) {
			t.Errorf("a run that says nothing: %q, want %q", why, want)
		}
	}
	run.Status.Sources = []v1alpha1.Source{v1alpha1.SuiteSource(suite), v1alpha1.ConfigMapSource(cm)}
	if only := applied(); only.Differs(run) != "" {
		t.Errorf("the run is of what is in the cluster: %s", only.Differs(run))
	}
	for _, want := range []string{"another ConnectivitySuite s", "another ConfigMap policies"} {
		if why := all.Differs(run); !strings.Contains(why, want) {
			t.Errorf("a run of other sources: %q, want %q", why, want)
		}
	}
	of := stored{}
	for _, text := range []string{aSuite, aMap} {
		u := &unstructured.Unstructured{Object: decoded(t, text)}
		u.SetNamespace("ai")
		if err := of.add(u); err != nil {
			t.Fatal(err)
		}
	}
	run.Status.Sources = nil
	for _, source := range of {
		run.Status.Sources = append(run.Status.Sources, source)
	}
	if why := all.Differs(run); why != "" {
		t.Errorf("the run is of what was applied: %s", why)
	}
}

// Whether a map is missing or empty depends on the encoding that an API server is asked for.
func TestAnEmptyMapIsNoOtherConfigMap(t *testing.T) {
	a, b := &corev1.ConfigMap{}, &corev1.ConfigMap{Data: map[string]string{}, BinaryData: map[string][]byte{}}
	if v1alpha1.ConfigMapSource(a) != v1alpha1.ConfigMapSource(b) {
		t.Error("they differ")
	}
}

func decoded(t *testing.T, text string) (object map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return object
}
