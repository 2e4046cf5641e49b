package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/repair"
)

// Addition is a rule to add to a policy, or a whole policy to add.
type Addition struct {
	Policy string `json:"policy"` // namespace/name
	New    bool   `json:"new"`    // the policy is not there yet
	Field  string `json:"field"`  // spec.egress or spec.ingress; empty for a new policy
	Where  string `json:"where"`  // file:line of the policy; empty for a new one, and a cluster's
	YAML   string `json:"yaml"`   // the list item, or the whole policy

	spec verdict.Policy // as it then is
}

// next says what to do, and what to add. Suggestions are judged: one that does
// not allow the connection is not made.
func (x *explainer) next() (string, []Addition) {
	switch x.verdict.Decision {
	case verdict.Allow:
		if x.onOwnNode() {
			return "Nothing needs to be done. No policy can close it.", []Addition{}
		}
		return "Nothing needs to be done. To close it, take the rule away that lets it through, or add a policy for the pod where there is none.", []Addition{}
	case verdict.Unknown:
		if len(x.states) > 0 {
			return strings.TrimSpace(strings.Join(x.states, " ") + " " + x.guess()), []Addition{}
		}
		return "The policies alone do not tell. Ask the cluster itself: connect from the pod, or roll out with a path that says what must work.", []Addition{}
	}
	r := x.repair()
	additions := []Addition{}
	for _, a := range r.Additions {
		ns, name, _ := strings.Cut(a.Policy, "/")
		one := Addition{Policy: a.Policy, New: a.New, Field: a.Field(), YAML: a.YAML, spec: verdict.Policy{Namespace: ns, Name: name, Spec: a.Spec}}
		if !a.New {
			one.Where = x.set.Where("NetworkPolicy", ns, name, a.Field()).String()
		}
		additions = append(additions, one)
	}
	besides := ":"
	if len(r.Besides) > 0 {
		besides = fmt.Sprintf(", but it also allows %s, because no label tells those pods apart:", listed(firstOf(r.Besides), ""))
	}
	switch len(additions) {
	case 0:
		return r.Why, additions
	case 1:
		return "If it should be allowed, this is enough" + besides, additions
	}
	return "If it should be allowed, both of these are needed, because each end has policies of its own" + besides, additions
}

// onOwnNode reports whether the connection is one between a pod and its node.
func (x *explainer) onOwnNode() bool {
	own := func(pod *verdict.Pod, node string) bool { return pod != nil && node != "" && pod.Node == node }
	return own(x.conn.From.Pod, x.conn.To.Node) || own(x.conn.To.Pod, x.conn.From.Node)
}

func (x *explainer) repair() repair.Repair {
	return repair.Of(x.set.World, x.conn, repair.Options{Pods: x.set.Pods, Workload: x.workload, Fixed: x.fixed})
}

// firstOf are the first three, and how many there are besides.
func firstOf(all []string) []string {
	if more := len(all) - 3; more > 0 {
		return append(slices.Clone(all[:3]), fmt.Sprintf("%d more", more))
	}
	return all
}

// owner is the workload that a pod is of; nil: it is not one of the set's.
func (x *explainer) owner(p *verdict.Pod) *manifest.Workload {
	if x.owners == nil {
		x.owners = map[string]*manifest.Workload{}
		for i := range x.set.Workloads {
			for _, pod := range x.set.Workloads[i].Pods {
				x.owners[x.set.Pods[pod].Key()] = &x.set.Workloads[i]
			}
		}
	}
	return x.owners[p.Key()]
}

func (x *explainer) workload(p *verdict.Pod) string {
	if w := x.owner(p); w != nil {
		return w.Kind + "/" + w.Namespace + "/" + w.Name
	}
	return p.Key()
}

// fixed are the labels to select a pod by: those that its controller does not
// change.
func (x *explainer) fixed(p *verdict.Pod) map[string]string {
	if w := x.owner(p); w != nil {
		return repair.Fixed(p, w.Unfixed...)
	}
	return repair.Fixed(p)
}
