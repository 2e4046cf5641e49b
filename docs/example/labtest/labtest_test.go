// Package labtest is an example: a test suite of somebody else's that is written with
// sigs.k8s.io/e2e-framework and runs on Tightrope's lab, where policies are enforced.
//
//	TIGHTROPE_BIN=/path/to/bin go test ./...
//
// TIGHTROPE_BIN is the folder with labd and hyperkube, as `make labd` builds them.
package labtest

import (
	"context"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient/wait"
	"sigs.k8s.io/e2e-framework/klient/wait/conditions"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/tightrope-dev/tightrope/clusters/framework"
	"github.com/tightrope-dev/tightrope/clusters/lab"
)

var testenv env.Environment

func TestMain(m *testing.M) {
	if os.Getenv(lab.BinEnv) == "" {
		os.Exit(m.Run()) // the tests skip, and say why
	}
	name := envconf.RandomName("labtest", 16)
	testenv = env.NewWithConfig(envconf.New())
	testenv.Setup(envfuncs.CreateCluster(framework.Lab(lab.Options{Nodes: 1}), name))
	testenv.Finish(envfuncs.DestroyCluster(name))
	os.Exit(testenv.Run(m))
}

// A pod that pings a Service of the cluster's own runs to its end, until a policy
// takes its connections away.
func TestAPolicyIsEnforced(t *testing.T) {
	if testenv == nil {
		t.Skip(lab.BinEnv + " does not name the folder with labd")
	}
	feature := features.New("a default-deny").
		Assess("a pod looks up a name", func(ctx context.Context, t *testing.T, cfg *envconf.Config) context.Context {
			ends(ctx, t, cfg, "before", corev1.PodSucceeded)
			return ctx
		}).
		Assess("a policy takes that away", func(ctx context.Context, t *testing.T, cfg *envconf.Config) context.Context {
			deny := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "deny", Namespace: "default"}}
			deny.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
			if err := cfg.Client().Resources().Create(ctx, deny); err != nil {
				t.Fatal(err)
			}
			ends(ctx, t, cfg, "after", corev1.PodFailed)
			return ctx
		}).Feature()
	testenv.Test(t, feature)
}

// ends runs a pod that looks up the API server's name, and wants it to end so.
func ends(ctx context.Context, t *testing.T, cfg *envconf.Config, name string, want corev1.PodPhase) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers: []corev1.Container{{
			Name: "lookup", Image: "tightrope.dev/lab/tools", Args: []string{"lookup", "kubernetes.default.svc.cluster.local"},
		}},
	}}
	if err := cfg.Client().Resources().Create(ctx, pod); err != nil {
		t.Fatal(err)
	}
	if err := wait.For(conditions.New(cfg.Client().Resources()).PodPhaseMatch(pod, want), wait.WithTimeout(time.Minute)); err != nil {
		t.Fatalf("pod %s did not end as %s: %v", name, want, err)
	}
}
