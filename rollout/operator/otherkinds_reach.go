package operator

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fields are an object, or a part of one, as JSON.
type fields = map[string]any

var (
	onlyEgress     = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	bothDirections = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
)

// readers say whom a policy of a known kind may select, given its whole object. A
// kind without a reader may select everyone.
var readers = map[schema.GroupKind]func(fields) []reach{
	{Group: "cilium.io", Kind: "CiliumNetworkPolicy"}:            ciliumReaches,
	{Group: "cilium.io", Kind: "CiliumClusterwideNetworkPolicy"}: ciliumReaches,

	{Group: "crd.projectcalico.org", Kind: "NetworkPolicy"}:       calicoReaches,
	{Group: "crd.projectcalico.org", Kind: "GlobalNetworkPolicy"}: calicoReaches,
	{Group: calicoServed, Kind: "NetworkPolicy"}:                  calicoReaches,
	{Group: calicoServed, Kind: "GlobalNetworkPolicy"}:            calicoReaches,

	{Group: "policy.networking.k8s.io", Kind: "AdminNetworkPolicy"}:         subjectReaches,
	{Group: "policy.networking.k8s.io", Kind: "BaselineAdminNetworkPolicy"}: subjectReaches,
	{Group: "policy.networking.k8s.io", Kind: "ClusterNetworkPolicy"}:       subjectReaches,

	{Group: "networking.k8s.aws", Kind: "ClusterNetworkPolicy"}:     subjectReaches,
	{Group: "networking.k8s.aws", Kind: "ApplicationNetworkPolicy"}: podSelectorReaches,

	{Group: "networking.gke.io", Kind: "FQDNNetworkPolicy"}: fqdnReaches,

	{Group: "crd.antrea.io", Kind: "NetworkPolicy"}:        antreaReaches,
	{Group: "crd.antrea.io", Kind: "ClusterNetworkPolicy"}: antreaReaches,

	{Group: "k8s.ovn.org", Kind: "EgressFirewall"}:               namespaceEgress,
	{Group: "network.openshift.io", Kind: "EgressNetworkPolicy"}: namespaceEgress,
}

// readPolicy reads an object of a kind.
func readPolicy(kind otherKind, o *unstructured.Unstructured) otherPolicy {
	return otherPolicy{kind, o.GetNamespace(), o.GetName(), reachesOf(kind, o)}
}

// reachesOf lists whom a policy may select.
func reachesOf(kind otherKind, o *unstructured.Unstructured) []reach {
	if derived(kind, o.GetName()) {
		return nil
	}
	if read := readers[schema.GroupKind{Group: kind.Group, Kind: kind.kind}]; read != nil {
		return read(o.Object)
	}
	return []reach{{directions: bothDirections}}
}

// calicoServed is the API group of Calico's own API server; what it stores is in
// crd.projectcalico.org.
const calicoServed = "projectcalico.org"

// calicoDerived are names that Calico's API server gives to what it lists of other
// kinds: those are read as what they are.
var calicoDerived = []string{"knp.default.", "kanp.adminnetworkpolicy.", "kbanp.baselineadminnetworkpolicy.", "kcnp."}

func derived(kind otherKind, name string) bool {
	return kind.Group == calicoServed && slices.ContainsFunc(calicoDerived, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// ciliumReaches reads spec and specs. A rule decides in the directions that it has
// a section for, an empty one included, or that it sets to default deny. One that
// turns default deny off is no exception: what it redirects to a proxy it still
// decides about.
func ciliumReaches(object fields) []reach {
	rules := listAt(object, "specs")
	if spec, ok := object["spec"].(fields); ok {
		rules = append(rules, spec)
	}
	var all []reach
	for _, rule := range rules {
		if _, endpoints := rule["endpointSelector"]; !endpoints && rule["nodeSelector"] != nil {
			continue // of nodes, not of pods
		}
		byDefault, _ := rule["enableDefaultDeny"].(fields)
		r := reach{directions: directionsWhere(func(d string) bool {
			return has(rule, d) || has(rule, d+"Deny") || byDefault[d] == true
		})}
		r.namespaces, r.pods = ciliumSelectors(selectorAt(rule, "endpointSelector"))
		all = append(all, r)
	}
	if len(all) == 0 && len(rules) == 0 {
		return []reach{{directions: bothDirections}}
	}
	return all
}

// Labels by which Cilium knows an endpoint's namespace.
const (
	ciliumNamespace      = "io.kubernetes.pod.namespace"
	ciliumNamespaceLabel = "io.cilium.k8s.namespace.labels."
)

// ciliumSelectors splits an endpointSelector into one of namespaces and one of
// pods. Left out, so that the rest is wider: labels of other sources than
// Kubernetes, and NotIn and DoesNotExist of labels, because Cilium may be told to
// leave a label out of identities, and then every pod lacks it.
func ciliumSelectors(endpoints metav1.LabelSelector) (namespaces, pods metav1.LabelSelector) {
	all := slices.Clone(endpoints.MatchExpressions)
	for key, value := range endpoints.MatchLabels {
		all = append(all, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}})
	}
	for _, r := range all {
		if source, key, ok := strings.Cut(r.Key, ":"); ok {
			if source != "k8s" && source != "any" {
				continue
			}
			r.Key = key
		}
		negative := r.Operator == metav1.LabelSelectorOpNotIn || r.Operator == metav1.LabelSelectorOpDoesNotExist
		label, ofNamespace := strings.CutPrefix(r.Key, ciliumNamespaceLabel)
		switch {
		case r.Key == ciliumNamespace: // part of every identity
			r.Key = labelNamespace
			namespaces.MatchExpressions = append(namespaces.MatchExpressions, r)
		case negative, !ofNamespace && strings.HasPrefix(r.Key, "io.cilium."):
		case ofNamespace:
			r.Key = label
			namespaces.MatchExpressions = append(namespaces.MatchExpressions, r)
		default:
			pods.MatchExpressions = append(pods.MatchExpressions, r)
		}
	}
	return namespaces, pods
}

