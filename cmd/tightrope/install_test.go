package main

import (
	"bytes"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/deploy/install"
)

// managed runs a command of the installer on a cluster.
func managed(t *testing.T, config string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append(args, "--kubeconfig", config), &out, &errs)
	return code, out.String(), errs.String()
}

// wantNothingInstalled wants no object of an installation of any kind, whoever has made
// it, also in the namespaces of tenants.
func wantNothingInstalled(t *testing.T, config string, tenants ...string) {
	t.Helper()
	restConfig, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(restConfig, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := deploy.CRDs(deploy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range []deploy.Options{{SingleTenant: true}, {Tenants: tenants, Minor: 36}} {
		rest, err := deploy.Manifests(options)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, rest...)
	}
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			continue // some tests make it beforehand
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
			t.Errorf("%s is left: %v", install.Title(o), err)
		}
	}
}

// systemNamespace makes Tightrope's namespace as an administrator might beforehand,
// with something in it that is in the way.
func systemNamespace(t *testing.T, config, manifest string) {
	t.Helper()
	kubectlOn(t, config, "", "create", "namespace", v1alpha1.SystemNamespace)
	t.Cleanup(func() { kubectlOn(t, config, "", "delete", "namespace", v1alpha1.SystemNamespace, "--wait=true") })
	kubectlOn(t, config, manifest, "-n", v1alpha1.SystemNamespace, "apply", "-f", "-")
}

// What keeps Tightrope from being installed is told in one sentence, in the words of
// whoever refuses it, and leaves the cluster as it was.
func TestWhatCannotBeInstalledIsTakenBack(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	t.Run("a quota that leaves no room", func(t *testing.T) {
		systemNamespace(t, config, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: full}, spec: {hard: {pods: \"0\"}}}")
		code, out, errs := managed(t, config, "install")
		if code != exitInconclusive {
			t.Errorf("exit code %d, want %d", code, exitInconclusive)
		}
		contains(t, errs, "does not take a pod of deployment/tightrope-controller", "exceeded quota: full", "everything is as it was before")
		contains(t, out, "taking back what was written")
		wantNothingInstalled(t, config)
		namespace, err := clientOf(t, config).CoreV1().Namespaces().Get(t.Context(), v1alpha1.SystemNamespace, metav1.GetOptions{})
		if err != nil || namespace.Labels[deploy.LabelPartOf] != "" {
			t.Errorf("the namespace was there before, and is not as it was: %v, %v", namespace.Labels, err)
		}
	})
	t.Run("a limit that is too low", func(t *testing.T) {
		systemNamespace(t, config, "{apiVersion: v1, kind: LimitRange, metadata: {name: small}, spec: {limits: [{type: Container, max: {memory: 32Mi}}]}}")
		code, _, errs := managed(t, config, "install")
		if code != exitInconclusive {
			t.Errorf("exit code %d, want %d", code, exitInconclusive)
		}
		contains(t, errs, "maximum memory usage per Container is 32Mi", "everything is as it was before")
		wantNothingInstalled(t, config)
	})
	t.Run("an image that no registry serves", func(t *testing.T) {
		restConfig, err := clientcmd.BuildConfigFromFlags("", config)
		if err != nil {
			t.Fatal(err)
		}
		err = install.Install(t.Context(), restConfig, install.Options{Deploy: deploy.Options{Controller: "nowhere.invalid/absent"}})
		if err == nil || install.Refused(err) {
			t.Fatalf("it says %v", err)
		}
		contains(t, err.Error(), "image nowhere.invalid/absent cannot be pulled", "everything is as it was before")
		wantNothingInstalled(t, config)
		if _, err := clientOf(t, config).CoreV1().Namespaces().Get(t.Context(), v1alpha1.SystemNamespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("the namespace is left: %v", err)
		}
	})
	t.Run("a caller without rights", func(t *testing.T) {
		code, out, errs := managed(t, nobody(t, config), "install")
		if code != exitUsage || out != "" {
			t.Errorf("exit code %d, want %d, and it did %q", code, exitUsage, out)
		}
		contains(t, errs, "rights are missing", "administrator", "clusterroles.rbac.authorization.k8s.io")
		wantNothingInstalled(t, config)
	})
}

// nobody is a kubeconfig of somebody who may do nothing.
func nobody(t *testing.T, config string) string { return somebody(t, config, "default", "nobody") }

// somebody is a kubeconfig of somebody, who may do what a test lets him.
func somebody(t *testing.T, config, namespace, name string) string {
	t.Helper()
	c := clientOf(t, config)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kubectlOn(t, config, "", "-n", namespace, "delete", "serviceaccount", name, "--ignore-not-found")
	})
	token, err := c.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	restConfig, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		t.Fatal(err)
	}
	theirs := clientcmdapi.NewConfig()
	theirs.Clusters["c"] = &clientcmdapi.Cluster{Server: restConfig.Host, CertificateAuthorityData: restConfig.CAData, CertificateAuthority: restConfig.CAFile}
	theirs.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	theirs.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	theirs.CurrentContext = "x"
	raw, err := clientcmd.Write(*theirs)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, name, string(raw))
}

