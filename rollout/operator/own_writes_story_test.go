package operator

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
	"github.com/tightrope-dev/tightrope/verdict"
)

// ownHands is the controller's own account, with every right that a single-tenant
// installation gives it in the story's namespace, once admission watches it.
func ownHands(s *story) client.Client {
	s.t.Helper()
	s.create(&rbacv1.RoleBinding{ObjectMeta: s.meta("as-single-tenant"),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "tightrope-target"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: v1alpha1.SystemNamespace, Name: "tightrope-controller"}}})
	c, err := client.New(s.controller, client.Options{Scheme: testScheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, unmarked := range []client.Object{&networkingv1.NetworkPolicy{ObjectMeta: s.meta("unmarked")}, &corev1.ConfigMap{ObjectMeta: s.meta("unmarked")},
		&corev1.Pod{ObjectMeta: s.meta("unmarked"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}}}} {
		said := ""
		for !strings.Contains(said, "Tightrope's controller makes") { // the authorizer and admission watch
			if s.ctx.Err() != nil {
				s.t.Fatalf("the controller may make an unmarked %T: %s", unmarked, said)
			}
			said = ""
			if err := c.Create(s.ctx, unmarked.DeepCopyObject().(client.Object), client.DryRunAll); err != nil {
				said = err.Error()
			}
		}
	}
	return c
}

// attempt is a write of the controller's, and what the API server says to it.
type attempt struct {
	name string
	err  error
	says string // empty: it is allowed
}

func wantSaid(t *testing.T, all []attempt) {
	t.Helper()
	for _, a := range all {
		switch {
		case a.says == "" && a.err != nil:
			t.Errorf("%s is refused: %v", a.name, a.err)
		case a.says != "" && (!apierrors.IsForbidden(a.err) || !strings.Contains(a.err.Error(), a.says)):
			t.Errorf("%s: %v, want it refused with %q", a.name, a.err, a.says)
		}
	}
}

