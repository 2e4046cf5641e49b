package pods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// noLogs has nothing to say.
type noLogs struct{}

func (noLogs) Follow(context.Context, types.NamespacedName) (io.ReadCloser, error) {
	return nil, errors.New("no log")
}

// watched is one probe pod over an API server in memory, whose admission changes
// what is created as the test wants.
type watched struct {
	*Placer
	t    *testing.T
	api  client.WithWatch
	set  *Set
	spec Spec
	uids int
}

func watchPod(t *testing.T, admission func(*corev1.Pod)) *watched {
	x := &watched{t: t}
	x.api = interceptor.NewClient(fake.NewClientBuilder().WithStatusSubresource(&corev1.Pod{}).Build(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			x.uids++
			o.SetUID(types.UID(fmt.Sprint("uid-", x.uids)))
			if pod, ok := o.(*corev1.Pod); ok && admission != nil {
				admission(pod)
			}
			return c.Create(ctx, o, opts...)
		}})
	x.Placer = &Placer{Owner: writer.Owner{Name: "r-1", UID: "u"}, Write: writer.New(x.api, writer.Options{}), Live: x.api, Logs: noLogs{}}
	x.spec = Spec{
		Name: types.NamespacedName{Namespace: "a", Name: "x"}, Role: "probe", Labels: map[string]string{"app": "x"},
		Marks: map[string]string{v1alpha1.LabelEnforced: "r-1"},
		Plan:  &probes.Plan{Run: "r-1", Interval: time.Second, Timeout: time.Second},
	}
	x.begin()
	return x
}

// begin is what a process knows that has just been started.
func (x *watched) begin() {
	x.set = NewSet(x.t.Context(), func() {})
	x.t.Cleanup(x.set.Close)
	x.set.Listen(noLogs{}, 0, []Spec{x.spec})
}

func (x *watched) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// turn is one look at the pod.
func (x *watched) turn() (bool, error) {
	x.t.Helper()
	pod, err := x.Ensure(x.t.Context(), x.set, x.look(), x.spec)
	return pod != nil, err
}

// run brings the pod up, running its first container.
func (x *watched) run() {
	x.t.Helper()
	for range 4 {
		up, err := x.turn()
		x.must(err)
		if up {
			return
		}
		if x.look() == nil {
			continue // deleted, to be made again
		}
		x.change(func(pod *corev1.Pod) {
			pod.Status.Phase = corev1.PodRunning
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{ContainerID: "c://1"}}
		})
	}
	x.t.Fatalf("the probe pod does not come up: %s", x.set.Spoiled())
}

// look is the pod as it is; nil: it is not there.
func (x *watched) look() *corev1.Pod {
	x.t.Helper()
	var pod corev1.Pod
	err := x.api.Get(x.t.Context(), x.spec.Name, &pod)
	if apierrors.IsNotFound(err) {
		return nil
	}
	x.must(err)
	return &pod
}

func (x *watched) pod() *corev1.Pod {
	x.t.Helper()
	var pod corev1.Pod
	x.must(x.api.Get(x.t.Context(), x.spec.Name, &pod))
	return &pod
}

func (x *watched) change(edit func(*corev1.Pod)) {
	x.t.Helper()
	pod := x.pod()
	edit(pod)
	status := pod.Status
	x.must(x.api.Update(x.t.Context(), pod))
	pod.Status = status
	x.must(x.api.Status().Update(x.t.Context(), pod))
}

// says makes the agent report, and returns how many attempts count.
func (x *watched) says(seq uint64) int64 {
	now := time.Now()
	line := probes.Line{Seq: seq, Digest: x.spec.Plan.Digest(), From: now, To: now,
		Counts: []probes.Count{{ID: "p0", Last: probes.Reached, Outcomes: map[probes.Outcome]int{probes.Reached: 1}, Since: now.Add(-time.Hour), Newest: now}}}
	x.set.Hear(x.spec.Name, line, now)
	return x.heard()
}

// heard is how many attempts count.
func (x *watched) heard() int64 {
	st, _ := x.set.State(x.spec.Name, "p0")
	return st.Attempts
}

