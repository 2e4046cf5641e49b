package rollout

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// What is printed can be pasted, whatever the paths are called.
func TestAnExceptionCanBePasted(t *testing.T) {
	names := []string{"llm-gateway→DNS/UDP", `a: "b" # {c}, d`}
	var ro v1alpha1.PolicyRollout
	if err := yaml.UnmarshalStrict([]byte(ExceptionYAML(v1alpha1.ExceptionPredictedCut, names...)), &ro); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if ro.Spec.Accepts(v1alpha1.ExceptionPredictedCut, name) == "" {
			t.Errorf("%q is not accepted by %+v", name, ro.Spec.Exceptions)
		}
	}
	if len(ro.Spec.Exceptions) != len(names) || ro.Spec.Exceptions[0].Reason == "" {
		t.Errorf("got %+v", ro.Spec.Exceptions)
	}
}
