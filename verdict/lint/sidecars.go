package lint

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

const (
	xds        = 15012 // where istiod gives proxies their configuration and certificates
	istioHome  = "istio-system"
	istioPorts = "istio.io/latest/docs/ops/deployment/application-requirements"
)

// istiodForgotten finds pods with a proxy of Istio that may not reach istiod: the
// proxy gets no configuration and no certificate, and the pod does not become ready.
func istiodForgotten(v *view) []draft {
	istiod, shown := v.istiod()
	cut := map[*policy][]*class{}
	for _, c := range v.classes {
		if isolating := v.isolated[c][egress]; len(isolating) > 0 && v.injected(c) && !v.othersDecide(c.Namespace) && !v.reachesIstiod(c, istiod) {
			cut[isolating[0]] = append(cut[isolating[0]], c)
		}
	}
	var drafts []draft
	for _, p := range v.policies {
		if len(cut[p]) == 0 {
			continue
		}
		d := draft{policy: p, at: at("spec", "egress"), severity: Warning}
		if shown {
			d.severity = Error
		}
		d.what = fmt.Sprintf("The proxies of %s cannot reach istiod on %d/TCP.", names(cut[p]), xds)
		d.why = fmt.Sprintf("%s, and no rule allows it. A sidecar of Istio gets its configuration and certificates there; without, its pod does not become ready.", v.isolators(cut[p][0], egress))
		rule := ruleNode("to", []*yaml.Node{podsNode(p.Namespace, istiod.Namespace, map[string]string{"app": "istiod"})}, port{xds, tcp})
		where := "in " + p.Key()
		if len(v.besides(p, cut[p])) == 0 {
			d.edit = add(at("spec", "egress"), rule)
		} else {
			where = d.grant(v, egress, cut[p], rule, []port{{xds, tcp}})
		}
		d.fix = fmt.Sprintf("Allow %d/TCP to pods with app=istiod of namespace %s %s.", xds, istiod.Namespace, where)
		drafts = append(drafts, d)
	}
	return drafts
}

// istiod is Istio's control plane of the input, or as it is commonly installed.
func (v *view) istiod() (pods *class, shown bool) {
	for _, c := range v.classes {
		if c.Labels["app"] == "istiod" {
			return c, true
		}
	}
	return &class{Pod: verdict.Pod{Namespace: istioHome, Name: "istiod", Labels: map[string]string{"app": "istiod", "istio": "pilot"}}}, false
}

// injected reports whether Istio certainly adds a sidecar to the class's pods.
func (v *view) injected(c *class) bool {
	own, home := c.Labels["sidecar.istio.io/inject"], v.world.Namespaces[c.Namespace]
	annotated := ""
	if c.workload.Template != nil {
		annotated = c.workload.Template.Annotations["sidecar.istio.io/inject"]
	}
	switch {
	case c.HostNetwork, own == "false", annotated == "false", c.Labels["app"] == "istiod", v.ambient(c):
		return false
	}
	return own == "true" || home["istio-injection"] == "enabled" || home["istio.io/rev"] != "" && home["istio-injection"] != "disabled"
}

// reachesIstiod reports whether a rule may let the class reach istiod. Labels that
// are not known, and addresses, count as matching.
func (v *view) reachesIstiod(c, istiod *class) bool {
	return v.anyEgress(c, func(r rule) bool {
		if !covers(r.ports, istiod, port{xds, tcp}) {
			return false
		}
		return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			takes, known := v.takes(r.policy.Namespace, &peer, istiod)
			return takes || !known || peer.IPBlock != nil
		})
	})
}
