package manifest

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

func checkRollout(r *v1alpha1.PolicyRollout) strict.Faults {
	f := strict.Faults{}
	policies := r.Spec.Policies
	const at = "spec.policies"
	switch inline, ref := len(policies.Inline) > 0, policies.ConfigMapRef != nil; {
	case inline && ref:
		f.Add(at, "state one of inline and configMapRef, not both")
	case !inline && !ref && len(policies.Remove) == 0:
		f.Add(at, "state inline, configMapRef or remove: there is nothing to roll out")
	}
	if policies.ConfigMapRef != nil && policies.ConfigMapRef.Name == "" {
		f.Add(at+".configMapRef.name", "is missing")
	}
	seen := map[string]bool{}
	for i, p := range policies.Inline {
		at := index(at+".inline", i)
		if len(validation.IsDNS1123Subdomain(p.Name)) > 0 {
			f.Add(at+".name", "%q is not a name of a NetworkPolicy", strict.Show(p.Name))
		}
		if len(validation.IsDNS1123Label(p.Namespace)) > 0 {
			f.Add(at+".namespace", "%q is not the name of a namespace", strict.Show(p.Namespace))
		}
		if k := p.Namespace + "/" + p.Name; seen[k] {
			f.Add(at+".name", "policy %s is listed twice", strict.Show(k))
		} else {
			seen[k] = true
		}
		f = append(f, strict.CheckMarks(at, p.Labels, p.Annotations)...)
		f = append(f, strict.CheckPolicy(at+".spec", p.Spec)...)
	}
	f = append(f, strict.CheckRemove(at+".remove", policies.Remove, func(key string) bool { return seen[key] })...)
	f = append(f, strict.CheckWaves("spec.waves", r.Spec.Waves)...)
	f = append(f, strict.CheckRollbackScope("spec.rollbackScope", r.Spec.RollbackScope)...)
	for i, e := range r.Spec.Exceptions {
		at := index("spec.exceptions", i)
		f = append(f, strict.CheckException(at, e)...)
	}
	return f
}

// checkSuite wants every name in a suite to lead to an identity of it.
func checkSuite(s *v1alpha1.ConnectivitySuite) strict.Faults {
	f := strict.Faults{}
	identities := map[string]bool{}
	for i, id := range s.Spec.Identities {
		at := index("spec.identities", i)
		f.Labels(at+".labels", id.Labels)
		if identities[id.Name] {
			f.Add(at+".name", "identity %q is listed twice", strict.Show(id.Name))
		}
		identities[id.Name] = true
	}
	refer := func(at, name string) {
		if !identities[name] {
			f.Add(at, "there is no identity %q%s", strict.Show(name), strict.DidYouMean(name, slices.Sorted(maps.Keys(identities))))
		}
	}
	for i, p := range s.Spec.Paths {
		at := index("spec.paths", i)
		refer(at+".from", p.From)
		if p.Witness != nil {
			refer(at+".witness.from", p.Witness.From)
		}
		f.Port(at+".to.service.port", p.To.Service.Port)
		if p.Expect != v1alpha1.ExpectAllow && p.Expect != v1alpha1.ExpectDeny {
			f.Add(at+".expect", "%q is not Allow or Deny", strict.Show(string(p.Expect)))
		}
	}
	return f
}

// keepConfigMap remembers where a ConfigMap is. What most of them hold is
// nobody's business, and no fault of theirs is either.
func (r *reading) keepConfigMap(at Source, n *yaml.Node) {
	at.Name, at.Namespace = text(n, "metadata", "name"), text(n, "metadata", "namespace")
	if at.Namespace == "" {
		at.Namespace = r.options.Namespace
	}
	r.maps = append(r.maps, at)
}

// resolveRollouts follows what rollouts refer to. Suites and ConfigMaps are in
// the rollout's namespace.
func (r *reading) resolveRollouts() {
	read := map[string]bool{}
	for _, rollout := range r.raw.rollouts {
		for i, ref := range rollout.Object.Spec.Suites {
			if _, ok := r.sources[key("ConnectivitySuite", rollout.Namespace, ref.Name)]; !ok && r.options.Use.needs("ConnectivitySuite") && r.options.Use != ForApply {
				at := index("spec.suites", i) + ".name"
				r.problem(rollout.Where(at), rollout.subject(), "%s: there is no ConnectivitySuite %s in the input: name the file that has it too",
					at, strict.Show(rollout.Namespace+"/"+ref.Name))
			}
		}
		done := Rollout{Typed: rollout, Candidates: inline(rollout)}
		if ref := rollout.Object.Spec.Policies.ConfigMapRef; ref != nil && (r.options.Use != ForApply || r.configMap(rollout.Namespace, ref.Name) >= 0) {
			if done.Candidates = r.candidates(rollout, ref.Name, read); done.Candidates == nil {
				continue // the fault is told
			}
		}
		r.raw.Rollouts = append(r.raw.Rollouts, done)
	}
	r.skipped["ConfigMap"] += len(r.maps) - len(r.raw.ConfigMaps)
	if r.skipped["ConfigMap"] <= 0 {
		delete(r.skipped, "ConfigMap")
	}
}

