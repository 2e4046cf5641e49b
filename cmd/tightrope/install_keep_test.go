package main

import (
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

// What was said once need not be said again; an empty value takes it away.
func TestAnInstallationStaysAsItWasMade(t *testing.T) {
	inTestAll(t, "four installations, one after the other; deploy reads back what it wrote by itself")
	config := sharedLab(t)
	installed(t, config, "--single-tenant", "--memory", "640Mi", "--image-pull-secret", "pull", "--probe-image-pull-secret", "probes",
		"--probe-node-selector", "kubernetes.io/os=linux", "--probe-toleration", "gpu=yes:NoSchedule")
	get := func() *appsv1.Deployment {
		t.Helper()
		d, err := clientOf(t, config).AppsV1().Deployments(v1alpha1.SystemNamespace).Get(t.Context(), "tightrope-controller", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := get()
	for _, again := range [][]string{{"upgrade"}, {"install"}} {
		if code, out, errs := managed(t, config, again...); code != exitOK {
			t.Fatalf("%s: exit code %d: %s%s", again, code, out, errs)
		}
		if now := get(); !reflect.DeepEqual(now.Spec, first.Spec) {
			t.Errorf("%s: it is %+v, and was %+v", again, deploy.Installed(now), deploy.Installed(first))
		}
	}
	code, out, errs := managed(t, config, "upgrade", "--image-pull-secret=", "--probe-image-pull-secret=", "--probe-node-selector=", "--probe-toleration=")
	if code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	if now := deploy.Installed(get()); len(now.PullSecrets)+len(now.ProbePullSecrets)+len(now.ProbeNodeSelector)+len(now.ProbeTolerations) != 0 || !now.SingleTenant {
		t.Errorf("it is %+v", now)
	}
}