// The controller itself, whatever becomes of its code, writes over nothing but what runs
// made, although its rights reach every policy and pod.
func TestTheControllerItselfWritesOverNothingOfOthers(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 36)
	c := ownHands(s)
	run := writer.Owner{Name: "r-1", UID: "u"}
	all := func(o client.Object, change func()) error {
		key := client.ObjectKeyFromObject(o)
		if err := s.c.client.Get(s.ctx, key, o); err != nil {
			t.Fatal(err)
		}
		change()
		return c.Update(s.ctx, o, client.DryRunAll)
	}
	spec := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}}
	theirs := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("theirs"), Spec: spec}
	theirs.Labels = map[string]string{"team": "a"}
	ours := &networkingv1.NetworkPolicy{ObjectMeta: run.Meta(s.ns, "ours", roleFinal), Spec: spec}
	ours.Labels["team"] = "a"
	unsigned := &networkingv1.NetworkPolicy{ObjectMeta: run.Meta(s.ns, "unsigned", roleBridge), Spec: spec}
	unsigned.Labels = nil // somebody took it off
	settings := &corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"a": "b"}}
	plan := &corev1.ConfigMap{ObjectMeta: run.Meta(s.ns, "plan", roleProbe)}
	borrowed := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("borrowed"), Spec: spec}
	noteOn(borrowed)
	for _, o := range []client.Object{theirs, ours, unsigned, borrowed, settings, plan} {
		s.create(o)
	}
	var rev int
	made := func(meta metav1.ObjectMeta) error {
		rev++
		return c.Create(s.ctx, &networkingv1.NetworkPolicy{ObjectMeta: meta, Spec: spec}, client.DryRunAll)
	}
	noUID := run.Meta(s.ns, "no-uid", roleBridge)
	noUID.Annotations = nil
	wantSaid(t, []attempt{
		{"a policy of a run", made(run.Meta(s.ns, "new", roleBridge)), ""},
		{"a policy of no run", made(s.meta("new")), "makes policies and ConfigMaps that are marked as a run's"},
		{"a policy of a run without its UID", made(noUID), "makes policies and ConfigMaps that are marked as a run's"},
		{"another spec of its own policy", all(ours, func() { ours.Spec.PodSelector = metav1.LabelSelector{} }), ""},
		{"its mark put back", all(unsigned, func() { unsigned.Labels = map[string]string{v1alpha1.LabelRun: "r-1"} }), ""},
		{"a label of others on its own policy", all(ours, func() { ours.Labels["team"] = "b" }), "changes labels under tightrope.dev"},
		{"a label of others taken off", all(ours, func() { delete(ours.Labels, "team") }), "changes labels under tightrope.dev"},
		{"a policy handed over", all(ours, func() { delete(ours.Labels, v1alpha1.LabelRun) }), ""},
		{"a policy handed over with another spec", all(ours, func() {
			delete(ours.Labels, v1alpha1.LabelRun)
			ours.Spec.PodSelector = metav1.LabelSelector{}
		}), "hands a policy over as it is"},
		{"another spec of their policy", all(theirs, func() { theirs.Spec.PodSelector = metav1.LabelSelector{} }), "changes and deletes policies and ConfigMaps that a run made"},
		{"its mark on their policy", all(theirs, func() { theirs.Labels[v1alpha1.LabelRun] = "r-1" }), "changes and deletes policies and ConfigMaps that a run made"},
		{"their policy, which it notes how to give back, selecting fewer pods", all(theirs, func() {
			noteOn(theirs)
			theirs.Spec.PodSelector = rollout.OriginalSelector(theirs.Spec.PodSelector, rollout.Unenforced, "r-1")
		}), ""},
		{"their policy, noted, with other rules", all(theirs, func() {
			noteOn(theirs)
			theirs.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		}), "changes and deletes policies and ConfigMaps that a run made, or that it noted how to give back"},
		{"their policy, labelled without a note", all(theirs, func() {
			theirs.Labels[v1alpha1.LabelOriginal] = "r-1"
			theirs.Spec.PodSelector = rollout.MatchNothing()
		}), "changes and deletes policies and ConfigMaps that a run made, or that it noted how to give back"},
		{"a borrowed policy with the candidate's rules", all(borrowed, func() { borrowed.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} }), ""},
		{"a label of others on a borrowed policy", all(borrowed, func() { borrowed.Labels["team"] = "b" }), ""},
		{"a borrowed policy given back", all(borrowed, func() { delete(borrowed.Labels, v1alpha1.LabelOriginal) }), ""},
		{"a borrowed policy given back as another", all(borrowed, func() {
			delete(borrowed.Labels, v1alpha1.LabelOriginal)
			borrowed.Spec.PodSelector = metav1.LabelSelector{}
		}), "hands a policy over as it is"},
		{"a borrowed policy that goes", c.Delete(s.ctx, borrowed, client.DryRunAll), ""},
		{"their policy deleted", c.Delete(s.ctx, theirs, client.DryRunAll), "changes and deletes policies and ConfigMaps that a run made"},
		{"its policy deleted", c.Delete(s.ctx, ours, client.DryRunAll), ""},
		{"their ConfigMap", all(settings, func() { settings.Data["a"] = "c" }), "changes and deletes policies and ConfigMaps that a run made"},
		{"their ConfigMap deleted", c.Delete(s.ctx, settings, client.DryRunAll), "changes and deletes policies and ConfigMaps that a run made"},
		{"its plan", all(plan, func() { plan.Data = map[string]string{"a": "c"} }), ""},
		{"its plan deleted", c.Delete(s.ctx, plan, client.DryRunAll), ""},
	})
	if rev != 3 {
		t.Fatalf("%d policies were tried", rev)
	}
}

// Where there are tenants, only a rollout's account takes a policy of others into a run:
// the controller may rehearse the way back, and no more.
func TestWhereThereAreTenantsTheControllerBorrowsNothingItself(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 36)
	ownHands(s) // admission watches by then
	c, err := client.New(s.controller, client.Options{Scheme: testScheme()})
	s.must(err)
	s.must(s.c.client.Delete(s.ctx, &rbacv1.RoleBinding{ObjectMeta: s.meta("as-single-tenant")}))
	theirs := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("theirs"), Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}}}
	s.create(theirs)
	noteOn(theirs)
	if err := c.Update(s.ctx, theirs.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the rehearsal is refused: %v", err)
	}
	for s.ctx.Err() == nil { // the authorizer watches: for a moment the right is still there
		err := c.Update(s.ctx, theirs.DeepCopy())
		if err == nil {
			s.must(s.c.client.Delete(s.ctx, theirs.DeepCopy()))
			theirs.ResourceVersion, theirs.UID, theirs.Labels, theirs.Annotations = "", "", nil, nil
			s.create(theirs)
			noteOn(theirs)
			continue
		}
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "changes and deletes policies and ConfigMaps that a run made") {
			t.Errorf("it says %v", err)
		}
		return
	}
	t.Error("the controller may take a policy of a tenant into a run")
}

// noteOn writes on a policy of others what a run r-1 that changes it does.
func noteOn(np *networkingv1.NetworkPolicy) {
	o := Original{Policy: plan.Policy(verdict.PolicyOf(np.DeepCopy())), UID: np.UID}
	x := o.wish(rollout.Unenforced, runKey{Name: "r-1", UID: "u"})
	x.have = np
	noted := x.noted()
	np.Labels, np.Annotations = noted.Labels, noted.Annotations
}