// calicoReaches reads the types. Selectors are expressions of Calico's own and are
// not read: they may select everyone. A tier closes nothing for a pod that none of
// its policies selects, so tiers need not be read.
func calicoReaches(object fields) []reach {
	return []reach{{directions: typesAt(object, "types")}}
}

// subjectReaches reads a policy of a tier: it decides nothing in a direction that
// it has no rule for.
func subjectReaches(object fields) []reach {
	spec, _ := object["spec"].(fields)
	r := reach{directions: ruledDirections(spec)}
	subject, _ := spec["subject"].(fields)
	pods, _ := subject["pods"].(fields)
	switch {
	case len(subject) != 1: // not understood
	case pods != nil:
		r.namespaces, r.pods = selectorAt(pods, "namespaceSelector"), selectorAt(pods, "podSelector")
	default:
		r.namespaces = selectorAt(subject, "namespaces")
	}
	return []reach{r}
}

// podSelectorReaches reads what is written like a NetworkPolicy.
func podSelectorReaches(object fields) []reach {
	spec, _ := object["spec"].(fields)
	return []reach{{directions: typesAt(object, "policyTypes"), pods: selectorAt(spec, "podSelector")}}
}

func fqdnReaches(object fields) []reach {
	spec, _ := object["spec"].(fields)
	return []reach{{directions: onlyEgress, pods: selectorAt(spec, "podSelector")}}
}

func namespaceEgress(fields) []reach { return []reach{{directions: onlyEgress}} }

// antreaReaches reads appliedTo. Groups, service accounts, and rules with an
// appliedTo of their own may select everyone.
func antreaReaches(object fields) []reach {
	spec, _ := object["spec"].(fields)
	directions := ruledDirections(spec)
	var all []reach
	for _, to := range listAt(spec, "appliedTo") {
		r := reach{directions: directions}
		if hasOnly(to, "podSelector", "namespaceSelector") {
			r.namespaces, r.pods = selectorAt(to, "namespaceSelector"), selectorAt(to, "podSelector")
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return []reach{{directions: directions}}
	}
	return all
}

func has(part fields, key string) bool { _, ok := part[key]; return ok }

func hasOnly(part fields, keys ...string) bool {
	for key := range part {
		if !slices.Contains(keys, key) {
			return false
		}
	}
	return true
}

// listAt returns the objects of a list; nil: there is no such list.
func listAt(part fields, key string) []fields {
	list, _ := part[key].([]any)
	var all []fields
	for _, item := range list {
		one, _ := item.(fields)
		all = append(all, one)
	}
	return all
}

// selectorAt reads a label selector; one that is missing, or is none, selects
// everything.
func selectorAt(part fields, key string) metav1.LabelSelector {
	var sel metav1.LabelSelector
	raw, _ := part[key].(fields)
	if runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &sel) != nil {
		return metav1.LabelSelector{}
	}
	return sel
}

// directionsWhere lists the directions, named as sections of a policy are.
func directionsWhere(is func(section string) bool) []networkingv1.PolicyType {
	return slices.DeleteFunc(slices.Clone(bothDirections), func(d networkingv1.PolicyType) bool { return !is(strings.ToLower(string(d))) })
}

func ruledDirections(spec fields) []networkingv1.PolicyType {
	return directionsWhere(func(section string) bool {
		rules, list := spec[section].([]any)
		return has(spec, section) && (!list || len(rules) > 0)
	})
}

// typesAt reads the directions that a policy states; both if it states none.
func typesAt(object fields, key string) []networkingv1.PolicyType {
	spec, _ := object["spec"].(fields)
	stated, _ := spec[key].([]any)
	if len(stated) == 0 {
		return bothDirections
	}
	return directionsWhere(func(section string) bool {
		return slices.ContainsFunc(stated, func(t any) bool { s, _ := t.(string); return strings.EqualFold(s, section) })
	})
}
