package manifest

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const looseText = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: ai}
spec: {ingressClassName: nginx, defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: infra}
spec: {gatewayClassName: istio}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: ai}
spec: {parentRefs: [{name: edge, namespace: infra}], rules: [{backendRefs: [{name: api, port: 80}]}]}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: web, namespace: ai}
spec: {selector: {matchLabels: {app: web}}, podMetricsEndpoints: [{port: admin}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bound, namespace: ai, annotations: {eks.amazonaws.com/role-arn: a}}
`

// A cluster shows the pods that controllers make, so nothing of it is a Custom.
func TestWhatTellsOfCallersIsReadFromACluster(t *testing.T) {
	var lists Lists
	for _, text := range strings.Split(looseText, "---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		lists.Callers = append(lists.Callers, unstructured.Unstructured{Object: object})
	}
	o := FromLists(lists).Objects
	var entrances []string
	for _, e := range o.Entrances {
		entrances = append(entrances, e.Service+" "+e.Class)
	}
	if want := []string{"ai/web nginx", "ai/api istio"}; !slices.Equal(entrances, want) {
		t.Errorf("entrances %v, want %v", entrances, want)
	}
	if len(o.Monitors) != 1 || !o.Monitors[0].OfPods || len(o.Accounts) != 1 || o.Accounts[0].Name != "bound" {
		t.Errorf("monitors %+v, accounts %+v", o.Monitors, o.Accounts)
	}
	if len(o.Customs) != 0 {
		t.Errorf("pods of %v are taken for unknown", o.Customs)
	}
}

func TestACustomResourceThatIsThereTwiceDoesNotRefuseTheInput(t *testing.T) {
	r := newReading(Options{})
	const one = "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nmetadata: {name: k8s, namespace: ai}\nspec: {replicas: %}\n---\n"
	r.parse("a.yaml", []byte(strings.Replace(one, "%", "1", 1)+strings.Replace(one, "%", "2", 1)), true)
	set, err := r.finish()
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Pods) != 1 || len(set.Workloads) != 1 {
		t.Errorf("pods %v", set.Pods)
	}
	if !slices.ContainsFunc(set.Notes, func(n Note) bool { return strings.Contains(n.Message, "declared twice") }) {
		t.Errorf("notes %v", set.Notes)
	}
}

func TestAServiceIsFoundInAnAddress(t *testing.T) {
	for _, tt := range []struct {
		address, service string
		port             int32
	}{
		{"blackbox.monitoring.svc:9115", "monitoring/blackbox", 9115},
		{"http://blackbox", "ai/blackbox", 80},
		{"https://blackbox.monitoring.svc.cluster.local/probe", "monitoring/blackbox", 443},
		{"blackbox.example.com:9115", "", 0},
		{"10.0.0.1:9115", "", 0},
		{"blackbox:99999", "", 0},
		{"http://[::1", "", 0},
	} {
		if service, port := serviceOf(tt.address, "ai"); service != tt.service || port != tt.port {
			t.Errorf("%s: %s:%d, want %s:%d", tt.address, service, port, tt.service, tt.port)
		}
	}
}

func TestKindsThatMakePods(t *testing.T) {
	for kind, want := range map[header]bool{
		{"serving.kserve.io/v1beta1", "InferenceService"}: true,
		{"serving.kserve.io/v1alpha1", "ServingRuntime"}:  false,
		{"longhorn.io/v1beta2", "Volume"}:                 true,
		{"cert-manager.io/v1", "Certificate"}:             false,
		{"gateway.networking.k8s.io/v1", "HTTPRoute"}:     false,
		{"v1", "Secret"}:                       false,
		{"apps/v1", "ControllerRevision"}:      false,
		{"argoproj.io/v1alpha1", "Workflow"}:   true,
		{"argoproj.io/v1alpha1", "AppProject"}: false,
	} {
		if got := makesPods(kind); got != want {
			t.Errorf("%v makes pods: %v, want %v", kind, got, want)
		}
	}
}
