package operator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// verbs of one resource.
type verbs struct {
	group, resource, subresource string
	verbs                        []string
}

// What a run needs, by what it does in a namespace. ClusterRole tightrope-target grants
// all but back, tightrope-reach grants reads, and tightrope-rollback grants back to
// the controller.
var (
	// reads stand for that the account may know what is there. The controller reads for
	// it, and what it says of a run, or refuses, tells of the namespaces that the run is about.
	reads = []verbs{
		{"networking.k8s.io", "networkpolicies", "", []string{"get"}},
		{"", "services", "", []string{"get"}},
		{"", "pods", "", []string{"get"}},
	}
	probing = []verbs{
		{"", "pods", "", []string{"create", "patch", "delete"}},
		{"", "pods", "log", []string{"get"}},
		{"", "configmaps", "", []string{"create", "update"}},
	}
	tightening = []verbs{{"networking.k8s.io", "networkpolicies", "", []string{"create", "update"}}}
	removing   = []verbs{{"networking.k8s.io", "networkpolicies", "", []string{"delete"}}}
	back       = []verbs{
		{"networking.k8s.io", "networkpolicies", "", []string{"create", "update", "patch", "delete"}},
		{"", "pods", "", []string{"patch", "delete"}},
		{"", "configmaps", "", []string{"delete"}},
	}
)

// controllerAccount is whom the controller runs as.
var controllerAccount = types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-controller"}

// demands are the rights that something needs, each once.
type demands map[authorizationv1.ResourceAttributes]bool

// in demands rights in a namespace; in a protected one none helps.
func (d demands) in(namespace string, all ...[]verbs) {
	if slices.Contains(planner.Protected, namespace) {
		return
	}
	d.add(namespace, all...)
}

// add demands rights in a namespace that can be. One that cannot is refused later, as
// one that is not there.
func (d demands) add(namespace string, all ...[]verbs) {
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return
	}
	for _, v := range slices.Concat(all...) {
		for _, verb := range v.verbs {
			d[authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: v.group, Resource: v.resource, Subresource: v.subresource}] = true
		}
	}
}

// forwardDemands are what the account of a rollout must be allowed: to write the
// policies with their markers, to run the probe pods, and to know of the targets.
func forwardDemands(writes writes, suites []v1alpha1.ConnectivitySuite, w *world) demands {
	d := demands{}
	for namespace, removes := range writes {
		d.in(namespace, tightening, probing, reads)
		if removes {
			d.in(namespace, removing)
		}
	}
	for _, suite := range suites {
		for _, id := range suite.Spec.Identities {
			d.in(id.Namespace, probing, reads)
		}
		for _, path := range suite.Spec.Paths {
			if t := path.To.Service; !w.isNameService(t) {
				d.add(t.Namespace, reads)
			}
		}
	}
	return d
}

// backDemands are what the controller itself must be allowed, to take back whatever
// the run does.
func backDemands(writes writes, suites []v1alpha1.ConnectivitySuite) demands {
	d := demands{}
	for namespace := range writes {
		d.in(namespace, back)
	}
	for _, suite := range suites {
		for _, id := range suite.Spec.Identities {
			d.in(id.Namespace, back[1:])
		}
	}
	return d
}

// isNameService reports whether a target is the cluster's DNS, which everybody may ask.
func (w *world) isNameService(t v1alpha1.ServiceTarget) bool {
	svc := w.nameService()
	return svc != nil && svc.Namespace == "kube-system" && t.Namespace == svc.Namespace && t.Name == svc.Name && t.Port == dnsPort
}

// authorise refuses a run of which the rollout's account may not do everything, or
// that the controller could not take back, and reports whether it did not. It names
// what is missing and nothing of what there is: whoever may not read a namespace learns
// nothing of it. So it comes before anything of the cluster is looked at.
func (r *RunReconciler) authorise(ctx context.Context, p *Plan, run *v1alpha1.PolicyRolloutRun, writes writes, suites []v1alpha1.ConnectivitySuite, w *world, no *refusal) (may bool, err error) {
	before := len(no.reasons)
	switch {
	case p.Account != (types.NamespacedName{}):
		if err := r.authoriseAccount(ctx, p, forwardDemands(writes, suites, w), no); err != nil {
			return false, err
		}
	case !r.SingleTenant:
		no.add("rollout %s names no service account: set spec.serviceAccountName to one of namespace %s that you may impersonate; only a single-tenant installation goes without", p.Rollout, run.Namespace)
	}
	lacks, err := shortfalls(ctx, r.rehearsingBack(), backDemands(writes, suites))
	if err != nil {
		return false, fmt.Errorf("ask what the controller may do: %w", err)
	}
	no.addShortfalls(grantee{"the controller", controllerAccount, "tightrope-rollback", ", so no rollback could be promised there"}, lacks)
	return len(no.reasons) == before, nil
}

