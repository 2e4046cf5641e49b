package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tightrope-dev/tightrope/deploy"
)

// What an installation starts the controller with are flags that it knows: it gets as
// far as looking for a cluster, and there is none.
func TestTheControllerKnowsTheFlagsItIsStartedWith(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	objects, err := deploy.Manifests(deploy.Options{SingleTenant: true, DropsPort: 1, ProbePullSecrets: []string{"a", "b"},
		ProbeNodeSelector: map[string]string{"pool": "a", "os": "linux"}, ProbeTolerations: []string{"gpu=yes:NoSchedule", "spot"}})
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
		if err != nil || len(args) != 10 {
			t.Fatalf("arguments %q, %v", args, err)
		}
		var stderr bytes.Buffer
		if code := run(t.Context(), args, &stderr); code != 1 {
			t.Errorf("exit code %d, want 1, as without a cluster: %s", code, &stderr)
		}
		seen = true
		if code := run(t.Context(), append(args, "--no-flag"), &stderr); code != 4 {
			t.Errorf("exit code %d of a flag that is none, want 4", code)
		}
	}
	if !seen {
		t.Error("no Deployment")
	}
}
