package operator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

// A probe pod lives in a namespace of other people, who may change it, replace it
// or write its log. So what it says counts only while it is, field by field, the
// pod that the API server returned when it was made.

// maxRemade is how often a probe pod is made again because somebody changed it,
// before the run says so and stops trying.
const maxRemade = 3

// keptPod is a probe pod as it was made.
type keptPod struct {
	born      *corev1.Pod // nil: it is to be made again
	container string      // ID of its only container since it first ran; empty: it has not
	doomed    types.UID   // of the one that was deleted to be made again; the cache may still show it
	remade    int
}

// kept is what is known of a probe pod; it is made when first asked for.
func (s *session) kept(name types.NamespacedName) *keptPod {
	if s.pods == nil {
		s.pods = map[types.NamespacedName]*keptPod{}
	}
	k := s.pods[name]
	if k == nil {
		k = &keptPod{}
		s.pods[name] = k
	}
	return k
}

// makePod creates a probe pod and remembers what came of it. One that admission
// gave more than a pod of ours may have is refused, and deleted.
func (r *RunReconciler) makePod(ctx context.Context, s *session, asked *corev1.Pod) error {
	pod := asked.DeepCopy()
	err := r.Write.Create(ctx, pod)
	if apierrors.IsAlreadyExists(err) {
		return nil // the cache does not show it yet, or the one before is not gone yet
	} else if err != nil {
		return fmt.Errorf("create probe pod %s/%s: %w", asked.Namespace, asked.Name, err)
	}
	if why := unlike(asked, pod); why != "" {
		if err := r.deletePod(ctx, pod); err != nil {
			return err
		}
		return &refusal{reasons: []string{fmt.Sprintf("probe pod %s/%s was changed on its way in: %s; exempt pods with the label %s from the webhook that did it", asked.Namespace, asked.Name, why, v1alpha1.LabelRole)}}
	}
	name := client.ObjectKeyFromObject(pod)
	k := s.kept(name)
	k.born, k.container = pod, ""
	s.restarted(name)
	return nil
}

