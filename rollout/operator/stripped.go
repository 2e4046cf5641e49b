package operator

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// CacheOptions keep of the whole cluster what a rollout reads: ten thousand pods with all
// that others wrote into them take more memory than the controller may have. Of policies
// everything is kept, because who wrote which field is evidence.
func CacheOptions() cache.Options {
	fields := cache.ByObject{Transform: cache.TransformStripManagedFields()}
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}:                {Transform: stripPod},
		&corev1.Namespace{}:          fields,
		&corev1.Service{}:            fields,
		&discoveryv1.EndpointSlice{}: fields,
	}}
}

// stripPod takes away what nobody asks of the pods of others. Those of a run are kept
// whole, because each is compared with what was made.
func stripPod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil // the last known state of one that was deleted: it came through here before
	}
	pod.ManagedFields = nil
	if pod.Labels[v1alpha1.LabelRole] != "" {
		return pod, nil
	}
	pod.Spec.Volumes = nil
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			c.Command, c.Args, c.Env, c.EnvFrom, c.VolumeMounts = nil, nil, nil, nil, nil
		}
	}
	return pod, nil
}
