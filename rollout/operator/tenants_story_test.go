package operator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

// labelTenant marks the namespaces that the admission policies of an installation with
// tenants are bound to here: the other stories, which share the API server, are not.
const labelTenant = "story.tightrope.dev/tenant"

// aTenant is a story of a namespace that may make rollouts in an installation with
// tenants. Its operator has the controller's rights and no others. minor says how old
// the cluster is taken for.
func aTenant(t *testing.T, minor int) *story {
	t.Helper()
	s := newStory(t)
	objects, err := deploy.Manifests(deploy.Options{Tenants: []string{s.ns}, Minor: minor})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		switch o.GetKind() {
		case "Namespace", "Deployment":
			continue
		case "ValidatingAdmissionPolicyBinding":
			where := map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{labelTenant: "true"}}}
			if err := unstructured.SetNestedMap(o.Object, where, "spec", "matchResources"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.c.client.Apply(s.ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test"), client.ForceOwnership); err != nil {
			t.Fatalf("apply %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	s.label(labelTenant)
	s.controller = s.as(v1alpha1.SystemNamespace, "tightrope-controller")
	return s
}

func (s *story) label(key string) {
	s.t.Helper()
	ns := &corev1.Namespace{}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := s.c.client.Get(s.ctx, client.ObjectKey{Name: s.ns}, ns); err != nil {
			return err
		}
		ns.Labels[key] = "true"
		return s.c.client.Update(s.ctx, ns)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// as connects with a token of a service account.
func (s *story) as(namespace, name string) *rest.Config {
	s.t.Helper()
	kube, err := kubernetes.NewForConfig(s.c.config)
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := kube.CoreV1().ServiceAccounts(namespace).CreateToken(s.ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := rest.AnonymousClientConfig(s.c.config)
	cfg.BearerToken, cfg.QPS = token.Status.Token, -1
	return cfg
}

// person is somebody with these ClusterRoles in the story's namespace, once they are
// in effect.
func (s *story) person(name string, roles ...string) client.Client {
	s.t.Helper()
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta(name)})
	for _, role := range roles {
		s.bind(s.ns, name+"-"+role, role, name)
	}
	c, err := client.New(s.as(s.ns, name), client.Options{Scheme: testScheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	for s.ctx.Err() == nil { // roles are aggregated, and the authorizer watches
		if err := c.Create(s.ctx, s.rollout(s.good()), client.DryRunAll); err == nil || !strings.Contains(err.Error(), "cannot create resource") {
			return c
		}
	}
	s.t.Fatalf("%s never got the rights of %v", name, roles)
	return nil
}

// bind gives an account of the story's namespace a ClusterRole in a namespace.
func (s *story) bind(namespace, name, role, account string) {
	s.t.Helper()
	s.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: account}}})
}

// theirs is a rollout that names the tenant's account.
func (s *story) theirs() *v1alpha1.PolicyRollout {
	ro := s.rollout(s.good())
	ro.Spec.ServiceAccountName = deploy.TenantAccount
	pin(ro, s.suite())
	return ro
}

// pin makes a rollout state the digest of its suite, as it must where there are tenants.
func pin(ro *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
	ro.Spec.Suites[0].Digest = v1alpha1.SuiteSource(suite).Digest
}

// elsewhere is the namespace of another tenant, with a Service.
func (s *story) elsewhere() string {
	s.t.Helper()
	ns := s.ns + "-other"
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	s.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "vault"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	return ns
}

// A tenant's rollout goes all the way although the controller itself may write nothing
// forward there: it is written as the account.
func TestATenantsRolloutIsMadeAsItsAccount(t *testing.T) {
	for name, minor := range map[string]int{"impersonate": 35, "constrained impersonation": 36} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aTenant(t, minor)
			author := s.person("author", "edit")
			s.create(s.suite())
			ro := s.theirs()
			if err := author.Create(s.ctx, ro); err != nil {
				t.Fatalf("the author may not make a rollout: %v", err)
			}
			s.uid = ro.UID
			s.mayNot(v1alpha1.SystemNamespace, "tightrope-controller", "create", "pods")
			s.operate()
			s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
		})
	}
}

