package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/doctor"
	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// inTheWay is a namespace whose quota has no room for a probe pod.
const inTheWay = `
apiVersion: v1
kind: Namespace
metadata: {name: d-tight}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: tight, namespace: d-tight}
spec: {hard: {limits.cpu: "1m"}}
`

// checksOf are what an examination says, by check.
func checksOf(e *doctor.Examination) map[string]string {
	said := map[string]string{}
	for _, c := range e.Checks {
		said[c.Name] += c.State.String() + ": " + c.Says + "\n"
	}
	return said
}

func TestDoctor(t *testing.T) {
	kubeconfig := sharedLab(t)
	kubectlOn(t, kubeconfig, inTheWay, "apply", "-f", "-")
	node := withAProfile(t, kubeconfig)
	var stdout, stderr bytes.Buffer
	began := time.Now()
	code := run([]string{"doctor", "--cluster", "current", "--kubeconfig", kubeconfig, "-o", "json", "--save"}, &stdout, &stderr)
	var e doctor.Examination
	if err := json.Unmarshal(stdout.Bytes(), &e); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v: %s%s", code, err, &stdout, &stderr)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	if e.SchemaVersion != doctor.SchemaVersion || !e.Enforces || len(e.Nodes) != 2 || e.Deny != "Drop" || len(e.Effects) != 2 {
		t.Errorf("%+v", e)
	}
	for _, effect := range e.Effects {
		for what, times := range map[string]*doctor.Times{"written": effect.Added, "deleted": effect.Removed} {
			if times == nil || times.Samples < 10 || times.Max < times.Median || times.Max <= 0 {
				t.Errorf("%s, %s: %+v", effect.Direction, what, times)
			}
		}
	}
	said := checksOf(&e)
	for name, want := range map[string]string{
		"enforcement": "OK: each of 2 nodes enforces ingress and egress", "version": "Kubernetes v", "nodes": "2 of 2 nodes are ready",
		"what a denied connection sees": "it is dropped", "who answers a connection": "OK: nobody answers", "established connections": "Note: some are cut and some live on",
		"forms of write": "OK: these act: Create within", "DNS": "OK: port 53/UDP is served by kube-system/kube-dns; a probe pod looked", "address families": "OK: pods have IPv4",
		"API server": "OK: it is reached at 127.0.0.1:", "network plugin": "no DaemonSet installs one",
		"other policy kinds": "", "probe pods": "Problem: namespace d-tight refuses one:", "leftovers": "",
	} {
		if got, ok := said[name]; !ok || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(said["probe pods"], "exceeded quota: tight") {
		t.Errorf("not in the API server's words: %s", said["probe pods"])
	}
	for _, open := range []bool{true, false} {
		if err := valid(t, schemaOf(t, "examination", open), stdout.String()); err != nil {
			t.Errorf("open=%t: %v", open, err)
		}
	}
	wantProfile(t, kubeconfig, node)
	wantNoHome(t, kubeconfig)
}

// withAProfile makes the shared lab know the kind, and one of its nodes cut connections
// that are open when a policy comes to deny them. It returns that node.
func withAProfile(t *testing.T, kubeconfig string) string {
	t.Helper()
	const crd = "../../deploy/crds/tightrope.dev_enforcementprofiles.yaml"
	kubectlOn(t, kubeconfig, "", "apply", "-f", crd)
	kubectlOn(t, kubeconfig, "", "wait", "--for=condition=Established", "-f", crd)
	node := strings.Fields(kubectlOn(t, kubeconfig, "", "get", "nodes", "-o", "name"))[0]
	kubectlOn(t, kubeconfig, "", "annotate", node, lab.DataplaneAnnotation+"=established=cut")
	t.Cleanup(func() {
		kubectlOn(t, kubeconfig, "", "annotate", node, lab.DataplaneAnnotation+"-")
		kubectlOn(t, kubeconfig, "", "delete", "-f", crd)
	})
	return strings.TrimPrefix(node, "node/")
}

// wantProfile fails unless what was measured is stored.
func wantProfile(t *testing.T, kubeconfig, cuts string) {
	t.Helper()
	var p v1alpha1.EnforcementProfile
	if err := json.Unmarshal([]byte(kubectlOn(t, kubeconfig, "", "get", "enforcementprofile", "cluster", "-o", "json")), &p); err != nil {
		t.Fatal(err)
	}
	s := p.Status
	if s.Enforces != (v1alpha1.EnforcedWhere{Ingress: v1alpha1.Yes, Egress: v1alpha1.Yes}) || s.Established != "Mixed" || s.Deny != "Drop" ||
		len(s.Nodes) != 2 || len(s.Writes) != 6 || s.Settle.P99.Duration <= 0 || s.Identity.Nodes == "" || !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionCurrent) {
		t.Errorf("node %s cuts, and the profile says %+v", cuts, s)
	}
	for _, w := range s.Writes {
		if w.Acts != v1alpha1.Yes || w.Slowest.Duration <= 0 {
			t.Errorf("%+v", w)
		}
	}
	if table := kubectlOn(t, kubeconfig, "", "get", "enforcementprofiles"); !strings.Contains(table, "Mixed") || !strings.Contains(table, "ESTABLISHED") {
		t.Errorf("kubectl get shows\n%s", table)
	}
}

// wantNoHome fails if a namespace of an examination is left.
func wantNoHome(t *testing.T, kubeconfig string) {
	t.Helper()
	list, err := clientset(t, kubeconfig).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range list.Items {
		if strings.HasPrefix(ns.Name, doctor.Prefix) {
			t.Errorf("namespace %s is left", ns.Name)
		}
	}
}

func TestDoctorOnAClusterThatIgnoresPolicies(t *testing.T) {
	sharedLab(t) // for needLab and the binaries
	p := start(t, "doctor", "--dataplane", "ignore")
	if code := p.end(t); code != exitInconclusive || !strings.Contains(p.stdout.String(), "does not enforce NetworkPolicy") {
		t.Errorf("exit code %d, want %d, and why", code, exitInconclusive)
	}
}

func TestAnInterruptedDoctorLeavesNothing(t *testing.T) {
	kubeconfig := sharedLab(t)
	p := start(t, "doctor", "--cluster", "current", "--kubeconfig", kubeconfig)
	watch, err := clientset(t, kubeconfig).CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	for e := range watch.ResultChan() {
		if o, ok := e.Object.(metav1.Object); ok && strings.HasPrefix(o.GetName(), doctor.Prefix) {
			break
		}
	}
	p.signal(t, syscall.SIGINT)
	if code := p.end(t); code != exitInterrupted || !strings.Contains(p.stderr.String(), "what doctor made is gone") {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	wantNoHome(t, kubeconfig)
}
