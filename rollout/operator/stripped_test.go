package operator

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// What a cache leaves out changes no verdict, and nothing of a pod that a run made.
func TestStrippedPodsAreJudgedAsWhole(t *testing.T) {
	whole := func(labels map[string]string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", Labels: labels, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}},
			Spec: corev1.PodSpec{NodeName: "n", ServiceAccountName: "s", Volumes: []corev1.Volume{{Name: "v"}}, Containers: []corev1.Container{{
				Name: "c", Image: "i", Args: []string{"x"}, Env: []corev1.EnvVar{{Name: "KEY", Value: "secret"}}, VolumeMounts: []corev1.VolumeMount{{Name: "v"}},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}, ReadinessProbe: &corev1.Probe{},
			}}},
			Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}},
		}
	}
	theirs := whole(map[string]string{"app": "x"})
	got, err := stripPod(theirs.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	stripped := got.(*corev1.Pod)
	if !reflect.DeepEqual(verdict.PodOf(theirs), verdict.PodOf(stripped)) {
		t.Errorf("it is judged as %+v, not as %+v", verdict.PodOf(stripped), verdict.PodOf(theirs))
	}
	c := stripped.Spec.Containers[0]
	if len(c.Env)+len(c.Args)+len(c.VolumeMounts)+len(stripped.Spec.Volumes)+len(stripped.ManagedFields) > 0 || c.ReadinessProbe == nil || len(c.Ports) != 1 {
		t.Errorf("kept %+v", stripped)
	}
	ours := whole(map[string]string{v1alpha1.LabelRole: roleProbe})
	got, err = stripPod(ours.DeepCopy())
	if err != nil || !equality.Semantic.DeepEqual(got.(*corev1.Pod).Spec, ours.Spec) {
		t.Errorf("of a probe pod %+v is kept, error %v", got, err)
	}
	for o := range CacheOptions().ByObject {
		if _, policies := o.(*networkingv1.NetworkPolicy); policies {
			t.Error("who wrote a field of a policy is evidence, and would be stripped")
		}
	}
}
