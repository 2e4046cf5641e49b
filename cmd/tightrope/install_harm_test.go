package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/deploy/install"
)

func restConfigOf(t *testing.T, config string) *rest.Config {
	t.Helper()
	c, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func installed(t *testing.T, config string, args ...string) {
	t.Helper()
	uninstalled(t, config)
	if code, out, errs := managed(t, config, append([]string{"install"}, args...)...); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	t.Cleanup(func() { uninstalled(t, config) })
}

// A name alone makes nothing ours.
func TestUninstallLeavesWhatIsNotOurs(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	ns := v1alpha1.SystemNamespace
	kubectlOn(t, config, "", "create", "namespace", ns)
	t.Cleanup(func() {
		kubectlOn(t, config, "", "delete", "namespace", ns, "--ignore-not-found")
		kubectlOn(t, config, "", "delete", "clusterrole", "tightrope-target", "--ignore-not-found")
	})
	kubectlOn(t, config, "", "-n", ns, "create", "secret", "generic", "pull")
	kubectlOn(t, config, "", "create", "clusterrole", "tightrope-target", "--verb=get", "--resource=pods")
	there := func() {
		t.Helper()
		kubectlOn(t, config, "", "-n", ns, "get", "secret", "pull")
		kubectlOn(t, config, "", "get", "clusterrole", "tightrope-target")
	}
	if code, out, errs := managed(t, config, "uninstall"); code != exitUsage || !strings.Contains(errs, "not installed") {
		t.Errorf("exit code %d, want %d: %s%s", code, exitUsage, out, errs)
	}
	there()
	// With an installation in it, the namespace that was there before stays, too.
	kubectlOn(t, config, "", "delete", "clusterrole", "tightrope-target")
	if code, out, errs := managed(t, config, "install", "--single-tenant"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	code, out, errs := managed(t, config, "uninstall")
	if code != exitOK {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	contains(t, out, "namespace/tightrope-system is kept", "kubectl delete namespace")
	kubectlOn(t, config, "", "-n", ns, "get", "secret", "pull")
	wantNothingInstalled(t, config)
}

// What failed once can be tried again, and what somebody else changed meanwhile stays.
func TestAFailedUpgradeIsInNobodysWay(t *testing.T) {
	inTestAll(t, "three upgrades fail, and one that does is tested by itself")
	config := sharedLab(t)
	installed(t, config, "--single-tenant")
	broken := install.Options{Deploy: deploy.Options{Version: "next", Controller: "nowhere.invalid/absent", SingleTenant: true}}
	for range 2 {
		err := install.Upgrade(t.Context(), restConfigOf(t, config), broken)
		if err == nil || install.Refused(err) {
			t.Fatalf("it says %v", err)
		}
		contains(t, err.Error(), "cannot be pulled", "everything is as it was before")
	}
	if code, out, errs := managed(t, config, "install", "--single-tenant"); code != exitOK || strings.Contains(out, "configured") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	var once sync.Once
	broken.Progress = func(line string) {
		if strings.HasPrefix(line, "waiting: deployment/") {
			once.Do(func() {
				kubectlOn(t, config, "", "-n", v1alpha1.SystemNamespace, "annotate", "deployment", "tightrope-controller", "theirs=edited")
			})
		}
	}
	err := install.Upgrade(t.Context(), restConfigOf(t, config), broken)
	if err == nil {
		t.Fatal("it came up")
	}
	contains(t, err.Error(), "somebody has changed it since")
	d, err := clientOf(t, config).AppsV1().Deployments(v1alpha1.SystemNamespace).Get(t.Context(), "tightrope-controller", metav1.GetOptions{})
	if err != nil || d.Annotations["theirs"] != "edited" {
		t.Errorf("somebody else's edit is lost: %v, %v", d.Annotations, err)
	}
	if code, out, errs := managed(t, config, "upgrade", "--single-tenant"); code != exitOK {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// A temporary policy whose run is gone stops an uninstallation before it begins; a
// label that anybody can write does not.
func TestAnOrphanedPolicyKeepsTheControllerThere(t *testing.T) {
	config := sharedLab(t)
	installed(t, config, "--single-tenant")
	policy := func(name, annotations string) {
		kubectlOn(t, config, fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, labels: {tightrope.dev/run: gone-1}, annotations: {%s}}, spec: {podSelector: {matchLabels: {app: none}}}}`, name, annotations),
			"-n", "default", "apply", "-f", "-")
		t.Cleanup(func() {
			kubectlOn(t, config, "", "-n", "default", "delete", "networkpolicy", name, "--ignore-not-found")
		})
	}
	policy("orphan", "tightrope.dev/run-uid: x")
	code, out, errs := managed(t, config, "uninstall")
	if code != exitUsage || out != "" {
		t.Errorf("exit code %d, want %d, and it did %q", code, exitUsage, out)
	}
	contains(t, errs, "policy default/orphan", "run gone-1", "nothing was removed")
	kubectlOn(t, config, "", "-n", v1alpha1.SystemNamespace, "get", "deployment", "tightrope-controller")
	kubectlOn(t, config, "", "-n", "default", "delete", "networkpolicy", "orphan")
	policy("labelled", "")
	if code, out, errs := managed(t, config, "uninstall"); code != exitOK {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// Nobody becomes a tenant by what he can write in a namespace of his own.
func TestANamespaceDoesNotMakeItselfATenant(t *testing.T) {
	config := sharedLab(t)
	installed(t, config)
	kubectlOn(t, config, "", "create", "namespace", "evil")
	cleared(t, config, "evil")
	kubectlOn(t, config, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: tightrope-rollout, labels: {app.kubernetes.io/part-of: tightrope}}}",
		"-n", "evil", "apply", "--server-side", "--field-manager=tightrope-install", "-f", "-")
	code, out, errs := managed(t, config, "upgrade")
	if code != exitOK || strings.Contains(out, "tenant evil") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	roles, err := clientOf(t, config).RbacV1().RoleBindings("evil").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(roles.Items) > 0 {
		t.Errorf("%v; it got %v", err, roles.Items)
	}
}