func TestAdmissionMayAddWhatDoesNotSpeakForAProbe(t *testing.T) {
	for _, tt := range []struct {
		name  string
		admit func(*corev1.Pod)
		want  string // part of the refusal; empty: accepted
	}{
		{"nothing", nil, ""},
		{"resources, as a LimitRanger", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: {}}
		}, ""},
		{"priority, tolerations and pull secrets", func(p *corev1.Pod) {
			p.Spec.PriorityClassName, p.Spec.Tolerations = "x", []corev1.Toleration{{Key: "x"}}
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "x"}}
		}, ""},
		{"a security context, as OpenShift and Autopilot", func(p *corev1.Pod) {
			p.Spec.SecurityContext.RunAsUser, p.Spec.SecurityContext.FSGroup = nil, new(int64)
			p.Spec.Containers[0].SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
		}, ""},
		{"annotations and a label of its own", func(p *corev1.Pod) { p.Annotations["mesh"], p.Labels["policy"] = "x", "y" }, ""},
		{"the default service account", func(p *corev1.Pod) { p.Spec.ServiceAccountName = "default" }, ""},
		{"a sidecar", func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "proxy"}) }, "2 containers"},
		{"an init container", func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "x"}} }, "init container"},
		{"another image", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "forger" }, "image is forger"},
		{"another command", func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"/forger"} }, "command"},
		{"another argument", func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"--plan", "/mine"} }, "arguments"},
		{"a variable", func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "x"}} }, "environment"},
		{"a variable's source", func(p *corev1.Pod) { p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{}} }, "environment"},
		{"another plan's volume", func(p *corev1.Pod) { p.Spec.Volumes[0].ConfigMap.Name = "mine" }, "another volume"},
		{"another mount", func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts[0].SubPath = "x" }, "mounts another"},
		{"the host's network", func(p *corev1.Pod) { p.Spec.HostNetwork = true }, "namespace of the host"},
		{"the host's processes", func(p *corev1.Pod) { p.Spec.HostPID = true }, "namespace of the host"},
		{"a hosts file", func(p *corev1.Pod) {
			p.Spec.HostAliases = []corev1.HostAlias{{IP: "10.6.6.6", Hostnames: []string{"llm-gateway.ai.svc"}}}
		}, "hosts file"},
		{"another service account", func(p *corev1.Pod) { p.Spec.ServiceAccountName = "admin" }, "service account is admin"},
		{"no owner", func(p *corev1.Pod) { p.OwnerReferences = nil }, "owner"},
		{"our label taken off", func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelEnforced) }, "label tightrope.dev/enforced"},
		{"a label of the identity taken off", func(p *corev1.Pod) { delete(p.Labels, "app") }, "label app"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := watchPod(t, tt.admit)
			_, err := x.turn()
			if tt.want == "" {
				x.must(err)
				x.run()
				return
			}
			if !IsRefused(err) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), x.spec.Name.String()) {
				t.Errorf("got %v, want a refusal that names the pod and %q", err, tt.want)
			}
			if x.look() != nil {
				t.Error("the pod runs on")
			}
		})
	}
}

func TestAProbePodThatSomebodyChangedSaysNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(x *watched)
		why  string
	}{
		{"our label", func(x *watched) {
			x.change(func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelEnforced) })
		}, `its label tightrope.dev/enforced was changed from "r-1" to ""`},
		{"the run's label", func(x *watched) { x.change(func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelRun) }) }, "its label tightrope.dev/run was changed"},
		{"a label more", func(x *watched) { x.change(func(p *corev1.Pod) { p.Labels["app2"] = "y" }) }, "its label app2 was changed"},
		{"its owner", func(x *watched) { x.change(func(p *corev1.Pod) { p.OwnerReferences = nil }) }, "its owner was changed"},
		{"its image", func(x *watched) { x.change(func(p *corev1.Pod) { p.Spec.Containers[0].Image = "forger" }) }, "its spec was changed"},
		{"a debugger", func(x *watched) {
			x.change(func(p *corev1.Pod) { p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{}} })
		}, "an ephemeral container was added"},
		{"the whole pod", func(x *watched) {
			pod := x.pod()
			x.must(x.api.Delete(x.t.Context(), pod))
			pod.ResourceVersion, pod.UID = "", ""
			x.must(x.api.Create(x.t.Context(), pod))
		}, "another pod has its name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := watchPod(t, nil)
			x.run()
			if x.says(1) != 1 {
				t.Fatal("what the agent says does not count")
			}
			tt.edit(x)
			up, err := x.turn()
			x.must(err)
			if up || x.says(2) != 0 {
				t.Error("the changed pod still speaks")
			}
			if !strings.Contains(x.set.Spoiled(), tt.why) || !strings.Contains(x.set.Spoiled(), x.spec.Name.String()) {
				t.Errorf("said %q, want the pod and %q", x.set.Spoiled(), tt.why)
			}
			before := x.uids
			x.run()
			if x.uids == before {
				t.Error("the pod was not made again")
			}
			if x.says(3) != 1 {
				t.Error("the pod that was made again is not heard")
			}
		})
	}
}

func TestWhoChangesAProbePodAgainAndAgainIsNamed(t *testing.T) {
	x := watchPod(t, nil)
	var err error
	for n := 0; n <= MaxRemade && err == nil; n++ {
		x.run()
		x.change(func(p *corev1.Pod) { p.Labels["app"] = "other" })
		_, err = x.turn()
	}
	if !IsRefused(err) || !strings.Contains(err.Error(), `its label app was changed from "x" to "other"`) {
		t.Errorf("got %v, want a refusal that names the change", err)
	}
}

func TestARestartedContainerIsLostCoverageAndNoForgery(t *testing.T) {
	x := watchPod(t, nil)
	x.run()
	x.says(1)
	pod := x.pod()
	x.change(func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{ContainerID: "c://2", RestartCount: 1}}
	})
	up, err := x.turn()
	x.must(err)
	if up || x.heard() != 0 {
		t.Error("what was counted before the container was started again still counts")
	}
	x.run()
	if x.pod().UID != pod.UID || x.set.Spoiled() != "" || x.says(1) != 1 {
		t.Errorf("the pod was made again, or is not heard: %q", x.set.Spoiled())
	}
}

// An operator that was started again takes the pods up that it finds, if they are
// as it would make them.
func TestPodsOfTheOperatorBeforeAreTakenUp(t *testing.T) {
	for name, edit := range map[string]func(*corev1.Pod){
		"as made":         func(*corev1.Pod) {},
		"another command": func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"/forger"} },
	} {
		t.Run(name, func(t *testing.T) {
			x := watchPod(t, nil)
			x.run()
			x.change(edit)
			uid := x.pod().UID
			x.begin()
			x.run()
			if same := x.pod().UID == uid; same != (name == "as made") {
				t.Errorf("the pod is the same: %v", same)
			}
		})
	}
}
