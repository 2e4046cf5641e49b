package enforcing

import (
	"context"
	"errors"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// dataPlane is a cluster of one node with a network plugin and a DaemonSet that is none.
type dataPlane struct {
	node    *corev1.Node
	plugin  *appsv1.DaemonSet
	config  *corev1.ConfigMap
	logging *appsv1.DaemonSet
}

func newDataPlane() dataPlane {
	set := func(name, path string) *appsv1.DaemonSet {
		d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
		d.Spec.Template.Spec = corev1.PodSpec{
			Containers: []corev1.Container{{Name: "c", Image: name + ":1", Args: []string{"--a"}, EnvFrom: []corev1.EnvFromSource{
				{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}}}},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}}},
		}
		return d
	}
	return dataPlane{
		node:   &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KernelVersion: "6.1"}}},
		plugin: set("cni", "/etc/cni/net.d"), logging: set("logging", "/var/log"),
		config: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "config"}, Data: map[string]string{"mode": "a"}},
	}
}

func (d dataPlane) identity(t *testing.T) v1alpha1.ClusterIdentity {
	t.Helper()
	id, err := Identify(t.Context(), fake.NewClientBuilder().WithObjects(d.node, d.plugin, d.config, d.logging).Build())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAProfileIsVoidOnceTheDataPlaneIsAnother(t *testing.T) {
	before := newDataPlane().identity(t)
	if !reflect.DeepEqual(before.Plugins, []string{"kube-system/cni"}) {
		t.Errorf("plugins %v", before.Plugins)
	}
	for name, tt := range map[string]struct {
		edit func(dataPlane)
		want string
	}{
		"nothing":                   {func(dataPlane) {}, ""},
		"the node is another":       {func(d dataPlane) { d.node.UID = "v" }, v1alpha1.ReasonNodesChanged},
		"the node has a new kernel": {func(d dataPlane) { d.node.Status.NodeInfo.KernelVersion = "6.2" }, v1alpha1.ReasonNodesChanged},
		"the node is labelled":      {func(d dataPlane) { d.node.Labels = map[string]string{"a": "b"} }, ""},
		"the plugin's image":        {func(d dataPlane) { d.plugin.Spec.Template.Spec.Containers[0].Image = "cni:2" }, v1alpha1.ReasonPluginChanged},
		"the plugin's arguments":    {func(d dataPlane) { d.plugin.Spec.Template.Spec.Containers[0].Args = []string{"--b"} }, v1alpha1.ReasonConfigurationChanged},
		"the plugin's ConfigMap":    {func(d dataPlane) { d.config.Data["mode"] = "b" }, v1alpha1.ReasonConfigurationChanged},
		"a label of the ConfigMap":  {func(d dataPlane) { d.config.Labels = map[string]string{"a": "b"} }, ""},
		"what is no plugin":         {func(d dataPlane) { d.logging.Spec.Template.Spec.Containers[0].Image = "logging:2" }, ""},
	} {
		d := newDataPlane()
		tt.edit(d)
		reason, says := Void(before, d.identity(t))
		if reason != tt.want || (says == "") != (tt.want == "") {
			t.Errorf("%s: void for %q (%s), want %q", name, reason, says, tt.want)
		}
	}
	if reason, _ := Void(v1alpha1.ClusterIdentity{}, before); reason == "" {
		t.Error("a profile of no cluster is of this one")
	}
}

// An identity that is not known in full is none.
func TestWhatCannotBeReadHasNoIdentity(t *testing.T) {
	d := newDataPlane()
	for name, f := range map[string]interceptor.Funcs{
		"nodes": {List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("no")
		}},
		"the plugin's ConfigMap": {Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("no")
		}},
	} {
		_, err := Identify(t.Context(), fake.NewClientBuilder().WithObjects(d.node, d.plugin, d.config).WithInterceptorFuncs(f).Build())
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
