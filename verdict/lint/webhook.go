package lint

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// webhookPorts are where admission webhooks listen: controller-runtime's
// default, and others that are common.
var webhookPorts = []int32{9443, 8443, 10250, 10260}

// webhookForgotten finds what the API server cannot call: it is no pod, so only a
// rule for everyone or for addresses lets it in. Which Services it calls is known
// where the input has what configures that, and guessed by their names where not.
func webhookForgotten(v *view) []draft {
	var drafts []draft
	for _, c := range v.classes {
		if len(v.isolated[c][ingress]) == 0 || c.HostNetwork {
			continue
		}
		for _, called := range v.calledPorts(c) {
			switch {
			case v.letsOutsideIn(c, called.port):
			case len(called.by) > 0:
				drafts = append(drafts, v.calledDraft(c, called))
			default:
				drafts = append(drafts, v.webhookDraft(c, called))
			}
		}
	}
	return drafts
}

// calledPort is a port of a class that the API server calls through a Service.
type calledPort struct {
	port
	service *manifest.Service
	by      []manifest.Callback // empty: it is a guess
}

// calledPorts has each port once; what is known goes before a guess.
func (v *view) calledPorts(c *class) []calledPort {
	var all []calledPort
	for _, s := range c.services {
		calls := v.called[s.Namespace+"/"+s.Name]
		for _, sp := range s.Ports {
			on, ok := sp.On(&c.Pod)
			by := slices.DeleteFunc(slices.Clone(calls), func(cb manifest.Callback) bool { return cb.Port != sp.Port || sp.Protocol != tcp })
			guessed := len(calls) == 0 && soundsLikeWebhook(s) && (sp.Port == 443 || sp.Port == 9443)
			if !ok || len(by) == 0 && !guessed {
				continue
			}
			one := calledPort{port{on, sp.Protocol}, s, by}
			i := slices.IndexFunc(all, func(other calledPort) bool { return other.port == one.port })
			switch {
			case i < 0:
				all = append(all, one)
			case len(all[i].by) == 0:
				all[i] = one
			}
		}
	}
	return all
}

func soundsLikeWebhook(s *manifest.Service) bool {
	return strings.Contains(s.Name, "webhook") || strings.Contains(s.Name, "admission")
}

// letsOutsideIn reports whether some rule lets addresses that are no pods reach
// the port. Which ones the API server has is not known.
func (v *view) letsOutsideIn(c *class, p port) bool {
	return slices.ContainsFunc(v.isolated[c][ingress], func(q *policy) bool {
		return slices.ContainsFunc(q.rules(ingress), func(r rule) bool { return !r.onlyPods() && covers(r.ports, c, p) })
	})
}

// calledDraft is for a Service that the API server is known to call.
func (v *view) calledDraft(c *class, called calledPort) draft {
	d := v.forgottenDraft(c, called.port)
	d.severity = Warning
	var by []string
	tunnelled := v.lets(c, called.port, v.takesSystem)
	for _, cb := range called.by {
		if !cb.Tolerated && !tunnelled {
			d.severity = Error
		}
		if name := cb.Kind + " " + cb.Name; !slices.Contains(by, name) {
			by = append(by, name)
		}
	}
	first := called.by[0]
	cost := "with failurePolicy Fail what the webhook guards cannot be written"
	switch {
	case tunnelled:
		cost = "where it comes by way of the konnectivity agents in kube-system, as on GKE and AKS, the rules let these in; elsewhere the calls fail"
	case d.severity == Warning:
		cost = "with failurePolicy Ignore what the webhook guards is written unchecked, after a timeout"
	case first.Kind == "APIService":
		d.what = fmt.Sprintf("The API server cannot call %s on %s for the API %s.", c.name(), portsText([]port{called.port}), first.Name)
		cost = "every request for that API fails, and so does what depends on it, such as autoscaling on metrics or the deletion of namespaces"
	case first.Kind == "CustomResourceDefinition":
		cost = "objects of that kind cannot be read in another version than they are stored in"
	}
	d.why = fmt.Sprintf("%s, and no rule for everyone or for addresses allows the port behind Service %s/%s, which %s has it call; the API server is no pod, so no selector matches it: %s.",
		v.isolators(c, ingress), called.service.Namespace, called.service.Name, some(by), cost)
	return d
}

// takesSystem reports whether a rule lets every pod of kube-system in, where some
// managed clusters have agents through which the API server calls
// (kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity).
func (v *view) takesSystem(r rule) bool {
	return slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.NamespaceSelector == nil || p.PodSelector != nil && !everything(p.PodSelector) {
			return false
		}
		takes, known := v.matchesNamespace(p.NamespaceSelector, metav1.NamespaceSystem)
		return takes || !known
	})
}

// webhookDraft is for a Service that is named like a webhook's. A name proves
// nothing: other programs than the API server call webhooks too.
func (v *view) webhookDraft(c *class, called calledPort) draft {
	d := v.forgottenDraft(c, called.port)
	d.severity = Info
	if slices.Contains(webhookPorts, called.number) {
		d.severity = Warning
	}
	d.why = fmt.Sprintf("%s, and no rule for everyone or for addresses allows the port behind Service %s/%s; the API server is no pod, so no selector matches it, and with failurePolicy Fail its writes fail.", v.isolators(c, ingress), called.service.Namespace, called.service.Name)
	return d
}

func (v *view) forgottenDraft(c *class, p port) draft {
	d := draft{
		policy: v.isolated[c][ingress][0], at: at("spec", "ingress"),
		what: fmt.Sprintf("The API server cannot call the webhook of %s on %s.", c.name(), portsText([]port{p})),
	}
	where := d.grant(v, ingress, []*class{c}, ruleNode("from", nil, p), []port{p})
	d.fix = fmt.Sprintf("Allow the port from everyone %s, or from the ipBlocks of the control plane.", where)
	return d
}
