package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Entrance is a Service that an Ingress or a route leads clients to. Between
// them stand the pods of a controller, or a load balancer of the cloud.
type Entrance struct {
	Source         // of the Ingress or the route
	Service string // namespace/name
	// Port is the Service's, by number or name; zero: not stated.
	Port intstr.IntOrString
	// Class is that of the Ingress, or of a route's Gateway; empty: not known.
	Class string
	// Gateways are those that a route is attached to, as namespace/name.
	Gateways []string
}

// entrances are the kinds that lead clients to Services.
var entrances = map[groupKind]func(*reading, Source, *yaml.Node){
	{"networking.k8s.io", "Ingress"}:           (*reading).readIngress,
	{"gateway.networking.k8s.io", "HTTPRoute"}: (*reading).readRoute,
	{"gateway.networking.k8s.io", "GRPCRoute"}: (*reading).readRoute,
	{"gateway.networking.k8s.io", "TCPRoute"}:  (*reading).readRoute,
	{"gateway.networking.k8s.io", "TLSRoute"}:  (*reading).readRoute,
	{"gateway.networking.k8s.io", "Gateway"}:   (*reading).readGateway,
	{"route.openshift.io", "Route"}:            (*reading).readOpenShiftRoute,
	{"traefik.io", "IngressRoute"}:             (*reading).readServiceRoute,
	{"traefik.containo.us", "IngressRoute"}:    (*reading).readServiceRoute,
	{"projectcontour.io", "HTTPProxy"}:         (*reading).readServiceRoute,
	{"networking.istio.io", "VirtualService"}:  (*reading).readVirtualService,
}

const unknownEntrance = "lint does not know which Services it leads clients to"

// enter notes an entrance, once for a Service and port.
func (r *reading) enter(e Entrance) {
	same := func(o Entrance) bool {
		return o.Kind == e.Kind && o.Namespace == e.Namespace && o.Name == e.Name && o.Service == e.Service && o.Port == e.Port
	}
	if e.Service != "" && len(r.raw.Entrances) < maxGathered && !slices.ContainsFunc(r.raw.Entrances[max(0, len(r.raw.Entrances)-20):], same) {
		r.raw.Entrances = append(r.raw.Entrances, e)
	}
}

// backend is what an Ingress leads to.
type backend struct {
	Service *struct {
		Name string `json:"name"`
		Port struct {
			Name   string `json:"name"`
			Number int32  `json:"number"`
		} `json:"port"`
	} `json:"service"`
}

func (b backend) port() intstr.IntOrString {
	if b.Service.Port.Number != 0 {
		return intstr.FromInt32(b.Service.Port.Number)
	}
	return named(b.Service.Port.Name)
}

func named(port string) intstr.IntOrString {
	if port == "" {
		return intstr.IntOrString{}
	}
	return intstr.FromString(port)
}

func (r *reading) readIngress(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Class   string   `json:"ingressClassName"`
			Default *backend `json:"defaultBackend"`
			Rules   []struct {
				HTTP struct {
					Paths []struct {
						Backend backend `json:"backend"`
					} `json:"paths"`
				} `json:"http"`
			} `json:"rules"`
		} `json:"spec"`
	}
	if !r.decode(at, n, &o, unknownEntrance) {
		return
	}
	if o.Spec.Class == "" {
		o.Spec.Class = o.Metadata.Annotations["kubernetes.io/ingress.class"]
	}
	add := func(b backend) {
		if b.Service != nil && b.Service.Name != "" {
			r.enter(Entrance{Source: at, Service: at.Namespace + "/" + b.Service.Name, Port: b.port(), Class: o.Spec.Class})
		}
	}
	if o.Spec.Default != nil {
		add(*o.Spec.Default)
	}
	for _, rule := range o.Spec.Rules {
		for _, p := range rule.HTTP.Paths {
			add(p.Backend)
		}
	}
}

// reference names an object of the Gateway API, and a port of it.
type reference struct {
	Kind      string              `json:"kind"`
	Namespace string              `json:"namespace"`
	Name      string              `json:"name"`
	Port      *intstr.IntOrString `json:"port"`
}

