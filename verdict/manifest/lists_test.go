package manifest

import (
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// TestAClusterReadsLikeItsManifests gives the objects of the good stories as if
// they had been listed.
func TestAClusterReadsLikeItsManifests(t *testing.T) {
	for _, name := range []string{"policies-and-pods", "every-workload", "pods-of-workloads", "foreign-policies"} {
		t.Run(name, func(t *testing.T) {
			story := stories(t, "testdata/good", 8)["testdata/good/"+name+".txtar"]
			r := newReading(Options{})
			for _, f := range story.Files[:len(story.Files)-1] {
				r.parse(f.Name, f.Data, true)
			}
			want, err := r.finish()
			if err != nil {
				t.Fatal(err)
			}
			got := FromLists(listsOf(r))
			if !reflect.DeepEqual(got.World, want.World) {
				t.Errorf("world\n%+v, want\n%+v", got.World, want.World)
			}
			if name == "every-workload" { // a ReplicationController is not listed
				want.Pods = without(want.Pods, "ai/rc-a")
			}
			if !reflect.DeepEqual(got.Pods, want.Pods) {
				t.Errorf("pods\n%+v, want\n%+v", got.Pods, want.Pods)
			}
			for i := range got.Services {
				if !reflect.DeepEqual(got.Services[i].Pods, want.Services[i].Pods) {
					t.Errorf("Service %s: pods %v, want %v", got.Services[i], got.Services[i].Pods, want.Services[i].Pods)
				}
			}
			if _, ok := got.Source("Pod", "ai", "gateway"); !ok && name == "policies-and-pods" {
				t.Error("Pod ai/gateway has no Source")
			}
		})
	}
}

func listsOf(r *reading) Lists {
	l := Lists{
		Namespaces: plain(r.raw.Namespaces), Nodes: plain(r.raw.Nodes), Pods: plain(r.raw.Pods), Services: plain(r.raw.Services),
		NetworkPolicies: plain(r.raw.NetworkPolicies), ClusterPolicies: plain(r.raw.ClusterPolicies),
		Deployments: plain(r.raw.deployments), StatefulSets: plain(r.raw.statefulSets), DaemonSets: plain(r.raw.daemonSets),
		ReplicaSets: plain(r.raw.replicaSets), Jobs: plain(r.raw.jobs), CronJobs: plain(r.raw.cronJobs),
	}
	for _, f := range r.foreign {
		l.Foreign = append(l.Foreign, metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{Kind: f.Kind, APIVersion: f.APIVersion}, ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace, Name: f.Name},
		})
	}
	return l
}

func plain[T any](typed []Typed[T]) []T {
	var all []T
	for _, t := range typed {
		all = append(all, *t.Object)
	}
	return all
}

func without(pods []verdict.Pod, key string) []verdict.Pod {
	var all []verdict.Pod
	for _, p := range pods {
		if p.Key() != key {
			all = append(all, p)
		}
	}
	return all
}

func TestAServicesPortLeadsToThePodsOwn(t *testing.T) {
	pod := verdict.Pod{Ports: []verdict.Port{{Name: "api", Number: 4000, Protocol: corev1.ProtocolTCP}, {Name: "dns", Number: 53, Protocol: corev1.ProtocolUDP}}}
	for _, tt := range []struct {
		name string
		port corev1.ServicePort
		want int32
		ok   bool
	}{
		{"no target is the port itself", corev1.ServicePort{Port: 80}, 80, true},
		{"a number", corev1.ServicePort{Port: 80, TargetPort: intstr.FromInt32(8080)}, 8080, true},
		{"a name", corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("api")}, 4000, true},
		{"a name of another protocol", corev1.ServicePort{Port: 53, TargetPort: intstr.FromString("dns")}, 0, false},
		{"a name of that protocol", corev1.ServicePort{Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromString("dns")}, 53, true},
		{"a name that nobody declares", corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("admin")}, 0, false},
	} {
		if got, ok := servicePort(tt.port).On(&pod); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %d %t, want %d %t", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestPodsThatStandForAWorkloadHaveNamesOfTheirOwn(t *testing.T) {
	one := int32(1)
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "ai", Name: name} }
	set := FromLists(Lists{
		Pods:        []corev1.Pod{{ObjectMeta: meta("web-a")}, {ObjectMeta: meta("web-0")}},
		Deployments: []appsv1.Deployment{{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Replicas: &one}}},
		StatefulSets: []appsv1.StatefulSet{{ObjectMeta: meta("web"), Spec: appsv1.StatefulSetSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}}},
		Jobs: []batchv1.Job{{ObjectMeta: meta("web")}},
	})
	keys := map[string]bool{}
	for _, p := range set.Pods {
		if keys[p.Key()] {
			t.Errorf("two pods %s", p.Key())
		}
		keys[p.Key()] = true
	}
	if len(keys) != 4 { // the StatefulSet cannot make web-0
		t.Errorf("%d pods: %v", len(keys), keys)
	}
}

// TestALongListIsNotReadAgainForEachPlace asks for a place in each of thousands
// of items of one List in YAML. Reading it for each would allocate 50 GB.
func TestALongListIsNotReadAgainForEachPlace(t *testing.T) {
	const items = 3000
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for i := range items {
		b.WriteString("- {apiVersion: v1, kind: Service, metadata: {name: s" + letters(i) + "}, spec: {ports: [{port: 80}], selector: {a: b}}}\n")
	}
	var set *Set
	var err error
	used := allocated(func() { set, err = ReadStream("-", strings.NewReader(b.String()), Options{}) })
	if err != nil {
		t.Fatal(err)
	}
	places := map[int]bool{}
	for _, n := range set.Notes {
		places[n.Line] = true
	}
	if len(places) < items {
		t.Errorf("notes about %d lines, not about each of %d", len(places), items)
	}
	if used > 2<<30 {
		t.Errorf("%d MiB allocated", used>>20)
	}
}
