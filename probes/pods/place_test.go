package pods

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// A namespace with a quota, a limit range or PodSecurity admission must have
// nothing to object to, and nothing in the cluster must notice the pod.
func TestAProbePodIsAModestGuest(t *testing.T) {
	x := watchPod(t, nil)
	_, err := x.turn()
	x.must(err)
	pod := x.look()
	c := pod.Spec.Containers[0]
	for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
		if list.Cpu().IsZero() || list.Memory().IsZero() {
			t.Errorf("resources %+v: a quota refuses a pod that does not say what it needs", c.Resources)
		}
	}
	if p := c.ReadinessProbe; p == nil || p.InitialDelaySeconds != math.MaxInt32 || p.TCPSocket == nil {
		t.Errorf("readiness probe %+v: the kubelet must have one and never run it", p)
	}
	if len(pod.Spec.ReadinessGates) != 1 || pod.Spec.ReadinessGates[0].ConditionType != readinessGate {
		t.Errorf("readiness gates %+v", pod.Spec.ReadinessGates)
	}
	if s := c.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.Capabilities.Drop[0] != "ALL" ||
		!*pod.Spec.SecurityContext.RunAsNonRoot || pod.Spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("security contexts %+v, %+v", s, pod.Spec.SecurityContext)
	}
	if *pod.Spec.AutomountServiceAccountToken || *pod.Spec.EnableServiceLinks {
		t.Error("it has a token, or is told of the namespace's Services")
	}
	var cm corev1.ConfigMap
	x.must(x.api.Get(t.Context(), x.spec.Name, &cm))
	if owner := pod.OwnerReferences[0]; owner.UID != cm.UID || !*owner.Controller || !x.Owner.Made(&cm) {
		t.Errorf("owner %+v: a bare pod is adopted by a ReplicaSet with such labels", owner)
	}
}

func TestOptionsReachThePod(t *testing.T) {
	x := watchPod(t, nil)
	toleration := corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists}
	x.Options = Options{
		AgentImage: "reg/agent", TwinImage: "reg/twin", PullSecrets: []string{"reg"}, NodeSelector: map[string]string{"os": "linux"},
		Tolerations: []corev1.Toleration{toleration}, Lifetime: 90 * time.Second,
		Resources: &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("7m")}},
	}
	cm := &corev1.ConfigMap{}
	agent, twin, bound := x.spec, x.spec, x.spec
	twin.Plan, bound.Node = nil, "n"
	a, b, c := x.Placer.pod(agent, cm), x.Placer.pod(twin, cm), x.Placer.pod(bound, cm)
	if a.Spec.Containers[0].Image != "reg/agent" || b.Spec.Containers[0].Image != "reg/twin" || len(b.Spec.Volumes) != 0 {
		t.Errorf("images %s, %s; volumes of the twin %v", a.Spec.Containers[0].Image, b.Spec.Containers[0].Image, b.Spec.Volumes)
	}
	if a.Spec.ImagePullSecrets[0].Name != "reg" || a.Spec.NodeSelector["os"] != "linux" || a.Spec.Tolerations[0] != toleration {
		t.Errorf("%+v", a.Spec)
	}
	if d := a.Spec.ActiveDeadlineSeconds; d == nil || *d != 90 {
		t.Errorf("a pod whose owner was killed lives for %v", d)
	}
	if cpu := a.Spec.Containers[0].Resources.Requests.Cpu(); cpu.MilliValue() != 7 || len(a.Spec.Containers[0].Resources.Limits) != 0 {
		t.Errorf("resources %+v", a.Spec.Containers[0].Resources)
	}
	if c.Spec.NodeName != "n" || c.Spec.NodeSelector != nil || c.Spec.Tolerations[0].Key != "" {
		t.Errorf("a pod of a node must run there whatever its taints: %+v", c.Spec)
	}
}

// What the API server refuses is refused at once, in its own words, and not after
// minutes of trying; what may pass is waited for.
func TestARefusedPodIsToldInTheServersWords(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for _, tt := range []struct {
		name    string
		err     error
		refused bool
	}{
		{"a quota", apierrors.NewForbidden(pods, "x", errors.New("exceeded quota: tight")), true},
		{"a limit range", apierrors.NewForbidden(pods, "x", errors.New("maximum cpu usage per Container is 5m")), true},
		{"an admission webhook", apierrors.NewBadRequest("admission webhook denied the request: no"), true},
		{"a server that is overloaded", apierrors.NewTooManyRequests("later", 1), false},
		{"a webhook that does not answer", apierrors.NewInternalError(errors.New("failed calling webhook")), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				says := tt.err
				c := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
					Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
						if _, pod := o.(*corev1.Pod); pod && says != nil {
							return says
						}
						return c.Create(ctx, o, opts...)
					}})
				p := &Placer{Owner: writer.Owner{Name: "r", UID: "u"}, Write: writer.New(c, writer.Options{}), Live: c, Logs: noLogs{}}
				set := NewSet(t.Context(), func() {})
				defer set.Close()
				spec := Spec{Name: types.NamespacedName{Namespace: "a", Name: "x"}, Plan: &probes.Plan{}}
				ensure := func() error {
					_, err := p.Ensure(t.Context(), set, nil, spec)
					return err
				}
				if err := ensure(); err == nil || IsRefused(err) {
					t.Fatalf("the first refusal, which may be passing: %v", err)
				}
				time.Sleep(refusedFor)
				err := ensure()
				if IsRefused(err) != tt.refused {
					t.Errorf("after %v: %v; want it refused: %v", refusedFor, err, tt.refused)
				}
				if !strings.Contains(err.Error(), tt.err.Error()) || !strings.Contains(err.Error(), "a/x") {
					t.Errorf("%v does not name the pod and what the server said", err)
				}
				says = apierrors.NewTimeoutError("etcd is busy", 1)
				if err := ensure(); IsRefused(err) {
					t.Errorf("another trouble, which passes: %v", err)
				}
				says = tt.err
				if err := ensure(); IsRefused(err) {
					t.Errorf("a refusal that began anew: %v", err)
				}
			})
		})
	}
}

