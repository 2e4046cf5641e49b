package scenarios

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

func protocolOf(s v1alpha1.ServiceTarget) corev1.Protocol {
	return corev1.Protocol(cmp.Or(s.Protocol, "TCP"))
}

func TestManifestsComeInTheOrderToCreateThem(t *testing.T) {
	objects, err := mustLoad(t, platform).Manifests("")
	if err != nil {
		t.Fatal(err)
	}
	order := []string{"Namespace", "ServiceAccount", "Service", "Deployment"}
	counts, reached := map[string]int{}, 0
	for _, o := range objects {
		kind := o.GetObjectKind().GroupVersionKind().Kind
		at := slices.Index(order, kind)
		if at < reached {
			t.Errorf("%s %s comes after a %s", kind, o.GetName(), order[reached])
		}
		reached = at
		counts[kind]++
	}
	if want := map[string]int{"Namespace": 5, "ServiceAccount": 10, "Service": 8, "Deployment": 10}; !equalCounts(counts, want) {
		t.Errorf("%v, want %v", counts, want)
	}
}

func equalCounts(a, b map[string]int) bool {
	for k := range b {
		if a[k] != b[k] {
			return false
		}
	}
	return len(a) == len(b)
}

// A Service port that no container of its pods declares would black-hole.
func TestEveryServiceLeadsToAPortOfItsPods(t *testing.T) {
	objects, err := mustLoad(t, platform).Manifests("")
	if err != nil {
		t.Fatal(err)
	}
	deployments := only[*appsv1.Deployment](objects)
	for _, svc := range only[*corev1.Service](objects) {
		selector, found := labels.SelectorFromSet(svc.Spec.Selector), 0
		for _, d := range deployments {
			if d.Namespace != svc.Namespace || !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
				continue
			}
			found++
			for _, p := range svc.Spec.Ports {
				declared := func(c corev1.ContainerPort) bool {
					return c.ContainerPort == p.TargetPort.IntVal && c.Protocol == p.Protocol
				}
				if !slices.ContainsFunc(d.Spec.Template.Spec.Containers[0].Ports, declared) {
					t.Errorf("Service %s/%s port %d leads to %s, which %s does not declare", svc.Namespace, svc.Name, p.Port, p.TargetPort.String(), d.Name)
				}
			}
		}
		if found != 1 {
			t.Errorf("Service %s/%s selects %d workloads, want 1", svc.Namespace, svc.Name, found)
		}
		if headless := svc.Spec.ClusterIP == corev1.ClusterIPNone; headless != strings.HasSuffix(svc.Name, "-pods") {
			t.Errorf("Service %s/%s: headless %v", svc.Namespace, svc.Name, headless)
		}
	}
}

func TestTheGatewaysDeployment(t *testing.T) {
	objects, err := mustLoad(t, platform).Manifests("registry.test/standin:1")
	if err != nil {
		t.Fatal(err)
	}
	deployments := only[*appsv1.Deployment](objects)
	at := slices.IndexFunc(deployments, func(d *appsv1.Deployment) bool { return d.Name == "llm-gateway" })
	if at < 0 {
		t.Fatal("there is none")
	}
	d := deployments[at]
	c := d.Spec.Template.Spec.Containers[0]
	want := []string{"--profile=litellm", "--call=vllm/chat@model.ai.svc:8000", "--call=qdrant/search@vector-db.data.svc:6333"}
	if !slices.Equal(c.Args, want) {
		t.Errorf("args %q, want %q", c.Args, want)
	}
	if c.Image != "registry.test/standin:1" || c.ImagePullPolicy != corev1.PullIfNotPresent || *d.Spec.Replicas != 2 {
		t.Errorf("image %s, pulled %s, %d replicas", c.Image, c.ImagePullPolicy, *d.Spec.Replicas)
	}
	get := c.ReadinessProbe.HTTPGet
	if get == nil || get.Path != "/health/liveliness" || get.Port.IntVal != 4000 {
		t.Errorf("readiness %+v: it must not depend on what the gateway calls", get)
	}
	if d.Spec.Template.Labels["app"] != "llm-gateway" || *d.Spec.Template.Spec.AutomountServiceAccountToken {
		t.Errorf("labels %v, token mounted %v", d.Spec.Template.Labels, *d.Spec.Template.Spec.AutomountServiceAccountToken)
	}
}

func only[T client.Object](objects []client.Object) []T {
	var some []T
	for _, o := range objects {
		if typed, ok := o.(T); ok {
			some = append(some, typed)
		}
	}
	return some
}
