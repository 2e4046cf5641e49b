package enforcing

import (
	"context"
	"errors"
	"fmt"
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
	api := fake.NewClientBuilder().WithObjects(d.node, d.plugin, d.config, d.logging).Build()
	plugins, err := FindPlugins(t.Context(), api, PluginNamespaces)
	if err != nil {
		t.Fatal(err)
	}
	id, err := Identify(t.Context(), api, plugins)
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
		"the plugin's DaemonSet": {Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			if _, ok := o.(*appsv1.DaemonSet); ok {
				return errors.New("no")
			}
			return c.Get(ctx, key, o, options...)
		}},
		"the plugin's ConfigMap": {Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			if _, ok := o.(*corev1.ConfigMap); ok {
				return errors.New("no")
			}
			return c.Get(ctx, key, o, options...)
		}},
	} {
		id, err := Identify(t.Context(), fake.NewClientBuilder().WithObjects(d.node, d.plugin, d.config).WithInterceptorFuncs(f).Build(), []string{"kube-system/cni"})
		if err == nil || id.Nodes != "" {
			t.Errorf("%s: %v, %+v", name, err, id)
		}
	}
	for _, plugin := range []string{"cni", "/cni", "kube-system/", ""} {
		if _, err := Identify(t.Context(), fake.NewClientBuilder().WithObjects(d.node).Build(), []string{plugin}); err == nil {
			t.Errorf("%q is no DaemonSet, and has an identity", plugin)
		}
	}
}

// Whoever may make DaemonSets in a namespace of his own is not asked what the cluster is.
func TestATenantsDaemonSetIsNoPlugin(t *testing.T) {
	d := newDataPlane()
	theirs := d.plugin.DeepCopy()
	theirs.Namespace, theirs.ResourceVersion = "tenant", ""
	var asked []string
	api := fake.NewClientBuilder().WithObjects(d.node, d.plugin, d.config, theirs).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			asked = append(asked, key.String())
			return c.Get(ctx, key, o, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if o := new(client.ListOptions).ApplyOptions(options); o.Limit == 0 || o.Namespace == "tenant" {
				t.Errorf("%T of namespace %q is listed, at most %d at a time", list, o.Namespace, o.Limit)
			} else if _, sets := list.(*appsv1.DaemonSetList); sets && o.Namespace == "" {
				t.Error("DaemonSets of all namespaces are listed")
			}
			return c.List(ctx, list, options...)
		},
	}).Build()
	plugins, err := FindPlugins(t.Context(), api, PluginNamespaces)
	if err != nil || !reflect.DeepEqual(plugins, []string{"kube-system/cni"}) {
		t.Errorf("%v, %v", plugins, err)
	}
	if _, err := Identify(t.Context(), api, plugins); err != nil || !reflect.DeepEqual(asked, []string{"kube-system/cni", "kube-system/config"}) {
		t.Errorf("%v, and read are %v", err, asked)
	}
	if elsewhere, err := FindPlugins(t.Context(), fake.NewClientBuilder().WithObjects(theirs).Build(), []string{"tenant", "tenant"}); err != nil || !reflect.DeepEqual(elsewhere, []string{"tenant/cni"}) {
		t.Errorf("where it was said that a plugin is: %v, %v", elsewhere, err)
	}
}

// A profile names its plugins. One that is gone is a change, and one that was not there
// is not seen.
func TestOnlyTheNamedPluginsAreIdentified(t *testing.T) {
	d := newDataPlane()
	before := d.identity(t)
	gone, err := Identify(t.Context(), fake.NewClientBuilder().WithObjects(d.node, d.config).Build(), before.Plugins)
	if err != nil {
		t.Fatal(err)
	}
	if reason, _ := Void(before, gone); reason != v1alpha1.ReasonPluginChanged {
		t.Errorf("the plugin is gone: void for %q", reason)
	}
	more := d.plugin.DeepCopy()
	more.Name, more.ResourceVersion = "cni-2", ""
	after, err := Identify(t.Context(), fake.NewClientBuilder().WithObjects(d.node, d.plugin, d.config, more).Build(), before.Plugins)
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("%+v, %v; want %+v", after, err, before)
	}
}

func TestWhatIsReadOfPluginsHasBounds(t *testing.T) {
	d := newDataPlane()
	gets := 0
	api := func() client.Client {
		return fake.NewClientBuilder().WithObjects(d.node, d.plugin).WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
				gets++
				return c.Get(ctx, key, o, options...)
			}}).Build()
	}
	for i := range maxConfigMaps {
		d.plugin.Spec.Template.Spec.Containers[0].EnvFrom = append(d.plugin.Spec.Template.Spec.Containers[0].EnvFrom, corev1.EnvFromSource{
			ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprint("more-", i)}}})
	}
	if _, err := Identify(t.Context(), api(), []string{"kube-system/cni"}); err == nil || gets != 1 {
		t.Errorf("a plugin of %d ConfigMaps: %v after %d reads", maxConfigMaps+1, err, gets)
	}
	gets = 0
	if _, err := Identify(t.Context(), api(), make([]string, maxPlugins+1)); err == nil || gets > 0 {
		t.Errorf("%d plugins: %v after %d reads", maxPlugins+1, err, gets)
	}
	var sets []client.Object
	for i := range maxPlugins + 1 {
		set := newDataPlane().plugin
		set.Name = fmt.Sprint("cni-", i)
		sets = append(sets, set)
	}
	if _, err := FindPlugins(t.Context(), fake.NewClientBuilder().WithObjects(sets...).Build(), PluginNamespaces); err == nil {
		t.Errorf("%d DaemonSets look like plugins, and no error", len(sets))
	}
}

func TestAllPagesAreRead(t *testing.T) {
	var asked []string
	api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			token := new(client.ListOptions).ApplyOptions(options).Continue
			asked = append(asked, token)
			if nodes := list.(*corev1.NodeList); token == "" {
				nodes.Items, nodes.Continue = []corev1.Node{*newDataPlane().node}, "next"
			} else { // as a decoder does, it leaves alone what is not written
				nodes.Items = append(nodes.Items, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "m"}})
			}
			return nil
		}}).Build()
	two, err := Identify(t.Context(), api, nil)
	one := newDataPlane().identity(t)
	if err != nil || !reflect.DeepEqual(asked, []string{"", "next"}) || two.Nodes == one.Nodes {
		t.Errorf("%v, asked %q, and the second page has no say: %v", err, asked, two.Nodes == one.Nodes)
	}
}