func TestClearTakesEverythingOfTheOwnerAndNothingElse(t *testing.T) {
	ours, others := writer.Owner{Name: "r", UID: "u"}, writer.Owner{Name: "r", UID: "v"}
	named := func(o metav1.ObjectMeta, uid types.UID) metav1.ObjectMeta {
		o.UID = uid
		return o
	}
	c := fake.NewClientBuilder().WithObjects(
		&corev1.Pod{ObjectMeta: named(ours.Meta("a", "p", "probe"), "1")}, &corev1.ConfigMap{ObjectMeta: named(ours.Meta("a", "p", "probe"), "2")},
		&corev1.ConfigMap{ObjectMeta: named(ours.Meta("b", "never-came", "probe"), "3")},
		&corev1.Pod{ObjectMeta: named(others.Meta("a", "q", "probe"), "4")}, &corev1.Pod{ObjectMeta: named(ours.Meta("c", "elsewhere", "probe"), "5")},
	).Build()
	p := &Placer{Owner: ours, Write: writer.New(c, writer.Options{}), Live: c}
	for _, want := range []int{3, 0} {
		if left, err := p.Clear(t.Context(), []string{"a", "b"}); err != nil || left != want {
			t.Errorf("%d left, %v; want %d", left, err, want)
		}
	}
	var list corev1.PodList
	if err := c.List(t.Context(), &list); err != nil || len(list.Items) != 2 {
		t.Errorf("%d pods are left, %v; want those of somebody else and of another namespace", len(list.Items), err)
	}
}

func TestWhyAPodWaits(t *testing.T) {
	waiting := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
	}
	for want, status := range map[string]corev1.PodStatus{
		"": {},
		"0/2 nodes are available": {Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "not ready"},
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/2 nodes are available"}}},
		"ImagePullBackOff: no such image": waiting("ImagePullBackOff", "no such image"),
		"CrashLoopBackOff":                waiting("CrashLoopBackOff", ""),
		"the node was evicted":            {Message: "the node was evicted"},
	} {
		if got := Waiting(&corev1.Pod{Status: status}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := Waiting(&corev1.Pod{Status: waiting("ContainerCreating", "")}); got != "" {
		t.Errorf("a pod that is being made waits for nothing: %q", got)
	}
}

func TestOptionsAreReadAsKubectlReadsThem(t *testing.T) {
	var o Options
	for _, err := range []error{
		o.SetPullSecret("reg"), o.SetNodeSelector("a=b,c=d"), o.SetToleration("gpu=yes:NoSchedule"), o.SetToleration("spot:NoExecute"), o.SetToleration("any"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := Options{PullSecrets: []string{"reg"}, NodeSelector: map[string]string{"a": "b", "c": "d"}, Tolerations: []corev1.Toleration{
		{Key: "gpu", Operator: corev1.TolerationOpEqual, Value: "yes", Effect: corev1.TaintEffectNoSchedule},
		{Key: "spot", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}, {Key: "any", Operator: corev1.TolerationOpExists},
	}}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got %+v", o)
	}
	for _, wrong := range []error{
		o.SetPullSecret("Not A Name"), o.SetPullSecret(""), o.SetNodeSelector("a"), o.SetNodeSelector("a b=c"),
		o.SetToleration(""), o.SetToleration("gpu:Never"), o.SetToleration("=x:NoSchedule"), o.SetToleration("a=b c:NoSchedule"),
	} {
		if wrong == nil {
			t.Error("read what is no name, no label or no taint")
		}
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("what was wrong was kept: %+v", o)
	}
}

func TestAPlanThatChangesReachesTheRunningPod(t *testing.T) {
	x := watchPod(t, nil)
	x.run()
	uid := x.look().UID
	x.spec.Plan = &probes.Plan{Run: "r-1", Interval: 2 * time.Second, Timeout: time.Second}
	x.set.Listen(noLogs{}, 0, []Spec{x.spec})
	for range 2 {
		_, err := x.turn()
		x.must(err)
	}
	var cm corev1.ConfigMap
	x.must(x.api.Get(t.Context(), x.spec.Name, &cm))
	if pod := x.look(); pod.UID != uid || pod.Annotations[v1alpha1.AnnotationPlanDigest] != x.spec.Plan.Digest() || !strings.Contains(cm.Data[PlanKey], "2000000000") {
		t.Errorf("plan %s, annotation %s", cm.Data[PlanKey], pod.Annotations[v1alpha1.AnnotationPlanDigest])
	}
	if up, err := x.turn(); err != nil || !up {
		t.Errorf("%v, %v; want it up", up, err)
	}
}
