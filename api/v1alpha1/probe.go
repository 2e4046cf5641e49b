package v1alpha1

// Probe is how a path is tried.
type Probe struct {
	Type ProbeType `json:"type,omitempty"`
	// Path of an HTTP probe; empty means "/".
	Path string `json:"path,omitempty"`
	// Query is the name a DNS probe asks for; empty means the API server's Service.
	Query string `json:"query,omitempty"`
}

// ProbeType is the protocol of an attempt.
//
// +kubebuilder:validation:Enum=TCP;HTTP;DNS
type ProbeType string

// The probe types. Empty means TCP.
const (
	ProbeTCP  ProbeType = "TCP"
	ProbeHTTP ProbeType = "HTTP"
	ProbeDNS  ProbeType = "DNS"
)
