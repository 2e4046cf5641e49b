// Package catalog knows. It holds what a person would otherwise have to look up
// before writing a policy for an AI service: its ports and what each is for, the
// request that is safe to probe with, the requests that never are, who calls it,
// what it needs to reach, and the mistakes that break it. Profiles are data,
// embedded as YAML; every fact says where it comes from.
//
//	p, err := catalog.Get("litellm")
//	p.Probe.Path        // /health/liveliness, and never /health
package catalog

// Source says how well a fact is known. There is no default: a fact without a
// source is refused by the loader.
type Source string

// The sources.
const (
	Verified Source = "verified" // read in the service's own source or documentation
	Known    Source = "known"    // general knowledge; confirm before relying on it
	Demo     Source = "demo"     // a choice of the demo platform, not a fact about the product
)

// Purpose says what a port is for, and so how bad it is when a stranger reaches it.
type Purpose string

// The purposes.
const (
	PurposeAPI     Purpose = "api"     // what the service is for
	PurposeGRPC    Purpose = "grpc"    // the same over gRPC
	PurposeAdmin   Purpose = "admin"   // changes the service
	PurposeMetrics Purpose = "metrics" // is scraped
	PurposePeer    Purpose = "peer"    // replicas talk to each other
	PurposeSink    Purpose = "sink"    // takes whatever is sent: where stolen data would go
)

// Profile is what is known of one kind of service.
type Profile struct {
	Name  string `json:"name"`  // of the profile, as scenarios write it
	Title string `json:"title"` // for people
	// Ports the service listens on; names are unique in the profile.
	Ports []Port `json:"ports"`
	// Probe is the cheapest request that proves the edge and does no harm.
	Probe Probe `json:"probe"`
	// Forbidden requests are never made by a probe.
	Forbidden []Forbidden `json:"forbidden,omitempty"`
	// Requests that callers make when they use the service for real.
	Requests []Request `json:"requests,omitempty"`
	// Callers that are legitimate, in words.
	Callers []string `json:"callers,omitempty"`
	Needs   []Need   `json:"needs,omitempty"`
	Traps   []Trap   `json:"traps,omitempty"`
}

// Port is a port that the service listens on.
type Port struct {
	Name     string  `json:"name"`               // a container port's name: at most 15 characters
	Number   int32   `json:"number"`             // 1 to 65535
	Protocol string  `json:"protocol,omitempty"` // TCP or UDP; empty means TCP
	Purpose  Purpose `json:"purpose"`
	Source   Source  `json:"source"`
}

// Probe is a request that is safe to repeat.
type Probe struct {
	Type   string `json:"type"`           // HTTP or TCP
	Port   string `json:"port"`           // name of one of the profile's ports
	Path   string `json:"path,omitempty"` // of an HTTP probe
	Source Source `json:"source"`
}

// Request is what a caller asks of the service when it uses it. It is not a
// probe: it may cost something and change something.
type Request struct {
	Name   string `json:"name"` // unique in the profile
	Method string `json:"method"`
	Port   string `json:"port"` // name of one of the profile's ports
	Path   string `json:"path"`
	Body   string `json:"body,omitempty"`   // JSON; empty means none
	Stream bool   `json:"stream,omitempty"` // the answer is a stream of server-sent events that ends with [DONE]
	Each   bool   `json:"each,omitempty"`   // asked of every address behind the name, as a scraper does
	Source Source `json:"source"`
}

// Forbidden is a request that costs money, changes something or runs code.
type Forbidden struct {
	Method string `json:"method,omitempty"` // empty means any
	Path   string `json:"path"`             // exact, or a prefix when it ends in *
	Why    string `json:"why"`
	Source Source `json:"source"`
}

// Need is something the service itself must reach.
type Need struct {
	What     string `json:"what"`
	Port     int32  `json:"port,omitempty"` // 0: many, or not fixed
	Protocol string `json:"protocol,omitempty"`
	Without  string `json:"without,omitempty"` // what one sees when it is cut
	Source   Source `json:"source"`
}

// Trap is a policy mistake that people make with this service.
type Trap struct {
	What   string `json:"what"`
	Source Source `json:"source"`
}

// Port finds a port by name.
func (p *Profile) Port(name string) (Port, bool) {
	for _, port := range p.Ports {
		if port.Name == name {
			return port, true
		}
	}
	return Port{}, false
}

// Request finds a request by name.
func (p *Profile) Request(name string) (Request, bool) {
	for _, r := range p.Requests {
		if r.Name == name {
			return r, true
		}
	}
	return Request{}, false
}

// Forbids says why a probe may not make the request, or that it may: ok is then
// false. An empty method stands for any.
func (p *Profile) Forbids(method, path string) (why string, ok bool) {
	for _, f := range p.Forbidden {
		if f.matches(method, path) {
			return f.Why, true
		}
	}
	return "", false
}
