package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// controller is software whose pods stand between clients and the Services of
// Ingresses and routes.
type controller struct {
	classes []string          // parts of the names of its classes
	labels  map[string]string // of its pods; an empty value is any
}

// controllers are known by the labels that their own manifests and charts give.
var controllers = []controller{
	{[]string{"nginx"}, map[string]string{"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}},
	{[]string{"nginx"}, map[string]string{"app.kubernetes.io/name": "nginx-ingress"}},
	{[]string{"nginx"}, map[string]string{"app.kubernetes.io/name": "nginx-gateway-fabric"}},
	{[]string{"traefik"}, map[string]string{"app.kubernetes.io/name": "traefik"}},
	{[]string{"traefik"}, map[string]string{"app": "traefik"}},
	{[]string{"kong"}, map[string]string{"app.kubernetes.io/name": "kong"}},
	{[]string{"kong"}, map[string]string{"app.kubernetes.io/name": "gateway", "app.kubernetes.io/component": "app"}},
	{[]string{"haproxy"}, map[string]string{"app.kubernetes.io/name": "kubernetes-ingress"}},
	{[]string{"haproxy"}, map[string]string{"app.kubernetes.io/name": "haproxy-ingress"}},
	{[]string{"contour"}, map[string]string{"app.kubernetes.io/name": "contour", "app.kubernetes.io/component": "envoy"}},
	{[]string{"contour"}, map[string]string{"app": "envoy"}},
	{[]string{"istio"}, map[string]string{"istio": "ingressgateway"}},
	{[]string{"envoy", "eg"}, map[string]string{"gateway.envoyproxy.io/owning-gateway-name": ""}},
	{[]string{"istio", "nginx", "kgateway", "agentgateway"}, map[string]string{"gateway.networking.k8s.io/gateway-name": ""}},
	{[]string{"openshift"}, map[string]string{"ingresscontroller.operator.openshift.io/deployment-ingresscontroller": ""}},
	{[]string{"apisix"}, map[string]string{"app.kubernetes.io/name": "apisix"}},
	{[]string{"ambassador", "emissary"}, map[string]string{"app.kubernetes.io/name": "emissary-ingress"}},
	{[]string{"nginx"}, map[string]string{"app.kubernetes.io/name": "rke2-ingress-nginx"}},
}

// is reports whether the class's pods are the controller's.
func (k controller) is(c *class) bool {
	for key, value := range k.labels {
		if own, ok := c.Labels[key]; !ok || value != "" && own != value {
			return false
		}
	}
	return true
}

// serves reports whether the controller may serve an entrance of that class. Its
// pods may state another one than is usual.
func (k controller) serves(name string, pods *class) bool {
	if stated := pods.statedClass(); stated != "" && name != "" {
		return stated == name
	}
	return name == "" || slices.ContainsFunc(k.classes, func(part string) bool { return strings.Contains(name, part) })
}

// classFlags are arguments of controllers that state the class they serve
// (kubernetes.github.io/ingress-nginx, Command line arguments; doc.traefik.io,
// Kubernetes Ingress: ingressClass).
var classFlags = []string{"--ingress-class", "--providers.kubernetesingress.ingressclass"}

// statedClass is the class that the pods' arguments state; empty: none.
func (c *class) statedClass() string {
	if c.workload == nil || c.workload.Template == nil {
		return ""
	}
	for _, container := range c.workload.Template.Spec.Containers {
		for _, arg := range slices.Concat(container.Command, container.Args) {
			if flag, value, ok := strings.Cut(arg, "="); ok && slices.Contains(classFlags, strings.ToLower(flag)) {
				return value
			}
		}
	}
	return ""
}

// passed is a port of a class that an Ingress or a route leads to.
type passed struct {
	port
	class *class
	by    *manifest.Entrance
}

// controllerForgotten finds Services that an Ingress or a route leads to and that
// the pods which carry the requests may not reach.
func controllerForgotten(v *view) []draft {
	strong, weak := &openings{view: v}, []draft(nil)
	by := map[*class]*manifest.Entrance{}
	for _, p := range v.passed() {
		if len(v.isolated[p.class][ingress]) == 0 || p.class.HostNetwork {
			continue
		}
		carriers, certain := v.carriers(p.by)
		others := v.othersDecide(p.class.Namespace)
		onNode := slices.ContainsFunc(carriers, func(k *class) bool { return k.HostNetwork })
		switch {
		case onNode:
			if !others && !v.letsOutsideIn(p.class, p.port) {
				weak = append(weak, v.onNodeDraft(p, carriers))
			}
		case slices.ContainsFunc(carriers, func(k *class) bool {
			return v.between(k, p.class, p.number, p.protocol).Decision != verdict.Deny
		}):
		case !certain:
			if !others && !v.letsControllerIn(p.class, p.port) {
				weak = append(weak, v.shutDraft(p, carriers))
			}
		default:
			by[p.class] = p.by
			strong.need(carriers[0], p.class, p.port, nil, false)
		}
	}
	return append(carrierDrafts(strong, by), unique(weak)...)
}

// passed lists what the entrances of the input lead to, each port of a class once.
func (v *view) passed() []passed {
	var all []passed
	for i := range v.set.Objects.Entrances {
		e := &v.set.Objects.Entrances[i]
		for _, c := range v.before[e.Service] {
			for _, p := range v.behind(c, e.Service, e.Port) {
				if !slices.ContainsFunc(all, func(o passed) bool { return o.class == c && o.port == p && o.by.Class == e.Class }) {
					all = append(all, passed{p, c, e})
				}
			}
		}
	}
	return all
}

// carriers are the controllers' classes in the input that may serve the entrance,
// and whether they certainly are the ones that do: of one name, and no others beside
// them. One that only has a part of the class's name may be for other clients.
func (v *view) carriers(e *manifest.Entrance) (all []*class, certain bool) {
	var named []*class
	homes := map[string]bool{}
	for _, c := range v.classes {
		for _, k := range controllers {
			if !k.is(c) || !k.serves(e.Class, c) {
				continue
			}
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
			if e.Class == "" || slices.Contains(k.classes, e.Class) || c.statedClass() == e.Class {
				named = append(named, c)
				homes[c.Namespace] = true
			}
		}
	}
	if len(named) == 0 {
		return all, false
	}
	return named, len(homes) == 1
}

// letsUnseenIn reports whether a rule may let pods or addresses that the input
// does not show reach the port.
func (v *view) letsUnseenIn(c *class, p port) bool { return v.lets(c, p, v.admitsUnseen) }

// letsControllerIn reports the same of an ingress controller, also of one that is
// not known as one. That has a namespace of its own: a peer in the class's is none,
// unless it has a controller's label or something there makes pods.
func (v *view) letsControllerIn(c *class, p port) bool {
	return slices.ContainsFunc(v.isolated[c][ingress], func(q *policy) bool {
		return slices.ContainsFunc(q.rules(ingress), func(r rule) bool {
			return (covers(r.ports, c, p) || misnumbered(r, c, p)) && v.admitsController(c, r)
		})
	})
}

func (v *view) admitsController(c *class, r rule) bool {
	written := len(r.peers)
	r.peers = slices.DeleteFunc(slices.Clone(r.peers), func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.IPBlock == nil && peer.NamespaceSelector == nil && !namesController(peer.PodSelector) && !v.madePeer(c.Namespace, &peer)
	})
	return (written == 0 || len(r.peers) > 0) && (v.admitsUnseen(r) || v.admitsStranger(r))
}

// namesController reports whether the selector asks for a label that a known
// controller's pods have.
func namesController(s *metav1.LabelSelector) bool {
	return s != nil && slices.ContainsFunc(controllers, func(k controller) bool {
		for key, value := range k.labels {
			if own, ok := s.MatchLabels[key]; ok && (value == "" || own == value) {
				return true
			}
		}
		return false
	})
}

// admitsStranger reports whether the rule takes pods of another namespace that may be
// a controller of any kind: none that are known for something else.
func (v *view) admitsStranger(r rule) bool {
	return slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		return slices.ContainsFunc(v.classes, func(c *class) bool {
			takes, _ := v.takes(r.policy.Namespace, &peer, c)
			return takes && c.Namespace != r.policy.Namespace && !scrapes(c) && !resolves(c)
		})
	})
}