// authoriseAccount refuses what the account of a rollout may not do.
func (r *RunReconciler) authoriseAccount(ctx context.Context, p *Plan, d demands, no *refusal) error {
	write, err := r.rehearsing(p)
	if err != nil {
		return err
	}
	_, err = write.May(ctx, authorizationv1.ResourceAttributes{Namespace: p.Account.Namespace, Verb: "get", Resource: "services"})
	if apierrors.IsForbidden(err) {
		no.add("the controller may not act as service account %s: %v; a cluster administrator gives namespace %s an account that it may act as, tightrope-rollout, with: tightrope upgrade --tenant %s", p.Account, err, p.Account.Namespace, p.Account.Namespace)
		return nil
	}
	lacks, err := shortfalls(ctx, write, d)
	if err != nil {
		return fmt.Errorf("ask what service account %s may do: %w", p.Account, err)
	}
	no.addShortfalls(grantee{who: "service account " + p.Account.String(), account: p.Account}, lacks)
	return nil
}

// grantee is who lacks rights.
type grantee struct {
	who     string // in words
	account types.NamespacedName
	role    string // that grants what it needs; empty: as each shortfall says
	so      string // what follows from it; may be empty
}

// addShortfalls names in a sentence where rights are missing, and below it which, with
// the commands that grant them. Somebody else may copy these: what stands in them is
// the name of an account or could be that of a namespace.
func (no *refusal) addShortfalls(g grantee, lacks []shortfall) {
	if len(lacks) == 0 {
		return
	}
	var where []string
	for _, lack := range lacks {
		where = append(where, lack.namespace)
		role := cmp.Or(g.role, lack.role)
		no.repairs = append(no.repairs, fmt.Sprintf("# in namespace %s, %s may not %s; who administers it allows that with:\nkubectl -n %s create rolebinding %s-%s --clusterrole=%s --serviceaccount=%s:%s",
			lack.namespace, g.who, strings.Join(lack.rights, ", "), lack.namespace, role, g.account.Namespace, role, g.account.Namespace, g.account.Name))
	}
	no.add("%s may not do everything that this rollout needs in %s%s: what is missing stands below", g.who, namespaces(where), g.so)
}

func namespaces(names []string) string {
	if len(names) == 1 {
		return "namespace " + names[0]
	}
	return "namespaces " + strings.Join(names, ", ")
}

// shortfall is what somebody may not do in a namespace.
type shortfall struct {
	namespace string
	rights    []string // such as "create pods"
	role      string   // that grants them all
}

// shortfalls asks for every right and returns what is missing, by namespace.
func shortfalls(ctx context.Context, write rehearser, d demands) ([]shortfall, error) {
	var mu sync.Mutex
	missing := map[string][]authorizationv1.ResourceAttributes{}
	all := make([]authorizationv1.ResourceAttributes, 0, len(d))
	for want := range d {
		all = append(all, want)
	}
	err := writer.Each(all, func(want authorizationv1.ResourceAttributes) error {
		allowed, err := write.May(ctx, want)
		if err == nil && !allowed {
			mu.Lock()
			defer mu.Unlock()
			missing[want.Namespace] = append(missing[want.Namespace], want)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []shortfall
	for _, namespace := range sortedKeys(missing) {
		out = append(out, shortfallOf(namespace, missing[namespace]))
	}
	return out, nil
}

// shortfallOf puts rights into words, the verbs of one resource together.
func shortfallOf(namespace string, missing []authorizationv1.ResourceAttributes) shortfall {
	role := "tightrope-reach"
	var rights []string
	byResource := map[string][]string{}
	for _, want := range missing {
		resource := want.Resource
		if want.Subresource != "" {
			resource += "/" + want.Subresource
		}
		if want.Group != "" {
			resource += "." + want.Group
		}
		byResource[resource] = append(byResource[resource], want.Verb)
		if want.Verb != "get" || want.Subresource == "log" {
			role = "tightrope-target"
		}
	}
	for _, resource := range sortedKeys(byResource) {
		slices.Sort(byResource[resource])
		rights = append(rights, strings.Join(byResource[resource], "/")+" "+resource)
	}
	return shortfall{namespace, rights, role}
}
