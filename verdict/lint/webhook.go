package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// webhookPorts are where admission webhooks listen: controller-runtime's
// default, and others that are common.
var webhookPorts = []int32{9443, 8443, 10250, 10260}

// webhookForgotten finds webhooks that the API server cannot call: it is no pod,
// so only a rule for everyone or for addresses lets it in.
func webhookForgotten(v *view) []draft {
	var drafts []draft
	for _, c := range v.classes {
		for _, s := range c.services {
			if !strings.Contains(s.Name, "webhook") && !strings.Contains(s.Name, "admission") {
				continue
			}
			for _, sp := range s.Ports {
				on, ok := sp.On(&c.Pod)
				p := port{on, sp.Protocol}
				if !ok || sp.Port != 443 && sp.Port != 9443 || len(v.isolated[c][ingress]) == 0 || c.HostNetwork || v.letsOutsideIn(c, p) {
					continue
				}
				drafts = append(drafts, v.webhookDraft(c, s, p))
			}
		}
	}
	return drafts
}

// letsOutsideIn reports whether some rule lets addresses that are no pods reach
// the port. Which ones the API server has is not known.
func (v *view) letsOutsideIn(c *class, p port) bool {
	return slices.ContainsFunc(v.isolated[c][ingress], func(q *policy) bool {
		return slices.ContainsFunc(q.rules(ingress), func(r rule) bool { return !r.onlyPods() && covers(r.ports, c, p) })
	})
}

func (v *view) webhookDraft(c *class, s *manifest.Service, p port) draft {
	policy := v.isolated[c][ingress][0]
	d := draft{policy: policy, at: at("spec", "ingress"), severity: Warning}
	if slices.Contains(webhookPorts, p.number) {
		d.severity = Error
	}
	d.what = fmt.Sprintf("The API server cannot call the webhook of %s on %s.", c.name(), portsText([]port{p}))
	d.why = fmt.Sprintf("%s, and no rule for everyone or for addresses allows the port behind Service %s/%s; the API server is no pod, so no selector matches it, and with failurePolicy Fail its writes fail.", v.isolators(c, ingress), s.Namespace, s.Name)
	d.fix = "Allow the port from everyone, as in the corrected document, or from the ipBlocks of the control plane."
	d.edit = add(at("spec", "ingress"), ruleNode("from", nil, p))
	return d
}
