package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

// Leftover is something that scenarios left on a cluster, and the kubectl command
// that removes it.
type Leftover struct {
	What   string
	Remove []string // arguments of kubectl
}

// Leftovers lists what the scenarios left on a cluster, in the order in which to
// remove it: rollouts first, because the controller tidies up after them, and the
// controller last, unless it was there before them.
func Leftovers(ctx context.Context, cfg *rest.Config, list []*Scenario, installed bool) ([]Leftover, error) {
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	l := leftovers{ctx: ctx, c: c}
	var roots []*Scenario // one of each root
	for _, s := range list {
		l.object(s, s.Rollout())
		if !slices.ContainsFunc(roots, func(r *Scenario) bool { return r.root == s.root }) {
			roots = append(roots, s)
		}
	}
	for _, s := range roots {
		l.object(s, s.Suite())
	}
	for _, s := range roots {
		l.topology(s)
	}
	for _, s := range list {
		l.policies(s)
	}
	for _, s := range roots {
		l.namespaces(s)
	}
	if !installed {
		l.installation()
	}
	return l.list, l.err
}

type leftovers struct {
	ctx  context.Context
	c    client.Client
	list []Leftover
	err  error // the first
}

func (l *leftovers) add(what string, remove ...string) {
	l.list = append(l.list, Leftover{what, remove})
}

func (l *leftovers) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// there keeps those objects that are stored, ours or not, as asked.
func (l *leftovers) there(objects []client.Object, meant func(have client.Object) bool) (found []client.Object) {
	for _, o := range objects {
		have, err := stored(l.ctx, l.c, o)
		l.fail(err)
		if have != nil && meant(have) {
			found = append(found, have)
		}
	}
	return found
}

func whosever(client.Object) bool { return true }

func (l *leftovers) object(s *Scenario, o client.Object) {
	for _, have := range l.there([]client.Object{o}, s.made) {
		kind := have.GetObjectKind().GroupVersionKind().Kind
		l.add(fmt.Sprintf("%s %s/%s", kind, have.GetNamespace(), have.GetName()), "--namespace", have.GetNamespace(), "delete", strings.ToLower(kind), have.GetName())
	}
}

// own are the names of the namespaces that the scenario made, and of those that it
// only uses.
func (l *leftovers) own(s *Scenario) (made, used []string) {
	objects, err := s.Manifests("")
	l.fail(err)
	objects = slices.DeleteFunc(objects, func(o client.Object) bool { return o.GetObjectKind().GroupVersionKind().Kind != "Namespace" })
	for _, o := range l.there(objects, whosever) {
		if s.made(o) {
			made = append(made, o.GetName())
		} else {
			used = append(used, o.GetName())
		}
	}
	return made, used
}

// topology lists what a scenario put into namespaces of others.
func (l *leftovers) topology(s *Scenario) {
	_, used := l.own(s)
	for _, ns := range used {
		l.add("what the scenario put into namespace "+ns, "--namespace", ns, "delete", "deployments,networkpolicies,services,serviceaccounts", "--selector", v1alpha1.LabelScenario+"="+s.root)
	}
}

// policies lists the candidates that are in force where no namespace of the
// scenario's takes them along.
func (l *leftovers) policies(s *Scenario) {
	made, _ := l.own(s)
	for _, p := range s.Rollout().Spec.Policies.Inline {
		if slices.Contains(made, p.Namespace) {
			continue
		}
		committed := func(have client.Object) bool { // a run is called after its rollout
			return strings.HasPrefix(have.GetAnnotations()[v1alpha1.AnnotationCommittedBy], s.Metadata.Name+"-")
		}
		for range l.there([]client.Object{p.Manifest()}, committed) {
			l.add("policy "+policyKey(p), "--namespace", p.Namespace, "delete", "networkpolicy", p.Name)
		}
	}
}

func (l *leftovers) namespaces(s *Scenario) {
	if made, _ := l.own(s); len(made) > 0 {
		l.add("namespaces "+strings.Join(made, ", ")+", with the policies in them", append([]string{"delete", "namespace"}, made...)...)
	}
}

// installation is the CRDs, with every rollout of anybody, and the controller.
func (l *leftovers) installation() {
	objects, err := deploy.CRDs(deploy.Options{})
	l.fail(err)
	rest, err := deploy.Manifests(deploy.Options{SingleTenant: true}) // as a scenario installs it
	l.fail(err)
	byKind := map[string][]string{}
	var kinds []string
	for _, o := range append(objects, rest...) {
		if kind := o.GetKind(); o.GetNamespace() == "" && len(l.there([]client.Object{o}, whosever)) > 0 {
			if byKind[kind] == nil {
				kinds = append(kinds, kind)
			}
			byKind[kind] = append(byKind[kind], o.GetName())
		}
	}
	for _, kind := range kinds {
		what := fmt.Sprintf("%s %s", kind, strings.Join(byKind[kind], ", "))
		if kind == "CustomResourceDefinition" {
			what += ", with every rollout and suite of the cluster"
		}
		l.add(what, append([]string{"delete", strings.ToLower(kind)}, byKind[kind]...)...)
	}
}