// misnumbered reports whether the rule has the Service's port in the place of the
// pods', which is a mistake of its own.
func misnumbered(r rule, c *class, p port) bool {
	return len(r.ports) > 0 && slices.ContainsFunc(c.services, func(s *manifest.Service) bool {
		return slices.ContainsFunc(s.Ports, func(sp manifest.ServicePort) bool {
			on, ok := sp.On(&c.Pod)
			return ok && on == p.number && sp.Port != on && lists(r.ports, sp.Port, sp.Protocol)
		})
	})
}

func (v *view) lets(c *class, p port, admits func(rule) bool) bool {
	return slices.ContainsFunc(v.isolated[c][ingress], func(q *policy) bool {
		return slices.ContainsFunc(q.rules(ingress), func(r rule) bool { return covers(r.ports, c, p) && admits(r) })
	})
}

// onNodeDraft is about a controller on its node's network, which no selector matches.
func (v *view) onNodeDraft(p passed, carriers []*class) draft {
	d := draft{policy: v.isolated[p.class][ingress][0], at: at("spec", "ingress"), severity: Warning}
	d.what = fmt.Sprintf("The ingress controller %s cannot reach %s on %s from other nodes.", names(carriers), p.class.name(), portsText([]port{p.port}))
	d.why = fmt.Sprintf("%s leads clients there. The controller shares its node's network, so most network plugins match it with no selector, and no rule allows the port to addresses; %s.", p.by, v.isolators(p.class, ingress))
	d.fix = fmt.Sprintf("Allow %s from an ipBlock with the addresses of the nodes.", portsText([]port{p.port}))
	return d
}

