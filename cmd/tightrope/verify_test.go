package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/operator"
)

// shop is a namespace with a server, which a policy lets one client reach, as a chart
// renders it, and the suite that says so. The server listens on LISTENS and the
// policy lets ALLOWED in.
const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: NAMESPACE, labels: {app: api}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: api
    image: tightrope.dev/twin
    args: ["--listen", "LISTENS/TCP"]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: NAMESPACE}
spec:
  selector: {app: api}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: NAMESPACE}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress: ALLOWED
`

const shopSuite = `
apiVersion: tightrope.dev/v1alpha1
kind: ConnectivitySuite
metadata: {name: shop, namespace: NAMESPACE}
spec:
  identities:
  - {name: web, namespace: NAMESPACE, labels: {app: web}}
  - {name: guest, namespace: NAMESPACE, labels: {app: guest}}
  paths:
  - {name: web to api, from: web, to: {service: {namespace: NAMESPACE, name: api, port: 80}}, expect: Allow, probe: {type: TCP}}
  - {name: guest to api, from: guest, to: {service: {namespace: NAMESPACE, name: api, port: 80}}, expect: Deny, probe: {type: TCP}}
`

// writeShop writes the manifests and the suite, and returns the flags that name them.
func writeShop(t *testing.T, namespace, listens, allowed string) []string {
	t.Helper()
	fill := strings.NewReplacer("NAMESPACE", namespace, "LISTENS", listens, "ALLOWED", allowed)
	dir := t.TempDir()
	chart, suite := filepath.Join(dir, "rendered"), filepath.Join(dir, "suite.yaml")
	if err := os.Mkdir(chart, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{filepath.Join(chart, "shop.yaml"): shop, suite: shopSuite} {
		if err := os.WriteFile(name, []byte(fill.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"-f", suite, "--apply", chart}
}

// junit is what a CI reads of a file.
type junit struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Cases    []struct {
		Name    string `xml:"name,attr"`
		Class   string `xml:"classname,attr"`
		Failure *struct {
			Message string `xml:"message,attr"`
			Type    string `xml:"type,attr"`
		} `xml:"failure"`
		Error *struct {
			Message string `xml:"message,attr"`
			Text    string `xml:",chardata"`
		} `xml:"error"`
		Skipped *struct {
			Message string `xml:"message,attr"`
		} `xml:"skipped"`
	} `xml:"testsuite>testcase"`
}

// readJUnit reads junit.xml and says, for each case, how it went: passed, or the
// words that a CI shows.
func readJUnit(t *testing.T, folder string) (junit, map[string]string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, "junit.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var j junit
	if err := xml.Unmarshal(raw, &j); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, c := range j.Cases {
		switch name := c.Class + ": " + c.Name; {
		case c.Failure != nil:
			said[name] = c.Failure.Type + ": " + c.Failure.Message
		case c.Error != nil:
			said[name] = "error: " + c.Error.Message + ": " + c.Error.Text
		case c.Skipped != nil:
			said[name] = "skipped: " + c.Skipped.Message
		default:
			said[name] = "passed"
		}
	}
	return j, said
}

func clientset(t *testing.T, kubeconfig string) *kubernetes.Clientset {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

// wantNothingOf fails if anything of a verification is in a namespace, or a
// namespace of one that is not one of others under way.
func wantNothingOf(t *testing.T, kube *kubernetes.Clientset, namespace string) {
	t.Helper()
	for end := time.Now().Add(goneWithin); ; time.Sleep(100 * time.Millisecond) {
		pods, err := kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelRun})
		if err != nil {
			t.Fatal(err)
		}
		plans, err := kube.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelRun})
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Items)+len(plans.Items) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left %v later: %d probe pods and %d of their plans", goneWithin, len(pods.Items), len(plans.Items))
		}
	}
}

const (
	lets    = `[{from: [{podSelector: {matchLabels: {app: web}}}]}]`
	letsAll = `[{}]`
	letsNo  = `[]`
)

// Each outcome on one lab, with what a CI job sees of it.
func TestVerify(t *testing.T) {
	kubeconfig := sharedLab(t)
	kube := clientset(t, kubeconfig)
	ways := []string{"via Service", "via PodIP"}
	for _, tt := range []struct {
		namespace, listens, allowed string
		code                        int
		run, web, guest             string // what the cases say; of a way, by both ways
		failures, errors, skipped   int
	}{
		{"v-holds", "8080", lets, exitOK, "passed", "passed", "passed", 0, 0, 0},
		{"v-cut", "8080", letsNo, exitCut, "Violated: the result is Violated", "Cut: cut: v-cut/api ingress: no rule allows 8080/TCP from v-cut/web", "skipped: ", 3, 0, 2},
		{"v-leak", "8080", letsAll, exitCut, "Violated: the result is Violated", "passed", "Leak: leak: v-leak/api ingress[0]", 3, 0, 0},
		// It is ready, as a pod without a readiness probe always is, and answers nobody.
		{"v-down", "9999", lets, exitInconclusive, "error: the result is Inconclusive", "skipped: inconclusive: it fails, no policy denies it, and nobody got through to its target, which may be down",
			"skipped: inconclusive: no witness got through to the target", 0, 1, 4},
	} {
		t.Run(tt.namespace, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			cleared(t, kubeconfig, tt.namespace)
			args := append(writeShop(t, tt.namespace, tt.listens, tt.allowed), "--cluster", "current", "--kubeconfig", kubeconfig, "--report", folder, "--for", "3s")
			var stdout, stderr bytes.Buffer
			if code := run(append([]string{"verify"}, args...), &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, &stdout, &stderr)
			}
			j, said := readJUnit(t, folder)
			if j.Tests != 5 || j.Failures != tt.failures || j.Errors != tt.errors || j.Skipped != tt.skipped {
				t.Errorf("%d tests, %d failures, %d errors, %d skipped; want 5, %d, %d, %d", j.Tests, j.Failures, j.Errors, j.Skipped, tt.failures, tt.errors, tt.skipped)
			}
			want := map[string]string{"tightrope/run: run ends Verified": tt.run}
			for _, way := range ways {
				want[fmt.Sprintf("%s/web: web to api %s", tt.namespace, way)] = tt.web
				want[fmt.Sprintf("%s/guest: guest to api %s", tt.namespace, way)] = tt.guest
			}
			for name, text := range want {
				if got, ok := said[name]; !ok || !strings.HasPrefix(got, text) {
					t.Errorf("case %q says %q, want %q", name, got, text)
				}
			}
			if strings.Contains(fmt.Sprint(said), operator.VerifyPrefix) {
				t.Errorf("the names of probe pods differ each time, and are in %q", said)
			}
			wantNothingOf(t, kube, tt.namespace)
			if rep := readReport(t, folder); rep.Kind != "Verify" || len(rep.Policies) != 1 || rep.Cluster == "" {
				t.Errorf("report: kind %q, policies %v, cluster %q", rep.Kind, rep.Policies, rep.Cluster)
			}
		})
	}
}

// Where no policy has an effect, a path that must not work cannot be proved, and one
// that works proves nothing either.
func TestVerifyOnAClusterThatIgnoresPolicies(t *testing.T) {
	sharedLab(t) // for needLab and the binaries
	t.Parallel()
	folder := t.TempDir()
	p := start(t, append(append([]string{"verify"}, writeShop(t, "v-ignored", "8080", lets)...), "--dataplane", "ignore", "--report", folder)...)
	if code := p.end(t); code != exitInconclusive {
		t.Errorf("exit code %d, want %d", code, exitInconclusive)
	}
	j, said := readJUnit(t, folder)
	if why := said["tightrope/run: run ends Verified"]; j.Failures != 0 || j.Errors != 1 || j.Skipped != 4 || !strings.Contains(why, "this cluster does not enforce NetworkPolicy") {
		t.Errorf("%d failures, %d errors, %d skipped: %s", j.Failures, j.Errors, j.Skipped, why)
	}
	if !strings.Contains(p.stdout.String(), "this cluster does not enforce NetworkPolicy") {
		t.Error("the screen does not say why")
	}
}

func TestAnInterruptedVerifyLeavesNothing(t *testing.T) {
	kubeconfig := sharedLab(t)
	kube := clientset(t, kubeconfig)
	for _, when := range []string{"probe pods for", "whether the cluster enforces", "Trying every path"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			namespace := "v-" + strings.ToLower(strings.ReplaceAll(when, " ", "-"))
			cleared(t, kubeconfig, namespace)
			p := start(t, append(append([]string{"verify"}, writeShop(t, namespace, "8080", lets)...), "--cluster", "current", "--kubeconfig", kubeconfig, "--report", t.TempDir())...)
			p.await(t, when)
			p.signal(t, syscall.SIGINT)
			if code := p.end(t); code != exitInterrupted || !strings.Contains(p.stderr.String(), "what verify made itself is gone; the objects of --apply stay") {
				t.Errorf("exit code %d, want %d", code, exitInterrupted)
			}
			wantNothingOf(t, kube, namespace)
		})
	}
}

// Input that is wrong is refused before anything is made.
func TestVerifyRefusesWrongInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	chart := filepath.Join(dir, "chart")
	if err := os.Mkdir(chart, 0o755); err != nil {
		t.Fatal(err)
	}
	write("chart/Chart.yaml", "name: x\n")
	suite := write("suite.yaml", strings.ReplaceAll(shopSuite, "NAMESPACE", "nowhere"))
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"no suite", "no suite was given", nil},
		{"no file", "no such file", []string{"-f", filepath.Join(dir, "none.yaml")}},
		{"no suite in it", "nothing to judge", []string{"-f", write("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")}},
		{"a typo", "unknown field", []string{"-f", write("typo.yaml", strings.Replace(shopSuite, "expect:", "expects:", 1))}},
		{"no time", "use times above 0", []string{"-f", suite, "--for", "0s"}},
		{"an unknown cluster", `"mars" is not known`, []string{"-f", suite, "--cluster", "mars"}},
		{"a chart that is not rendered", "render it first", []string{"-f", suite, "--apply", chart}},
		{"no manifests", "no such file", []string{"-f", suite, "--apply", filepath.Join(dir, "none")}},
		{"a toleration of nothing", "is no effect of a taint", []string{"-f", suite, "--probe-toleration", "a:Never"}},
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"verify", "--report", filepath.Join(dir, "out")}, tt.args...), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%s: exit code %d and %q, want %d and %q", tt.name, code, &stderr, exitUsage, tt.want)
		}
	}
}

func TestVerifyNamesWhatASuiteGetsWrong(t *testing.T) {
	kubeconfig := sharedLab(t)
	t.Parallel()
	dir := t.TempDir()
	suite := filepath.Join(dir, "suite.yaml")
	if err := os.WriteFile(suite, []byte(strings.ReplaceAll(shopSuite, "NAMESPACE", "nowhere")), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"verify", "-f", suite, "--cluster", "current", "--kubeconfig", kubeconfig, "--report", dir, "--path", "web to moon"}, &stdout, &stderr)
	for _, want := range []string{`namespace "nowhere", which does not exist`, "Service nowhere/api, which does not exist", `no suite has a path called "web to moon": there are "web to api", "guest to api"`} {
		if code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("exit code %d and %q, want %d and %q", code, &stderr, exitUsage, want)
		}
	}
}