// mayNot wants an account not to have a right in the story's namespace.
func (s *story) mayNot(namespace, account, verb, resource string) {
	s.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + namespace + ":" + account,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: s.ns, Verb: verb, Resource: resource},
	}}
	if err := s.c.client.Create(s.ctx, review); err != nil || review.Status.Allowed {
		s.t.Errorf("%s may %s %s in namespace %s: %v, %v", account, verb, resource, s.ns, review.Status.Allowed, err)
	}
}

// What an author may not do himself the API server refuses him to ask for.
func TestTheAPIServerRefusesWhoMayNot(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 36)
	author, operator := s.person("author", "edit"), s.person("operator", "tightrope-operator")
	viewer := s.person("viewer", "edit") // it also has what edit has of our roles
	plain, loose, mapped, foreigner := s.rollout(s.good()), s.theirs(), s.theirs(), s.theirs()
	pin(plain, s.suite())
	loose.Name, loose.Spec.Suites[0].Digest = "loose", ""
	mapped.Name, mapped.Spec.Policies = "mapped", v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "policies"}}
	foreigner.Name, foreigner.Spec.ServiceAccountName = "foreigner", "system:serviceaccount:other:tightrope-rollout"
	if err := author.Create(s.ctx, s.theirs()); err != nil {
		t.Fatal(err)
	}
	made := func(change func(*v1alpha1.PolicyRollout)) *v1alpha1.PolicyRollout {
		ro := &v1alpha1.PolicyRollout{}
		if err := s.c.client.Get(s.ctx, client.ObjectKey{Namespace: s.ns, Name: s.ns}, ro); err != nil {
			t.Fatal(err)
		}
		change(ro)
		return ro
	}
	another := s.theirs()
	another.Name = "another"
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: s.meta("forged"), Spec: v1alpha1.PolicyRolloutRunSpec{RolloutRef: v1alpha1.RolloutRef{Name: s.ns, UID: "x"}, Generation: 1, Attempt: 1}}
	plain.Name = "plain"
	live := s.liveRun("live")
	unbound := func(c client.Client) error {
		now := live.DeepCopy()
		now.Finalizers = nil
		return c.Update(s.ctx, now, client.DryRunAll)
	}
	abroad := s.theirs()
	abroad.Namespace = s.elsewhere()
	for _, tt := range []struct {
		name string
		err  error
		says string // empty: it is allowed
	}{
		{"no account", author.Create(s.ctx, plain), "spec.serviceAccountName is empty"},
		{"an account that he may not impersonate", operator.Create(s.ctx, another), "may not impersonate service account " + s.ns + "/tightrope-rollout"},
		{"another spec for it", operator.Update(s.ctx, made(func(ro *v1alpha1.PolicyRollout) { ro.Spec.ProtectedNamespaces = []string{"x"} })), "may not impersonate"},
		{"a retry of it", operator.Update(s.ctx, made(func(ro *v1alpha1.PolicyRollout) {
			ro.Annotations = map[string]string{v1alpha1.AnnotationRetry: "x"}
		})), "may not impersonate"},
		{"the account taken away", author.Update(s.ctx, made(func(ro *v1alpha1.PolicyRollout) { ro.Spec.ServiceAccountName = "" })), "spec.serviceAccountName is empty"},
		{"an account of another namespace", author.Create(s.ctx, foreigner), "spec.serviceAccountName in body should match"},
		{"a suite that is not pinned", author.Create(s.ctx, loose), "every suite in spec.suites, and spec.policies.configMapRef, must state a digest"},
		{"a ConfigMap that is not pinned", author.Create(s.ctx, mapped), "every suite in spec.suites, and spec.policies.configMapRef, must state a digest"},
		{"the digest taken away", author.Update(s.ctx, made(func(ro *v1alpha1.PolicyRollout) { ro.Spec.Suites[0].Digest = "" })), "must state a digest"},
		{"a rollout in another namespace", author.Create(s.ctx, abroad), "cannot create resource"},
		{"a run that nobody takes back any more", unbound(operator), "may not update policyrolloutruns/finalizers"},
		{"such a run, by who may do everything", unbound(s.asAdmin()), ""},
		{"a run that tries another rollout", operator.Patch(s.ctx, live.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"rolloutRef":{"name":"x"}}}`))), "a run belongs to one rollout for good"},
		{"an abort", operator.Patch(s.ctx, live.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"intent":"Abort"}}`))), ""},
		{"a label", operator.Update(s.ctx, made(func(ro *v1alpha1.PolicyRollout) { ro.Labels = map[string]string{"team": "a"} })), ""},
		{"a run of his own", s.asAdmin().Create(s.ctx, run), "only Tightrope's controller makes runs"},
		{"the status of a rollout", s.asAdmin().Status().Update(s.ctx, made(func(ro *v1alpha1.PolicyRollout) { ro.Status.Phase = v1alpha1.PhaseCommitted })), "only Tightrope's controller makes runs and writes the status"},
		{"a run, without rights", viewer.Create(s.ctx, run.DeepCopy()), "cannot create resource"},
	} {
		switch {
		case tt.says == "" && tt.err != nil:
			t.Errorf("%s is refused: %v", tt.name, tt.err)
		case tt.says != "" && (!apierrors.IsForbidden(tt.err) && !apierrors.IsInvalid(tt.err) || !strings.Contains(tt.err.Error(), tt.says)):
			t.Errorf("%s: %v, want it refused with %q", tt.name, tt.err, tt.says)
		}
	}
}