func (v *view) shutDraft(p passed, carriers []*class) draft {
	d := draft{policy: v.isolated[p.class][ingress][0], at: at("spec", "ingress"), severity: Warning}
	d.what = fmt.Sprintf("No rule lets an ingress controller reach %s on %s, where %s leads clients.", p.class.name(), portsText([]port{p.port}), p.by)
	who := "The controller's pods are not in the input"
	if len(carriers) > 0 {
		who = fmt.Sprintf("Whether %s serves class %s is not known", names(carriers), cmp.Or(p.by.Class, "of this one"))
	}
	d.why = fmt.Sprintf("%s, and no rule allows the port to addresses or to pods that the input does not show. %s; if the controller is not among those that are allowed, its clients get errors (502, 503 or 504).", v.isolators(p.class, ingress), who)
	d.fix = fmt.Sprintf("Allow %s from the namespace of the ingress controller; from the addresses of the load balancer, where that sends to pods itself.", portsText([]port{p.port}))
	return d
}

func carrierDrafts(o *openings, by map[*class]*manifest.Entrance) []draft {
	var drafts []draft
	for _, x := range o.merged() {
		target, carrier := x.subjects[0], x.peer
		if x.direction == egress {
			target, carrier = x.peer, x.subjects[0]
		}
		e := by[target]
		d := x.draft(Error)
		if e == nil || e.Class == "" {
			d.severity = Warning // another controller may serve it
		}
		d.what = fmt.Sprintf("The ingress controller %s cannot reach %s on %s.", carrier.name(), target.name(), portsText(x.ports))
		d.why = fmt.Sprintf("%s, and no rule allows it", o.view.isolators(x.subjects[0], x.direction))
		if e != nil {
			d.why += fmt.Sprintf("; %s leads clients there, who get errors (502, 503 or 504)", e)
		}
		d.why += "."
		d.fix = fmt.Sprintf("Allow %s from %s to %s %s.", portsText(x.ports), carrier.name(), target.name(), d.fix)
		drafts = append(drafts, d)
	}
	return drafts
}
