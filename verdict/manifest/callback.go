package manifest

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// Callback is a Service that the API server calls: a webhook's, or that of an
// aggregated API. The API server is no pod, so no selector matches it.
type Callback struct {
	Source           // what names the Service, such as a ValidatingWebhookConfiguration
	Service   string // namespace/name
	Port      int32  // of the Service
	Tolerated bool   // a call that fails is passed over: failurePolicy Ignore
}

// callers are the kinds that name Services for the API server to call. No verdict
// depends on them: they are read for lint, no further than the Services, and
// not strictly.
var callers = map[header]bool{
	{"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"}: true,
	{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"}:   true,
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition"}:               true,
	{"apiregistration.k8s.io/v1", "APIService"}:                           true,
}

// caller is as much of any of the kinds as names Services.
type caller struct {
	Webhooks []struct {
		ClientConfig  clientConfig `json:"clientConfig" yaml:"clientConfig"`
		FailurePolicy string       `json:"failurePolicy" yaml:"failurePolicy"`
	} `json:"webhooks" yaml:"webhooks"`
	Spec struct {
		Service    *calledService `json:"service" yaml:"service"`
		Conversion struct {
			Webhook struct {
				ClientConfig clientConfig `json:"clientConfig" yaml:"clientConfig"`
			} `json:"webhook" yaml:"webhook"`
		} `json:"conversion" yaml:"conversion"`
	} `json:"spec" yaml:"spec"`
}

type clientConfig struct {
	Service *calledService `json:"service" yaml:"service"`
}

type calledService struct {
	Namespace string `json:"namespace" yaml:"namespace"`
	Name      string `json:"name" yaml:"name"`
	Port      int32  `json:"port" yaml:"port"`
}

// callbacks are the Services that the object names.
func (c *caller) callbacks(at Source) []Callback {
	var all []Callback
	add := func(s *calledService, tolerated bool) {
		if s != nil && s.Namespace != "" && s.Name != "" {
			all = append(all, Callback{Source: at, Service: s.Namespace + "/" + s.Name, Port: cmp.Or(s.Port, 443), Tolerated: tolerated})
		}
	}
	for _, w := range c.Webhooks {
		add(w.ClientConfig.Service, w.FailurePolicy == "Ignore")
	}
	add(c.Spec.Service, false)
	add(c.Spec.Conversion.Webhook.ClientConfig.Service, false)
	return all
}

func (r *reading) readCaller(at Source, n *yaml.Node) {
	at.Name = text(n, "metadata", "name")
	var c caller
	err := n.Decode(&c)
	var kinds *yaml.TypeError
	if errors.As(err, &kinds) && len(kinds.Errors) > 0 { // its lines count from where the document begins
		_, what, _ := strings.Cut(kinds.Errors[0], ": ")
		err = errors.New(what)
	}
	r.takeCallbacks(at, &c, err)
}

// takeCaller is readCaller for an object of a cluster, and reads what tells of
// other callers.
func (r *reading) takeCaller(u *unstructured.Unstructured) {
	at := Source{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Name: u.GetName()}
	if read := loose[groupKind{u.GroupVersionKind().Group, u.GetKind()}]; read != nil {
		raw, err := json.Marshal(u.Object)
		if err == nil {
			n, _ := parseJSON(raw)
			read(r, at, n)
		}
		return
	}
	var c caller
	r.takeCallbacks(at, &c, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &c))
}

func (r *reading) takeCallbacks(at Source, c *caller, err error) {
	if err != nil {
		r.note(at.Position, at.subject(), "names Services in a way that cannot be read, so lint does not know what the API server calls there: %s", strict.Brief(err.Error()))
		return
	}
	r.raw.Callbacks = append(r.raw.Callbacks, c.callbacks(at)...)
}
