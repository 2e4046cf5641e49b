package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

// moved is a manifest of one object, edited, in another file.
func moved[T any](t *testing.T, path string, edit func(*T)) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var o T
	if err := yaml.UnmarshalStrict(raw, &o); err != nil {
		t.Fatal(err)
	}
	edit(&o)
	if raw, err = yaml.Marshal(o); err != nil {
		t.Fatal(err)
	}
	return file(t, filepath.Base(path), string(raw))
}

// grants are the commands of a refusal that allow what is missing.
var grants = regexp.MustCompile(`kubectl (-n \S+ create rolebinding \S+ --clusterrole=\S+ --serviceaccount=\S+:[-a-z0-9]+)`)

// A team rolls out to the namespaces of others with its own rights. It is told what is
// missing; once those namespaces have let it in, as they were told, the rollout commits.
func TestATeamRollsOutWhereItIsLetIn(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	cleared(t, config, "front", "back", "team")
	kubectlOn(t, config, "", "create", "namespace", "team")
	code, out, errs := managed(t, config, "install", "--tenant", "nobodys")
	if code != exitUsage {
		t.Errorf("exit code %d, want %d: %s", code, exitUsage, out)
	}
	contains(t, errs, "there is no namespace nobodys")
	wantNothingInstalled(t, config)
	if code, out, errs = managed(t, config, "install", "--tenant", "team"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	contains(t, out, "tenant team: rollouts there name spec.serviceAccountName: tightrope-rollout")

	dir := filepath.Join(t.TempDir(), "small")
	says(t, exitOK, "plan", file(t, "small.yaml", small(t, openBlock, "")), "--manifests", dir)
	kubectlOn(t, config, "", "apply", "-f", filepath.Join(dir, "platform.yaml"))
	kubectlOn(t, config, "", "-n", "front", "wait", "--for=condition=Available", "--timeout=60s", "deployment/app")
	kubectlOn(t, config, "", "-n", "back", "wait", "--for=condition=Available", "--timeout=60s", "deployment/store")
	suite := moved(t, filepath.Join(dir, "suite.yaml"), func(s *v1alpha1.ConnectivitySuite) { s.Namespace = "team" })
	rollout := moved(t, filepath.Join(dir, "rollout.yaml"), func(ro *v1alpha1.PolicyRollout) {
		ro.Namespace, ro.Spec.ServiceAccountName = "team", deploy.TenantAccount
	})
	author := somebody(t, config, "team", "author")
	kubectlOn(t, config, "", "-n", "team", "create", "rolebinding", "author", "--clusterrole=edit", "--serviceaccount=team:author")

	team := func(code int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(append(append([]string{"rollout"}, args...), "-n", "team", "--kubeconfig", author), &out, &errs); got != code {
			t.Fatalf("%q: exit code %d, want %d:\n%s%s", args, got, code, &out, &errs)
		}
		return out.String() + errs.String()
	}
	said := team(exitUsage, "apply", "-f", suite, "-f", rollout, "--wait")
	contains(t, said, "service account team/tightrope-rollout may not", "needs in namespaces back, front", "create/delete/get/patch pods", "# in namespace front, ", "# in namespace back, ")
	commands := map[string]bool{}
	for _, m := range grants.FindAllStringSubmatch(said, -1) {
		commands[m[1]] = true
	}
	if len(commands) != 2 {
		t.Fatalf("the refusal has %d commands that allow what is missing, want 2: %s", len(commands), said)
	}
	for command := range commands {
		kubectlOn(t, config, "", strings.Fields(command)...)
	}
	contains(t, team(exitOK, "retry", "small", "--wait"), "Committed")
	policies, err := clientOf(t, config).NetworkingV1().NetworkPolicies("back").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(policies.Items) != 1 || policies.Items[0].Name != "store" {
		t.Errorf("in force are %v, %v", policies.Items, err)
	}

	if code, out, errs := managed(t, config, "uninstall"); code != exitOK {
		t.Fatalf("uninstall: exit code %d: %s%s", code, out, errs)
	}
	wantNothingInstalled(t, config, "team")
}

// A scenario's rollout names no account, so it is not played where tenants are kept
// apart, and says so before it writes anything.
func TestAScenarioWantsASingleTenant(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	t.Cleanup(func() { uninstalled(t, config) })
	if code, out, errs := managed(t, config, "install"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	} else {
		contains(t, out, "no namespace has an account for rollouts")
	}
	code, _, errs := played(t, config, small(t))
	if code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	contains(t, errs, "it is for tenants, and a scenario's rollout names no service account", "nothing was written", "tightrope upgrade --single-tenant")
	if code, out, errs := managed(t, config, "upgrade", "--single-tenant"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	} else {
		contains(t, out, "validatingadmissionpolicy/tightrope-named-accounts deleted", "single-tenant: whoever may create a PolicyRollout")
	}
	code, out, errs := managed(t, config, "upgrade")
	if code != exitOK || !strings.Contains(out, "single-tenant: ") {
		t.Errorf("an upgrade without a word changed for whom it is: exit code %d: %s%s", code, out, errs)
	}
}