// inline are the candidates that stand in the rollout itself.
func inline(rollout Typed[v1alpha1.PolicyRollout]) []Typed[networkingv1.NetworkPolicy] {
	var all []Typed[networkingv1.NetworkPolicy]
	for i, p := range rollout.Object.Spec.Policies.Inline {
		at := rollout.Source
		at.path = at.join(index("spec.policies.inline", i))
		at.APIVersion, at.Kind, at.Namespace, at.Name = networkingv1.SchemeGroupVersion.String(), "NetworkPolicy", p.Namespace, p.Name
		at.Position = at.Where("")
		all = append(all, Typed[networkingv1.NetworkPolicy]{Source: at, Object: p.Manifest()})
	}
	return all
}

// candidates reads the policies in a rollout's ConfigMap: each value is a stream.
func (r *reading) candidates(rollout Typed[v1alpha1.PolicyRollout], name string, read map[string]bool) []Typed[networkingv1.NetworkPolicy] {
	i := r.configMap(rollout.Namespace, name)
	if i < 0 {
		const at = "spec.policies.configMapRef.name"
		r.fault(rollout.Kind, rollout.Where(at), rollout.subject(), "%s: there is no ConfigMap %s in the input: name the file that has it too", at, strict.Show(rollout.Namespace+"/"+name))
		return nil
	}
	source, inner := r.maps[i], newReading(r.options)
	inner.options.Namespace = rollout.Namespace
	if r.options.Use == ForApply {
		inner.options.Use = ForPlan // its policies are part of the rollout
	}
	n := source.Node()
	if !read[key("ConfigMap", source.Namespace, name)] {
		read[key("ConfigMap", source.Namespace, name)] = true
		namespaced(func(r *raw) *[]Typed[corev1.ConfigMap] { return &r.ConfigMaps }, nil)(r, source, n)
	}
	data := field(n, "data")
	for i := 0; data != nil && i+1 < len(data.Content); i += 2 {
		for _, d := range source.document.inside(data.Content[i+1]) {
			inner.document(d, true)
		}
	}
	switch {
	case len(inner.problems) > 0:
	case len(inner.sources)+len(inner.foreign)+len(inner.skipped)+len(inner.maps)+inner.raw.loosely() > len(inner.raw.NetworkPolicies):
		inner.problem(source.Position, source.subject(), "holds other objects than NetworkPolicies, which no rollout rolls out")
	case len(inner.raw.NetworkPolicies) == 0:
		inner.problem(source.Position, source.subject(), "holds no NetworkPolicy for %s to roll out", rollout.subject())
	}
	for _, p := range inner.problems {
		r.fault(rollout.Kind, p.Position, p.Object, "%s", p.Message)
	}
	if len(inner.problems) > 0 {
		return nil
	}
	return inner.raw.NetworkPolicies
}

// configMap is where in maps a ConfigMap is; below 0: it is not in the input.
func (r *reading) configMap(namespace, name string) int {
	return slices.IndexFunc(r.maps, func(s Source) bool { return s.Namespace == namespace && s.Name == name })
}

// inside are the documents in a text that a document holds. Lines are right in
// a literal block (|); elsewhere everything stands where the text begins.
func (d *document) inside(n *yaml.Node) []*document {
	if n.Kind != yaml.ScalarNode {
		return nil
	}
	at := d.position(n)
	literal := n.Style&yaml.LiteralStyle != 0 && !strings.Contains(n.Value, "\r")
	if literal {
		at.Line++ // the block begins below its sign
	}
	all := split(d.file, at.Line, []byte(n.Value))
	for _, one := range all {
		one.embedded = true
		if one.within = !literal; one.within {
			one.line, one.col = at.Line, at.Column
		} else {
			one.indent = indentation(d.text, n.Line)
		}
	}
	return all
}

// indentation is how far a block is indented that begins below a line.
func indentation(text []byte, line int) int {
	for ; line > 0; line-- {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	text = bytes.TrimLeft(text, "\n") // a block may begin with empty lines
	return len(text) - len(bytes.TrimLeft(text, " "))
}