// uninstalled removes what an earlier test of the package installed.
func uninstalled(t *testing.T, config string) {
	t.Helper()
	if code, out, errs := managed(t, config, "uninstall", "--abort"); code != exitOK && !strings.Contains(errs, "not installed") {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
}

// Installed twice, upgraded, and removed: nothing of it is left.
func TestAnInstallationIsUpgradedAndRemoved(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	restConfig, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		t.Fatal(err)
	}
	if err := install.Install(t.Context(), restConfig, install.Options{Deploy: deploy.Options{Version: "v0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	ns := v1alpha1.SystemNamespace
	code, _, errs := managed(t, config, "install")
	if code != exitUsage {
		t.Errorf("over another version: exit code %d, want %d", code, exitUsage)
	}
	contains(t, errs, "already installed", "version v0.0.1", "tightrope upgrade")
	kubectlOn(t, config, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: of-old, labels: {app.kubernetes.io/part-of: tightrope}}, rules: []}`,
		"-n", ns, "apply", "--server-side", "--field-manager=tightrope-install", "-f", "-")
	code, out, errs := managed(t, config, "upgrade")
	if code != exitOK {
		t.Fatalf("upgrade: exit code %d: %s%s", code, out, errs)
	}
	contains(t, out, "from version v0.0.1 to "+lab.Stamp, "role/of-old in tightrope-system deleted: this version has none")
	code, out, errs = managed(t, config, "install")
	if code != exitOK || strings.Contains(out, "configured") || strings.Contains(out, "created") {
		t.Errorf("again: exit code %d: %s%s", code, out, errs)
	}
	if code, out, errs := managed(t, config, "uninstall"); code != exitOK {
		t.Fatalf("uninstall: exit code %d: %s%s", code, out, errs)
	}
	wantNothingInstalled(t, config)
	code, _, errs = managed(t, config, "uninstall")
	if code != exitUsage {
		t.Errorf("uninstall again: exit code %d, want %d", code, exitUsage)
	}
	contains(t, errs, "not installed")
	if code, _, _ := managed(t, config, "upgrade"); code != exitUsage {
		t.Errorf("upgrade of nothing: exit code %d, want %d", code, exitUsage)
	}
}

// An upgrade that does not come up puts the version before back, which runs on.
func TestAFailedUpgradeLeavesTheVersionBefore(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	if code, out, errs := managed(t, config, "install"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	t.Cleanup(func() { uninstalled(t, config) })
	before, err := clientOf(t, config).AppsV1().Deployments(v1alpha1.SystemNamespace).Get(t.Context(), "tightrope-controller", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	restConfig, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		t.Fatal(err)
	}
	err = install.Upgrade(t.Context(), restConfig, install.Options{Deploy: deploy.Options{Version: "next", Controller: "nowhere.invalid/absent"}})
	if err == nil {
		t.Fatal("it came up with an image that there is not")
	}
	contains(t, err.Error(), "cannot be pulled", "everything is as it was before")
	after, err := clientOf(t, config).AppsV1().Deployments(v1alpha1.SystemNamespace).Get(t.Context(), "tightrope-controller", metav1.GetOptions{})
	if err != nil || after.UID != before.UID || after.Labels[deploy.LabelVersion] != lab.Stamp || after.Spec.Template.Spec.Containers[0].Image != before.Spec.Template.Spec.Containers[0].Image {
		t.Errorf("it is not as it was: %v, %v", after.ObjectMeta.Labels, err)
	}
	kubectlOn(t, config, "", "-n", v1alpha1.SystemNamespace, "rollout", "status", "deployment/tightrope-controller", "--timeout=60s")
}

// While a rollout is under way nothing is upgraded or removed, unless it is aborted
// first. Policies that are in force stay, without our marks.
func TestALiveRolloutKeepsTightropeInstalled(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	cleared(t, config, "front", "back")
	scenario := small(t, metadata, "metadata: {name: long, namespace: back}", openBlock, "")
	// It commits; then somebody deletes the policy, and a second generation is observed for an hour.
	if code, out, errs := played(t, config, scenario); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	kubectlOn(t, config, "", "-n", "back", "delete", "networkpolicy", "store")
	kubectlOn(t, config, "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: kept, annotations: {tightrope.dev/committed-by: run, mine: x}}, spec: {podSelector: {matchLabels: {app: none}}}}",
		"-n", "front", "apply", "-f", "-")
	kubectlOn(t, config, "", "-n", "back", "patch", "policyrollout", "long", "--type=json", "-p",
		`[{"op": "replace", "path": "/spec/stages/0/minDuration", "value": "1h"}, {"op": "add", "path": "/spec/inconclusiveDeadline", "value": "1h"}]`)
	kubectlOn(t, config, "", "-n", "back", "wait", "policyrollout/long", "--for=jsonpath={.status.observedGeneration}=2", "--timeout=60s")
	for _, command := range []string{"upgrade", "uninstall"} {
		code, _, errs := managed(t, config, command)
		if code != exitUsage {
			t.Errorf("%s: exit code %d, want %d", command, code, exitUsage)
		}
		contains(t, errs, "a rollout is under way", "run back/long-", "abort")
	}
	code, out, errs := managed(t, config, "install", "--image-pull-secret", "other")
	if code != exitUsage || strings.Contains(out, "configured") {
		t.Errorf("an installation that changes something: exit code %d, want %d: %s", code, exitUsage, out)
	}
	contains(t, errs, "a rollout is under way")
	code, out, errs = managed(t, config, "uninstall", "--abort")
	if code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	contains(t, out, "aborted run back/long-", "policyrollout/long in back deleted", "networkpolicy/kept in front stays in force, without our marks")
	wantNothingInstalled(t, config)
	p, err := clientOf(t, config).NetworkingV1().NetworkPolicies("front").Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("the committed policy is gone: %v", err)
	}
	for key := range p.Annotations {
		if strings.HasPrefix(key, "tightrope.dev/") {
			t.Errorf("annotation %s is left", key)
		}
	}
	if p.Annotations["mine"] != "x" {
		t.Error("an annotation of somebody else's is gone")
	}
}

// What --dry-run prints is what would be applied.
func TestDryRunPrintsTheObjects(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"install", "--dry-run", "-o", "yaml", "--image-pull-secret", "pull", "--memory", "1Gi",
		"--probe-image-pull-secret", "probes-pull", "--probe-node-selector", "pool=a,os=linux", "--probe-toleration", "gpu=yes:NoSchedule"}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	contains(t, out.String(), "kind: CustomResourceDefinition", "kind: Deployment", "app.kubernetes.io/version: "+lab.Stamp, "name: pull", "memory: 1Gi\n",
		"- --image-pull-secret=probes-pull", "- --probe-node-selector=os=linux", "- --probe-node-selector=pool=a", "- --probe-toleration=gpu=yes:NoSchedule")
	for _, args := range [][]string{{"install", "-o", "yaml"}, {"install", "--dry-run=maybe"}, {"install", "--dry-run", "-o", "toml"},
		{"install", "--dry-run", "--probe-toleration", "gpu:Never"}, {"install", "--dry-run", "--probe-node-selector", "pool"}, {"install", "--dry-run", "--probe-image-pull-secret", "No Name"},
		{"install", "--dry-run", "--memory", "much"}, {"install", "--dry-run", "--memory", "512"}, {"uninstall", "--timeout", "0s"}} {
		if code := run(args, &out, &errs); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, code, exitUsage)
		}
	}
}