// liveRun is a run that the controller has taken up.
func (s *story) liveRun(name string) *v1alpha1.PolicyRolloutRun {
	s.t.Helper()
	c, err := client.New(s.controller, client.Options{Scheme: testScheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: s.meta(name), Spec: v1alpha1.PolicyRolloutRunSpec{RolloutRef: v1alpha1.RolloutRef{Name: s.ns, UID: "x"}, Generation: 1, Attempt: 1}}
	run.Finalizers = []string{finalizer}
	if err := c.Create(s.ctx, run); err != nil {
		s.t.Fatal(err)
	}
	return run
}

// asAdmin is somebody who may do everything.
func (s *story) asAdmin() client.Client { return s.c.client }

// A namespace that has let the account in is told of, and rolled out to.
func TestANamespaceOptsInByARoleBinding(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 36)
	other := s.elsewhere()
	s.bind(other, "opt-in", "tightrope-reach", deploy.TenantAccount)
	suite := s.suite()
	suite.Spec.Paths[1].To.Service.Namespace, suite.Spec.Paths[1].To.Service.Name = other, "none"
	ro := s.theirs()
	pin(ro, suite)
	s.beginWith(ro, suite)
	st := s.end()
	if want := fmt.Sprintf("leads to Service %s/none, which does not exist", other); !strings.Contains(st.Message, want) {
		t.Errorf("it says %q, want %q", st.Message, want)
	}
}

// An account that loses its rights in the middle goes no further, and keeps no rollback
// from happening.
func TestALostRightKeepsNoRollbackFromHappening(t *testing.T) {
	lose := func(s *story) {
		rb := &rbacv1.RoleBinding{ObjectMeta: s.meta(deploy.TenantAccount)}
		if err := s.c.client.Delete(s.ctx, rb); err != nil {
			s.t.Fatal(err)
		}
	}
	t.Run("and the run cannot go on", func(t *testing.T) {
		t.Parallel()
		s := aTenant(t, 36)
		ro := s.theirs()
		ro.Spec.InconclusiveDeadline.Duration = 20 * time.Second // the stage before must pass within it on a busy machine
		ro.Spec.Stages[1].MinDuration.Duration = 2 * time.Second
		s.begin(ro)
		s.reach("shadow")
		lose(s)
		st := s.end()
		s.wantEnd(st, v1alpha1.PhaseRolledBack, "Silent", "Inconclusive")
		if !strings.Contains(st.Message, "forbidden") {
			t.Errorf("it does not say what was refused: %q", st.Message)
		}
	})
	t.Run("and somebody aborts", func(t *testing.T) {
		t.Parallel()
		s := aTenant(t, 36)
		ro := s.theirs()
		ro.Spec.Stages[3].MinDuration.Duration = time.Hour
		s.begin(ro)
		s.reach("all")
		lose(s)
		s.abort()
		s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Aborted", "RolledBack")
	})
}