// Nor may it change a pod of others but by its own labels, or make one that could do
// anything.
func TestTheControllerItselfMakesProbePodsOnly(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 36)
	c := ownHands(s)
	name := types.NamespacedName{Namespace: s.ns, Name: "tightrope-r-1-x-front-0"}
	placer := &pods.Placer{Owner: writer.Owner{Name: "r-1", UID: "u"}, Write: writer.New(c, writer.Options{}), Live: s.c.client, Logs: s.c.plane}
	set := newSession(s.ctx, func() {})
	t.Cleanup(set.close)
	if _, err := placer.Ensure(s.ctx, set.pods, nil, pods.Spec{Name: name, Role: roleProbe, Plan: &probes.Plan{}}); err != nil {
		t.Fatalf("a probe pod: %v", err)
	}
	probe := &corev1.Pod{}
	if err := s.c.client.Get(s.ctx, name, probe); err != nil {
		t.Fatal(err)
	}
	made := func(change func(*corev1.Pod)) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: probe.Namespace, Name: probe.Name + "x", Labels: probe.Labels, Annotations: probe.Annotations}, Spec: *probe.Spec.DeepCopy()}
		pod.Spec.Volumes[0].ConfigMap.Name = pod.Name
		pod.Spec.NodeName = ""
		change(pod)
		return c.Create(s.ctx, pod, client.DryRunAll)
	}
	first := func(change func(*corev1.Container)) error {
		return made(func(p *corev1.Pod) { change(&p.Spec.Containers[0]) })
	}
	const image, token, shape, context = "makes pods of one container, with image", "no token, and no volume but the ConfigMap of its own name", "no command, environment", "the restricted security context"
	wantSaid(t, []attempt{
		{"another like it", made(func(*corev1.Pod) {}), ""},
		{"of no run", made(func(p *corev1.Pod) { p.Labels = map[string]string{"app": "x"} }), "makes pods that are marked as a run's"},
		{"another image", first(func(c *corev1.Container) { c.Image = "evil" }), image},
		{"two containers", made(func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "b", Image: "none"})
		}), image},
		{"an init container", made(func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "b", Image: "none"}} }), image},
		{"a command", first(func(c *corev1.Container) { c.Command = []string{"sh"} }), shape},
		{"a variable", first(func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }), shape},
		{"a port of the host", first(func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}} }), shape},
		{"a token", made(func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = nil }), token},
		{"a Secret", made(func(p *corev1.Pod) {
			p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}
		}), token},
		{"a ConfigMap of others", made(func(p *corev1.Pod) { p.Spec.Volumes[0].ConfigMap.Name = "settings" }), token},
		{"the host's network", made(func(p *corev1.Pod) { p.Spec.HostNetwork = true }), context},
		{"root", made(func(p *corev1.Pod) { p.Spec.SecurityContext.RunAsNonRoot = nil }), context},
		{"privileges", first(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)} }), context},
		{"a capability", first(func(c *corev1.Container) { c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_RAW"} }), context},
		{"a file system to write to", first(func(c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = nil }), context},
	})

	patched := func(patch string) error {
		pod := &corev1.Pod{ObjectMeta: s.meta("client")}
		return c.Patch(s.ctx, pod, client.RawPatch(types.StrategicMergePatchType, []byte(patch)), client.DryRunAll)
	}
	wantSaid(t, []attempt{
		{"its label", patched(`{"metadata":{"labels":{"tightrope.dev/enforced":"r-1"}}}`), ""},
		{"a mark by which it could delete it", patched(`{"metadata":{"labels":{"tightrope.dev/run":"r-1"}}}`), "puts the labels tightrope.dev/enforced and tightrope.dev/spared on pods of others"},
		{"another such mark", patched(`{"metadata":{"annotations":{"tightrope.dev/run-uid":"u"}}}`), "puts the labels tightrope.dev/enforced and tightrope.dev/spared on pods of others"},
		{"a label of others", patched(`{"metadata":{"labels":{"app":"evil"}}}`), "changes labels and annotations of pods under tightrope.dev"},
		{"a label of others taken off", patched(`{"metadata":{"labels":{"app":null}}}`), "changes labels and annotations of pods under tightrope.dev"},
		{"an annotation of others", patched(`{"metadata":{"annotations":{"a":"b"}}}`), "changes labels and annotations of pods under tightrope.dev"},
		{"another image", patched(`{"spec":{"containers":[{"name":"c","image":"evil"}]}}`), "changes no spec, owner or finalizer"},
		{"a finalizer", patched(`{"metadata":{"finalizers":["a.example/b"]}}`), "changes no spec, owner or finalizer"},
		{"their pod deleted", c.Delete(s.ctx, &corev1.Pod{ObjectMeta: s.meta("client")}, client.DryRunAll), "deletes probe pods, and no others"},
		{"its pod deleted", c.Delete(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: probe.Name}}, client.DryRunAll), ""},
	})
}