// service is the Service that the reference names, seen from a namespace.
func (b reference) service(home string) string {
	if b.Kind != "" && b.Kind != "Service" || b.Name == "" {
		return ""
	}
	return b.in(home)
}

func (b reference) in(home string) string {
	if b.Namespace != "" {
		home = b.Namespace
	}
	return home + "/" + b.Name
}

func (b reference) port() intstr.IntOrString {
	if b.Port == nil {
		return intstr.IntOrString{}
	}
	return *b.Port
}

func (r *reading) readRoute(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o struct {
		Spec struct {
			Parents []reference `json:"parentRefs"`
			Rules   []struct {
				Backends []reference `json:"backendRefs"`
			} `json:"rules"`
		} `json:"spec"`
	}
	if !r.decode(at, n, &o, unknownEntrance) {
		return
	}
	var gateways []string
	for _, p := range o.Spec.Parents {
		if p.Kind == "" || p.Kind == "Gateway" { // a Service is a parent within a mesh
			gateways = append(gateways, p.in(at.Namespace))
		}
	}
	for _, rule := range o.Spec.Rules {
		for _, b := range rule.Backends {
			if len(gateways) > 0 {
				r.enter(Entrance{Source: at, Service: b.service(at.Namespace), Port: b.port(), Gateways: gateways})
			}
		}
	}
}

// readGateway notes the class for the routes. A controller may make pods of it.
func (r *reading) readGateway(at Source, n *yaml.Node) {
	r.place(&at, n)
	if r.raw.gateways == nil {
		r.raw.gateways = map[string]string{}
	}
	r.raw.gateways[at.Namespace+"/"+at.Name] = text(n, "spec", "gatewayClassName")
	r.hide(at, n)
}

// classify gives routes the class of their first Gateway that is there.
func (r *raw) classify() {
	for i := range r.Entrances {
		e := &r.Entrances[i]
		for _, g := range e.Gateways {
			if e.Class == "" {
				e.Class = r.gateways[g]
			}
		}
	}
}

func (r *reading) readOpenShiftRoute(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o struct {
		Spec struct {
			To         reference   `json:"to"`
			Alternates []reference `json:"alternateBackends"`
		} `json:"spec"`
	}
	if !r.decode(at, n, &o, unknownEntrance) {
		return
	}
	for _, b := range append(o.Spec.Alternates, o.Spec.To) {
		r.enter(Entrance{Source: at, Service: b.service(at.Namespace), Class: "openshift"})
	}
}

// readServiceRoute reads kinds whose routes list Services: Traefik's and Contour's.
func (r *reading) readServiceRoute(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o struct {
		Spec struct {
			Routes []struct {
				Services []reference `json:"services"`
			} `json:"routes"`
		} `json:"spec"`
	}
	if !r.decode(at, n, &o, unknownEntrance) {
		return
	}
	class := "traefik"
	if at.Kind == "HTTPProxy" {
		class = "contour"
	}
	for _, route := range o.Spec.Routes {
		for _, b := range route.Services {
			r.enter(Entrance{Source: at, Service: b.service(at.Namespace), Port: b.port(), Class: class})
		}
	}
}

// readVirtualService reads one that is attached to gateways; without, it is about
// calls within the mesh.
func (r *reading) readVirtualService(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o struct {
		Spec struct {
			Gateways []string `json:"gateways"`
			HTTP     []struct {
				Route []struct {
					Destination struct {
						Host string `json:"host"`
						Port struct {
							Number int32 `json:"number"`
						} `json:"port"`
					} `json:"destination"`
				} `json:"route"`
			} `json:"http"`
		} `json:"spec"`
	}
	if !r.decode(at, n, &o, unknownEntrance) || !slices.ContainsFunc(o.Spec.Gateways, func(g string) bool { return g != "mesh" }) {
		return
	}
	for _, h := range o.Spec.HTTP {
		for _, route := range h.Route {
			service, _ := serviceOf(route.Destination.Host, at.Namespace)
			e := Entrance{Source: at, Service: service, Class: "istio"}
			if p := route.Destination.Port.Number; p != 0 {
				e.Port = intstr.FromInt32(p)
			}
			r.enter(e)
		}
	}
}