func (r *RunReconciler) deletePod(ctx context.Context, pod *corev1.Pod) error {
	if err := r.Write.Delete(ctx, pod.DeepCopy()); err != nil {
		return fmt.Errorf("delete probe pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// adopt takes up a pod that an operator before this one made: as asked for, or
// else it is made again.
func (r *RunReconciler) adopt(ctx context.Context, s *session, asked, pod *corev1.Pod) error {
	name := client.ObjectKeyFromObject(pod)
	switch why := unlike(asked, pod); {
	case pod.DeletionTimestamp != nil, pod.UID == s.kept(name).doomed:
		return nil
	case !s.plan.key().made(pod):
		return &refusal{reasons: []string{notOurs("pod", pod).Error()}}
	case why != "":
		return r.remake(ctx, s, name, pod, why)
	}
	s.kept(name).born = pod.DeepCopy()
	return nil
}

// vouch reports whether a probe pod is still the one that was made. One that is
// not says nothing any more: what it said is void, and it is made again. own are
// labels that the run itself changes.
func (r *RunReconciler) vouch(ctx context.Context, s *session, pod *corev1.Pod, own ...string) (bool, error) {
	name := client.ObjectKeyFromObject(pod)
	k := s.kept(name)
	if why := changed(k.born, pod, own); why != "" {
		return false, r.remake(ctx, s, name, pod, why)
	}
	if id := containerOf(pod); id != "" && k.container == "" {
		k.container = id
	} else if id != "" && id != k.container {
		k.container = id
		s.restarted(name)
		return false, nil
	}
	return true, nil
}

// remake voids what a pod said and deletes it, so that a later pass makes it
// again. Somebody who does it again and again is named.
func (r *RunReconciler) remake(ctx context.Context, s *session, name types.NamespacedName, pod *corev1.Pod, why string) error {
	k := s.kept(name)
	ours := k.born != nil && k.born.UID == pod.UID || s.plan.key().made(pod)
	k.born, k.container, k.doomed = nil, "", pod.UID
	k.remade++
	s.void(name)
	s.spoiled = fmt.Sprintf("probe pod %s was changed and made again %d times, the last time because %s", name, k.remade, why)
	if !ours {
		return &refusal{reasons: []string{notOurs("pod", pod).Error()}}
	}
	if err := r.deletePod(ctx, pod); err != nil {
		return err
	}
	if k.remade > maxRemade {
		return &refusal{reasons: []string{s.spoiled + ": nothing it says can be believed; find who writes pods in that namespace"}}
	}
	return nil
}

// void forgets what an agent said, and hears nothing more of it until welcome.
func (s *session) void(agent types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.voided == nil {
		s.voided = map[types.NamespacedName]bool{}
	}
	s.voided[agent] = true
	s.anew(agent)
}

// restarted forgets what an agent said before its container was started again:
// what it saw in between is lost, and its counts begin anew.
func (s *session) restarted(agent types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anew(agent)
}

// anew gives an agent an empty ledger, which counts from now on. It is called
// with mu held.
func (s *session) anew(agent types.NamespacedName) {
	if a := s.agents[agent]; a != nil {
		a.ledger, a.current, a.judged = probes.NewLedger(a.digest), false, false
		a.ledger.MarkAll(time.Now())
	}
}

// welcome hears an agent again whose pod was made again, from its own log only:
// a follower of the pod before may hold lines of that.
func (s *session) welcome(logs LogReader, agent types.NamespacedName) {
	s.mu.Lock()
	a, was := s.agents[agent], s.voided[agent]
	s.mu.Unlock()
	if !was {
		return
	}
	if a != nil {
		a.follower.close() // without the lock: what it still hears takes it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.voided, agent)
	if a != nil {
		a.follower = follow(s.ctx, logs, agent, func(l probes.Line, at time.Time) { s.hear(agent, l, at) })
	}
}

// unlike says what a pod has that was not asked for, of what could make it
// somebody else's word; empty: nothing. All else, admission may add: resources,
// priority, tolerations, pull secrets, security contexts, annotations, labels.
func unlike(asked, pod *corev1.Pod) string {
	if len(pod.Spec.Containers) != 1 {
		return fmt.Sprintf("it has %d containers instead of one", len(pod.Spec.Containers))
	}
	want, got := &asked.Spec.Containers[0], &pod.Spec.Containers[0]
	for _, f := range []struct {
		what string
		same bool
	}{
		{"it has an init container", len(pod.Spec.InitContainers) == 0},
		{"it has an ephemeral container", len(pod.Spec.EphemeralContainers) == 0},
		{"its image is " + got.Image, got.Image == want.Image},
		{"its command is another", slices.Equal(got.Command, want.Command)},
		{"its arguments are others", slices.Equal(got.Args, want.Args)},
		{"it has environment variables", len(got.Env)+len(got.EnvFrom) == 0},
		{"it has another volume", slices.EqualFunc(pod.Spec.Volumes, asked.Spec.Volumes, sameVolume)},
		{"it mounts another volume", slices.EqualFunc(got.VolumeMounts, want.VolumeMounts, sameMount)},
		{"it is in a namespace of the host", !pod.Spec.HostNetwork && !pod.Spec.HostPID && !pod.Spec.HostIPC},
		{"it has entries in its hosts file", len(pod.Spec.HostAliases) == 0},
		{"its service account is " + pod.Spec.ServiceAccountName, cmp.Or(pod.Spec.ServiceAccountName, "default") == cmp.Or(asked.Spec.ServiceAccountName, "default")},
		{"its owner is another", equality.Semantic.DeepEqual(pod.OwnerReferences, asked.OwnerReferences)},
	} {
		if !f.same {
			return f.what
		}
	}
	for _, key := range slices.Sorted(maps.Keys(asked.Labels)) {
		if pod.Labels[key] != asked.Labels[key] {
			return fmt.Sprintf("its label %s is %q instead of %q", key, pod.Labels[key], asked.Labels[key])
		}
	}
	return ""
}

func sameVolume(got, want corev1.Volume) bool {
	if got.Name != want.Name || got.ConfigMap == nil || want.ConfigMap == nil {
		return false
	}
	return got.ConfigMap.Name == want.ConfigMap.Name && len(got.ConfigMap.Items) == len(want.ConfigMap.Items)
}

func sameMount(got, want corev1.VolumeMount) bool {
	return got.Name == want.Name && got.MountPath == want.MountPath && got.SubPath == want.SubPath && got.SubPathExpr == want.SubPathExpr
}

// changed says in what a pod differs from the one that was made; empty: nothing.
// The scheduler chooses its node, once.
func changed(born, pod *corev1.Pod, own []string) string {
	if pod.UID != born.UID {
		return "another pod has its name"
	}
	if !equality.Semantic.DeepEqual(pod.OwnerReferences, born.OwnerReferences) {
		return "its owner was changed"
	}
	was, is := maps.Clone(born.Labels), maps.Clone(pod.Labels)
	for _, key := range own {
		delete(was, key)
		delete(is, key)
	}
	for _, key := range slices.Sorted(maps.Keys(merged(was, is))) {
		if _, had := was[key]; !had && strings.HasPrefix(key, "topology.kubernetes.io/") {
			continue // the API server copies the node's when the pod is bound to it
		}
		if was[key] != is[key] {
			return fmt.Sprintf("its label %s was changed from %q to %q", key, was[key], is[key])
		}
	}
	spec := pod.Spec.DeepCopy()
	if born.Spec.NodeName == "" {
		spec.NodeName = ""
	}
	if len(spec.EphemeralContainers) > len(born.Spec.EphemeralContainers) {
		return "an ephemeral container was added"
	}
	if !equality.Semantic.DeepEqual(*spec, born.Spec) {
		return "its spec was changed"
	}
	return ""
}

// containerOf is the ID of a pod's only container and of its start; empty: none yet.
func containerOf(pod *corev1.Pod) string {
	if len(pod.Status.ContainerStatuses) != 1 || pod.Status.ContainerStatuses[0].ContainerID == "" {
		return ""
	}
	st := pod.Status.ContainerStatuses[0]
	return fmt.Sprintf("%s/%d", st.ContainerID, st.RestartCount)
}
