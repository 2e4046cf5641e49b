package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

const (
	// look is how often what is awaited is looked at: it spreads over several kinds,
	// and is over in seconds.
	look = 200 * time.Millisecond
	// refusedFor is how long the cluster must go on refusing pods before that is
	// final: a service account that was made a moment ago is refused, too.
	refusedFor = 5 * time.Second
)

// errTimeout is why waiting ended that took too long.
var errTimeout = errors.New("it took too long (--timeout)")

// await looks until done. What is waited for is told when it changes.
func (i *installer) await(ctx context.Context, done func(context.Context) (waitingFor string, err error)) error {
	var told string
	err := wait.PollUntilContextCancel(ctx, look, true, func(ctx context.Context) (bool, error) {
		waitingFor, err := done(ctx)
		if waitingFor != "" && waitingFor != told {
			i.say("waiting: %s", waitingFor)
			told = waitingFor
		}
		return waitingFor == "", err
	})
	if ctx.Err() != nil {
		return fmt.Errorf("%w; it was waiting: %s", context.Cause(ctx), told)
	}
	return err
}

// established waits until the API server serves the CRDs.
func (i *installer) established(ctx context.Context) error {
	return i.await(ctx, func(ctx context.Context) (string, error) {
		for _, want := range i.crds {
			state, err := i.state(ctx, want)
			if err != nil || state.Status != status.CurrentStatus {
				return fmt.Sprintf("%s: %s", Title(want), state.Message), err
			}
		}
		err := i.c.List(ctx, &v1alpha1.PolicyRolloutRunList{}, client.Limit(1))
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return "the API server does not list the new kinds yet", nil // discovery lags behind the condition
		}
		return "", err
	})
}

// state is what kstatus says of an object that was applied.
func (i *installer) state(ctx context.Context, o *unstructured.Unstructured) (status.Result, error) {
	now, err := i.get(ctx, o)
	if err != nil {
		return status.Result{}, err
	}
	if now == nil {
		return status.Result{}, fmt.Errorf("%s is gone: somebody deletes it", Title(o))
	}
	got, err := status.Compute(now)
	if err != nil {
		return status.Result{}, fmt.Errorf("state of %s: %w", Title(o), err)
	}
	return *got, nil
}

// ready waits until the controller runs and answers its readiness probe. It does not
// wait for what will not come: an image that cannot be pulled, a pod that is refused.
func (i *installer) ready(ctx context.Context) error {
	d := &unstructured.Unstructured{}
	d.SetAPIVersion("apps/v1")
	d.SetKind("Deployment")
	d.SetNamespace(v1alpha1.SystemNamespace)
	d.SetName(controllerName)
	return i.await(ctx, func(ctx context.Context) (string, error) {
		state, err := i.state(ctx, d)
		if err != nil {
			return "", err
		}
		if err := i.replaced(ctx, d); err != nil {
			return "", err
		}
		if state.Status == status.CurrentStatus {
			return "", nil
		}
		if err := i.hindered(ctx, d); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s: %s", Title(d), state.Message), nil
	})
}

// replaced says that the Deployment runs something else than what was applied: somebody
// else installs, too.
func (i *installer) replaced(ctx context.Context, d *unstructured.Unstructured) error {
	if i.applied == nil {
		return nil
	}
	now, err := i.get(ctx, d)
	if err != nil || now == nil {
		return err
	}
	if is, want := imageOf(now), imageOf(i.applied); is != want {
		return fmt.Errorf("%w: somebody else has changed %s meanwhile: it runs %s, and not %s", ErrConflict, Title(d), is, want)
	}
	return nil
}

func imageOf(deployment *unstructured.Unstructured) string {
	pod, err := podOf(deployment)
	if err != nil || len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Image
}

// hindered says what keeps the Deployment's pods from running for good.
func (i *installer) hindered(ctx context.Context, d *unstructured.Unstructured) error {
	now, err := i.get(ctx, d)
	if err != nil || now == nil {
		return err
	}
	if why := refusedPods(now, time.Now()); why != "" {
		return fmt.Errorf("the cluster does not take the controller's pod: %s", why)
	}
	var pods corev1.PodList
	err = i.c.List(ctx, &pods, client.InNamespace(v1alpha1.SystemNamespace), client.MatchingLabels{"app.kubernetes.io/name": controllerName})
	if err != nil {
		return fmt.Errorf("list the controller's pods: %w", err)
	}
	for _, p := range pods.Items {
		if why := stuck(&p); why != "" && p.DeletionTimestamp == nil && i.current(&p) {
			return fmt.Errorf("the controller's pod %s/%s does not start: %s", p.Namespace, p.Name, why)
		}
	}
	return nil
}

// current reports whether the pod runs the image that is being installed: the one
// of the version before may be in trouble, which is why somebody upgrades.
func (i *installer) current(p *corev1.Pod) bool {
	want := i.Deploy.Controller
	if i.applied != nil {
		want = imageOf(i.applied)
	}
	return want == "" || len(p.Spec.Containers) > 0 && p.Spec.Containers[0].Image == want
}

// refusedPods is the API server's reason for refusing the Deployment's pods; empty:
// it does not, or not for long.
func refusedPods(deployment *unstructured.Unstructured, now time.Time) string {
	conditions, _, _ := unstructured.NestedSlice(deployment.Object, "status", "conditions")
	for _, raw := range conditions {
		c, _ := raw.(map[string]any)
		if c["type"] != "ReplicaFailure" || c["status"] != "True" {
			continue
		}
		at, _ := c["lastTransitionTime"].(string)
		since, err := time.Parse(time.RFC3339, at)
		message, _ := c["message"].(string)
		if err == nil && now.Sub(since) >= refusedFor {
			return message
		}
	}
	return ""
}

// stuck says why a container of the pod will not run; empty: it may still.
func stuck(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		w := c.State.Waiting
		if w == nil {
			continue
		}
		switch w.Reason {
		case "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
			return fmt.Sprintf("image %s cannot be pulled (%s: %s); %s", c.Image, w.Reason, w.Message, pullAdvice(c.Image))
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return fmt.Sprintf("%s: %s", w.Reason, w.Message)
		case "CrashLoopBackOff":
			return fmt.Sprintf("it ends at once, again and again%s; see kubectl -n %s logs %s --previous", lastWords(c), p.Namespace, p.Name)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable &&
			time.Since(c.LastTransitionTime.Time) >= unschedulableFor {
			return "no node takes it: " + c.Message
		}
	}
	return ""
}

// pullAdvice says what to do about an image that cannot be pulled.
func pullAdvice(image string) string {
	if strings.HasPrefix(image, ourPrefix) {
		return "no registry serves this name: push the images to yours (tightrope images push --to REGISTRY/PREFIX), and add --registry REGISTRY/PREFIX"
	}
	return "is the registry reached from the nodes, and does it need --image-pull-secret?"
}

// unschedulableFor is how long no node may take a pod before that is final: a cluster
// that adds nodes when they are needed takes a minute or two.
const unschedulableFor = 2 * time.Minute

func lastWords(c corev1.ContainerStatus) string {
	t := c.LastTerminationState.Terminated
	if t == nil {
		return ""
	}
	words := strings.TrimSpace(t.Message)
	if words != "" {
		words = ": " + words
	}
	return fmt.Sprintf(" (exit code %d%s, %s)", t.ExitCode, words, metav1.NewTime(t.FinishedAt.Time).Format(time.RFC3339))
}
