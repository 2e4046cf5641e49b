package pods

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// PlanKey is the file of the plan in the volume of an agent, and its key in the ConfigMap.
const PlanKey = "plan.json"

// refusedFor is how long the API server must refuse a pod before that is believed:
// a quota counts what is on its way out, and a namespace may be a moment old.
const refusedFor = 5 * time.Second

// Placer makes, checks and removes the probe pods of one owner.
type Placer struct {
	Owner   writer.Owner
	Write   *writer.Writer
	Live    client.Reader // from the API server
	Logs    LogReader
	Options Options
}

// Ensure makes one probe pod and its plan be there. seen is the pod as a cache
// shows it; nil: it shows none. It returns the pod once it is there as it was
// made, an agent once it runs as well; nil: not yet. A *Refusal says that it
// cannot be.
//
// The ConfigMap of the plan is the pod's controller: a bare pod whose labels match
// a ReplicaSet would be adopted by it.
func (p *Placer) Ensure(ctx context.Context, s *Set, seen *corev1.Pod, spec Spec) (*corev1.Pod, error) {
	digest := spec.digest()
	stored, known := s.plans[spec.Name]
	if seen != nil && known && stored == digest && s.kept(spec.Name).born != nil {
		return p.check(ctx, s, seen, spec, digest)
	}
	cm, err := p.ensurePlan(ctx, spec)
	if err != nil {
		return nil, s.judge(spec.Name, fmt.Errorf("plan of probe pod %s: %w", spec.Name, err))
	}
	s.plans[spec.Name] = digest
	asked := p.pod(spec, cm)
	switch {
	case seen == nil:
		return nil, s.judge(spec.Name, p.make(ctx, s, asked))
	case s.kept(spec.Name).born == nil:
		for _, key := range spec.Own { // as they are now
			delete(asked.Labels, key)
		}
		return nil, p.adopt(ctx, s, asked, seen)
	}
	return p.check(ctx, s, seen, spec, digest)
}

// judge turns an error of the API server into a refusal once it has lasted.
func (s *Set) judge(pod types.NamespacedName, err error) error {
	k := s.kept(pod)
	switch {
	case IsRefused(err):
		return err
	case !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
		k.refusedAt = time.Time{}
	case k.refusedAt.IsZero():
		k.refusedAt = time.Now()
	case time.Since(k.refusedAt) >= refusedFor:
		return refused(pod, err, "the API server refuses probe pod %s: %v", pod, err)
	}
	return err
}

// check returns a pod that is there as it was made, an agent if it runs.
func (p *Placer) check(ctx context.Context, s *Set, pod *corev1.Pod, spec Spec, digest string) (*corev1.Pod, error) {
	if ok, err := p.vouch(ctx, s, pod, spec.Own); err != nil || !ok {
		return nil, err
	}
	switch {
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		s.kept(spec.Name).born = nil
		return nil, p.Remove(ctx, pod)
	case spec.Plan == nil:
		return pod, nil
	case pod.Annotations[v1alpha1.AnnotationPlanDigest] != digest:
		return nil, p.Write.Relabel(ctx, pod, nil, map[string]*string{v1alpha1.AnnotationPlanDigest: &digest})
	case pod.Status.Phase != corev1.PodRunning:
		return nil, nil
	}
	s.welcome(p.Logs, spec.Name)
	return pod, nil
}

// ensurePlan makes the ConfigMap of a probe pod hold its plan, and returns it with
// its UID: it owns the pod.
func (p *Placer) ensurePlan(ctx context.Context, spec Spec) (*corev1.ConfigMap, error) {
	raw := []byte("{}")
	if spec.Plan != nil {
		var err error
		if raw, err = json.Marshal(spec.Plan); err != nil {
			return nil, err
		}
	}
	data := map[string]string{PlanKey: string(raw)}
	cm := &corev1.ConfigMap{}
	err := p.Live.Get(ctx, spec.Name, cm)
	switch {
	case apierrors.IsNotFound(err):
		cm = &corev1.ConfigMap{ObjectMeta: p.Owner.Meta(spec.Name.Namespace, spec.Name.Name, RolePlan), Data: data}
		return cm, p.Write.Create(ctx, cm)
	case err != nil:
		return nil, err
	case !p.Owner.Made(cm):
		return nil, refused(spec.Name, nil, "%v", writer.NotOurs("ConfigMap", cm))
	case maps.Equal(cm.Data, data):
		return cm, nil
	}
	cm.Data = data
	return cm, p.Write.Update(ctx, cm)
}

// Remove deletes that very pod. Its plan stays: the pod may be made again.
func (p *Placer) Remove(ctx context.Context, pod *corev1.Pod) error {
	if err := p.Write.Delete(ctx, pod.DeepCopy()); err != nil {
		return fmt.Errorf("delete probe pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// Waiting says why a pod does not run, in the words of the scheduler or the
// kubelet; empty: nothing says so.
func Waiting(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return cmp.Or(c.Message, c.Reason)
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			if w.Message == "" {
				return w.Reason
			}
			return w.Reason + ": " + w.Message
		}
	}
	return pod.Status.Message
}

// Rehearse has the API server say whether it would take such a pod, without making
// one: quotas, limit ranges, PodSecurity and webhooks are asked.
func (p *Placer) Rehearse(ctx context.Context, spec Spec) error {
	pod := p.pod(spec, &corev1.ConfigMap{})
	pod.OwnerReferences, pod.Spec.Volumes = nil, nil // its plan is not there
	pod.Spec.Containers[0].VolumeMounts = nil
	return p.Write.Rehearse(ctx, pod)
}
