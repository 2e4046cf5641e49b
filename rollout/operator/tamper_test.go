package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// watched is one probe pod of a plan over an API server in memory, whose
// admission changes what is created as the test wants.
type watched struct {
	bench
	s    *session
	spec agentSpec
	uids int
}

func watchPod(t *testing.T, admission func(*corev1.Pod)) *watched {
	x := &watched{}
	c := fakeAPI(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		x.uids++
		o.SetUID(types.UID(fmt.Sprint("uid-", x.uids)))
		if pod, ok := o.(*corev1.Pod); ok && admission != nil {
			admission(pod)
		}
		return c.Create(ctx, o, opts...)
	}})
	x.bench = bench{&RunReconciler{Reader: c, Write: writer.New(c, writer.Options{}), Live: c, Logs: noLogs{}, AgentImage: "agent", TwinImage: "twin"}, t, c}
	x.s = newSession(t.Context(), func() {})
	t.Cleanup(x.s.close)
	x.s.plan = aPlan()
	x.s.plan.Interval, x.s.plan.Timeout = time.Second, time.Second
	x.spec = x.s.plan.agent(v1alpha1.Identity{Name: "x", Namespace: "a", Labels: map[string]string{"app": "x"}}, true, nil, nil)
	x.s.listen(noLogs{}, []agentSpec{x.spec})
	return x
}

// turn is one pass over the pod.
func (x *watched) turn() (bool, error) {
	x.t.Helper()
	return x.ensureAgent(x.t.Context(), x.s, x.look(), x.spec)
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
		if x.look().pods[x.spec.name] == nil {
			continue // deleted, to be made again
		}
		x.change(func(pod *corev1.Pod) {
			pod.Status.Phase = corev1.PodRunning
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{ContainerID: "c://1"}}
		})
	}
	x.t.Fatalf("the probe pod does not come up: %s", x.s.spoiled)
}

func (x *watched) pod() *corev1.Pod {
	x.t.Helper()
	var pod corev1.Pod
	x.must(x.api.Get(x.t.Context(), x.spec.name, &pod))
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
	line := probes.Line{Seq: seq, Digest: x.spec.plan.Digest(), From: now, To: now,
		Counts: []probes.Count{{ID: "p0", Last: probes.Reached, Outcomes: map[probes.Outcome]int{probes.Reached: 1}, Since: now.Add(-time.Hour), Newest: now}}}
	x.s.hear(x.spec.name, line, now)
	return x.s.agents[x.spec.name].ledger.State("p0").Attempts
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
			if !errors.As(err, new(*refusal)) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), x.spec.name.String()) {
				t.Errorf("got %v, want a refusal that names the pod and %q", err, tt.want)
			}
			if left := len(x.look().pods); left > 0 {
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
			if !strings.Contains(x.s.spoiled, tt.why) || !strings.Contains(x.s.spoiled, x.spec.name.String()) {
				t.Errorf("said %q, want the pod and %q", x.s.spoiled, tt.why)
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
	for n := 0; n <= maxRemade && err == nil; n++ {
		x.run()
		x.change(func(p *corev1.Pod) { p.Labels["app"] = "other" })
		_, err = x.turn()
	}
	if !errors.As(err, new(*refusal)) || !strings.Contains(err.Error(), `its label app was changed from "x" to "other"`) {
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
	if up || x.s.agents[x.spec.name].ledger.State("p0").Attempts != 0 {
		t.Error("what was counted before the container was started again still counts")
	}
	x.run()
	if x.pod().UID != pod.UID || x.s.spoiled != "" || x.says(1) != 1 {
		t.Errorf("the pod was made again, or is not heard: %q", x.s.spoiled)
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
			x.s.close()
			x.s = newSession(t.Context(), func() {})
			x.s.plan = aPlan()
			x.s.plan.Interval, x.s.plan.Timeout = time.Second, time.Second
			x.run()
			if same := x.pod().UID == uid; same != (name == "as made") {
				t.Errorf("the pod is the same: %v", same)
			}
		})
	}
}

func TestOurLabelsAreNoIdentitys(t *testing.T) {
	no := &refusal{}
	w := &world{}
	w.verdict.Namespaces = map[string]map[string]string{"a": {}}
	(&Plan{Run: "r-1"}).addSuite(&v1alpha1.ConnectivitySuite{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: v1alpha1.ConnectivitySuiteSpec{Identities: []v1alpha1.Identity{
		{Name: controlIdentity, Namespace: "a"}, {Name: "x", Namespace: "a", Labels: map[string]string{v1alpha1.LabelRole: "web", "app": "x"}},
	}}}, w, no)
	if got := no.Error(); len(no.reasons) != 2 || !strings.Contains(got, `identity "tightrope-control" is called like one of Tightrope's own pods`) || !strings.Contains(got, `identity "x" has label tightrope.dev/role`) {
		t.Errorf("refused %q", got)
	}
	id := v1alpha1.Identity{Name: "x", Namespace: "a", Labels: map[string]string{v1alpha1.LabelRole: "web", v1alpha1.LabelRun: "another"}}
	p := aPlan()
	pod := (&RunReconciler{}).agentPod(p.key(), p.agent(id, true, nil, nil), &corev1.ConfigMap{})
	if pod.Labels[v1alpha1.LabelRole] != roleProbe || !p.key().made(pod) {
		t.Errorf("labels %v: the pod hides from its run", pod.Labels)
	}
}

// A probe pod that is made in a step starts long after it was asked for, and policies
// may judge it a little later still. What it says until then proves nothing.
func TestWhatAProbePodSaysAsItStartsProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(t.Context(), func() {})
		defer s.close()
		s.settleTime, s.settledAt = time.Second, time.Now()
		name := types.NamespacedName{Namespace: "a", Name: "client"}
		spec := agentSpec{name: name, plan: probes.Plan{Run: "r-1", Agent: name.String()}}
		s.listen(noLogs{}, []agentSpec{spec})
		time.Sleep(10 * time.Second) // its image is pulled
		seq := uint64(0)
		speak := func() int64 {
			from := time.Now()
			time.Sleep(100 * time.Millisecond)
			seq++
			s.hear(name, probes.Line{Agent: name.String(), Boot: "b", Seq: seq, Digest: spec.plan.Digest(), From: from, To: time.Now(), Counts: []probes.Count{{
				ID: "p", Outcomes: map[probes.Outcome]int{probes.Reached: 1}, Last: probes.Reached, Streak: int(seq), Newest: time.Now(),
			}}}, time.Now())
			s.listen(noLogs{}, []agentSpec{spec})
			return s.agents[name].ledger.State("p").ConnectedSinceMark
		}
		for range 5 {
			if n := speak(); n > 0 {
				t.Fatalf("%d attempts count %d lines after the pod was first heard", n, seq)
			}
		}
		time.Sleep(2 * s.settleTime)
		if speak(); speak() == 0 {
			t.Error("its attempts never count")
		}
	})
}
