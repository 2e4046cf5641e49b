package pods

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// MaxRemade is how often a probe pod is made again because somebody changed it,
// before that is a refusal.
const MaxRemade = 3

// keptPod is a probe pod as it was made.
type keptPod struct {
	born      *corev1.Pod // nil: it is to be made again
	same      string      // resourceVersion of the newest state that was seen to be as it was made; empty: none
	container string      // ID of its only container since it first ran; empty: it has not
	doomed    types.UID   // of the one that was deleted to be made again; the cache may still show it
	remade    int
	refusedAt time.Time // since when the API server refuses it; zero: it does not
}

// kept is what is known of a probe pod; it is made when first asked for.
func (s *Set) kept(name types.NamespacedName) *keptPod {
	k := s.pods[name]
	if k == nil {
		k = &keptPod{}
		s.pods[name] = k
	}
	return k
}

// make creates a probe pod and remembers what came of it. One that admission gave
// more than a pod of ours may have is refused, and deleted.
func (p *Placer) make(ctx context.Context, s *Set, asked *corev1.Pod) error {
	name, pod := client.ObjectKeyFromObject(asked), asked.DeepCopy()
	err := p.Write.Create(ctx, pod)
	if apierrors.IsAlreadyExists(err) {
		return nil // the cache does not show it yet, or the one before is not gone yet
	} else if err != nil {
		return fmt.Errorf("create probe pod %s: %w", name, err)
	}
	if why := unlike(asked, pod); why != "" {
		if err := p.Remove(ctx, pod); err != nil {
			return err
		}
		return refused(name, nil, "probe pod %s was changed on its way in: %s; exempt pods with the label %s from the webhook that did it", name, why, v1alpha1.LabelRole)
	}
	k := s.kept(name)
	k.born, k.container = pod, ""
	s.restarted(name)
	return nil
}

// adopt takes up a pod that another process made before: as asked for, or else it
// is made again.
func (p *Placer) adopt(ctx context.Context, s *Set, asked, pod *corev1.Pod) error {
	name := client.ObjectKeyFromObject(pod)
	switch why := unlike(asked, pod); {
	case pod.DeletionTimestamp != nil, pod.UID == s.kept(name).doomed:
		return nil
	case !p.Owner.Made(pod):
		return refused(name, nil, "%v", writer.NotOurs("pod", pod))
	case why != "":
		return p.remake(ctx, s, pod, why)
	}
	s.kept(name).born = pod.DeepCopy()
	return nil
}

// vouch reports whether a probe pod is still the one that was made. One that is
// not says nothing any more: what it said is void, and it is made again. own are
// labels that the owner itself changes.
func (p *Placer) vouch(ctx context.Context, s *Set, pod *corev1.Pod, own []string) (bool, error) {
	name := client.ObjectKeyFromObject(pod)
	k := s.kept(name)
	if k.same == "" || k.same != pod.ResourceVersion || k.born.UID != pod.UID { // to compare specs in every pass is most of what a quiet run would cost
		if why := changed(k.born, pod, own); why != "" {
			return false, p.remake(ctx, s, pod, why)
		}
		k.same = pod.ResourceVersion
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

// remake voids what a pod said and deletes it, so that Ensure makes it again.
// Somebody who does it again and again is named.
func (p *Placer) remake(ctx context.Context, s *Set, pod *corev1.Pod, why string) error {
	name := client.ObjectKeyFromObject(pod)
	k := s.kept(name)
	ours := k.born != nil && k.born.UID == pod.UID || p.Owner.Made(pod)
	k.born, k.same, k.container, k.doomed = nil, "", "", pod.UID
	k.remade++
	s.void(name)
	s.spoiled = fmt.Sprintf("probe pod %s was changed and made again %d times, the last time because %s", name, k.remade, why)
	if !ours {
		return refused(name, nil, "%v", writer.NotOurs("pod", pod))
	}
	if err := p.Remove(ctx, pod); err != nil {
		return err
	}
	if k.remade > MaxRemade {
		return refused(name, nil, "%s: nothing it says can be believed; find who writes pods in that namespace", s.spoiled)
	}
	return nil
}

// void forgets what an agent said, and hears nothing more of it until welcome.
func (s *Set) void(agent types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.voided[agent] = true
	s.anew(agent)
}

// restarted forgets what an agent said before its container was started again:
// what it saw in between is lost, and its counts begin anew.
func (s *Set) restarted(agent types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anew(agent)
}

// anew gives an agent an empty ledger, which counts from now on. What the agent had not
// said yet is missing: a line at least, if it was heard at all. It is called with mu held.
func (s *Set) anew(agent types.NamespacedName) {
	if a := s.agents[agent]; a != nil {
		a.missing += a.ledger.Gaps()
		if a.current {
			a.missing++
		}
		a.ledger, a.current, a.judged = probes.NewLedger(a.digest), false, false
		a.ledger.MarkAll(time.Now())
	}
}

// welcome hears an agent again whose pod was made again, from its own log only:
// a follower of the pod before may hold lines of that.
func (s *Set) welcome(logs LogReader, agent types.NamespacedName) {
	s.mu.Lock()
	a, was := s.agents[agent], s.voided[agent]
	s.mu.Unlock()
	if !was {
		return
	}
	if a != nil {
		a.follower.Close() // without the lock: what it still hears takes it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.voided, agent)
	if a != nil {
		a.follower = s.follow(logs, agent)
	}
}
