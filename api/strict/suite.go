package strict

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// MaxPaths of a suite, as the API server takes them.
const MaxPaths = 2048

// CheckSuite holds a ConnectivitySuite's spec, which stands at that path, against what
// the API server and the controller accept of it: identities and paths, each once, and
// every name in it leading somewhere. Where the Services are is not known here.
func CheckSuite(at string, suite v1alpha1.ConnectivitySuiteSpec) Faults {
	f := Faults{}
	identities := map[string]bool{}
	for i, id := range suite.Identities {
		at := index(at+".identities", i)
		if identities[id.Name] {
			f.Add(at+".name", "identity %s is listed twice", Show(id.Name))
		}
		identities[id.Name] = true
		f.Name(at+".name", id.Name)
		f.label(at+".namespace", id.Namespace)
		f.Labels(at+".labels", id.Labels)
		f.reserved(at, id)
	}
	if len(suite.Identities) == 0 {
		f.Add(at+".identities", "is empty: without identities nobody tries a path")
	}
	if n := len(suite.Paths); n > MaxPaths {
		f.Add(at+".paths", "has %d paths, and a suite at most %d: leave some out, or split the suite and the rollout", n, MaxPaths)
	}
	if len(suite.Paths) == 0 {
		f.Add(at+".paths", "is empty: without paths nothing is proved")
	}
	names := map[string]bool{}
	for i, path := range suite.Paths {
		at := index(at+".paths", i)
		if names[path.Name] {
			f.Add(at+".name", "path %q is listed twice", Show(path.Name))
		}
		names[path.Name] = true
		f.path(at, path, slices.Sorted(maps.Keys(identities)))
		f = append(f, CheckTarget(at+".to.service", path.To.Service)...)
	}
	return f
}

// reserved refuses what only Tightrope's own pods are called and wear, and namespaces
// that no probe pod may be in.
func (f *Faults) reserved(at string, id v1alpha1.Identity) {
	if strings.HasPrefix(id.Name, "tightrope-") {
		f.Add(at+".name", "%s is called like one of Tightrope's own pods: choose a name that does not begin with tightrope-", Show(id.Name))
	}
	for _, key := range slices.Sorted(maps.Keys(id.Labels)) {
		if strings.HasPrefix(key, "tightrope.dev/") {
			f.Add(at+".labels", "%s: labels under tightrope.dev/ mark Tightrope's own objects, and no workload has them", Show(key))
		}
	}
	if slices.Contains(ProtectedNamespaces, id.Namespace) {
		f.Add(at+".namespace", "%s is protected: no probe pod may be there", Show(id.Namespace))
	}
}

// path looks at one path for itself.
func (f *Faults) path(at string, path v1alpha1.Path, identities []string) {
	unknown := func(at, name string) {
		if !slices.Contains(identities, name) {
			f.Add(at, "there is no identity %q%s", Show(name), DidYouMean(name, identities))
		}
	}
	if path.Name == "" || utf8.RuneCountInString(path.Name) > 120 {
		f.Add(at+".name", "a path needs a name of at most 120 characters")
	} else if i := strings.IndexFunc(path.Name, unstorable); i >= 0 {
		r, _ := utf8.DecodeRuneInString(path.Name[i:])
		f.Add(at+".name", "%s has the control character %U, which no API server takes: leave it out", Show(path.Name), r)
	}
	unknown(at+".from", path.From)
	if path.Expect != v1alpha1.ExpectAllow && path.Expect != v1alpha1.ExpectDeny {
		f.Add(at+".expect", "%q is not Allow or Deny: there is no default, a path says what it expects", Show(string(path.Expect)))
	}
	for i, via := range path.Via {
		if via != v1alpha1.ViaService && via != v1alpha1.ViaPodIP || slices.Contains(path.Via[:i], via) {
			f.Add(index(at+".via", i), "%q is not Service or PodIP, or is listed twice", Show(string(via)))
		}
	}
	if path.Criticality != "" && path.Criticality != v1alpha1.CriticalityCritical && path.Criticality != v1alpha1.CriticalityWarning {
		f.Add(at+".criticality", "%q is not Critical or Warning", Show(string(path.Criticality)))
	}
	f.probe(at, path)
	switch w := path.Witness; {
	case w == nil:
	case path.Expect == v1alpha1.ExpectAllow:
		f.Add(at+".witness", "a path that must work is its own witness: leave it out")
	case w.From == path.From:
		f.Add(at+".witness.from", "%q cannot witness for its own path, which must not work", Show(w.From))
	default:
		unknown(at+".witness.from", w.From)
	}
}

// unstorable is true for what JSON leaves as it is and the API server, which
// reads an applied object as YAML, does not take. The other control characters
// are escaped in JSON; a path's name may have them.
func unstorable(r rune) bool {
	return r >= 0x7f && r <= 0x9f && r != 0x85 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

func (f *Faults) probe(at string, path v1alpha1.Path) {
	probe, udp := path.Probe, path.To.Service.Protocol == string(corev1.ProtocolUDP)
	traits, having := probe.Type.Traits(), v1alpha1.ProbeTypesWith
	switch {
	case traits.Proves == v1alpha1.ProvesNothing:
		f.Add(at+".probe.type", "%q is none of %s", Show(string(probe.Type)), having(func(v1alpha1.ProbeTraits) bool { return true }))
	case udp && !traits.Carries("UDP"):
		f.Add(at+".probe.type", "over UDP only %s can be tried: silence to anything else proves nothing",
			having(func(t v1alpha1.ProbeTraits) bool { return t.Carries("UDP") }))
	}
	if probe.Path != "" && (traits.Path == "" || !strings.HasPrefix(probe.Path, "/")) {
		f.Add(at+".probe.path", "%s: only these probes have a path, and it starts with /: %s", Show(probe.Path),
			having(func(t v1alpha1.ProbeTraits) bool { return t.Path != "" }))
	}
	if probe.Query != "" && !traits.AsksNames {
		f.Add(at+".probe.query", "only a DNS probe asks for a name")
	}
}

// CheckTarget wants a Service that there may be.
func CheckTarget(at string, to v1alpha1.ServiceTarget) Faults {
	f := Faults{}
	f.Port(at+".port", to.Port)
	if to.Protocol != "" && to.Protocol != string(corev1.ProtocolTCP) && to.Protocol != string(corev1.ProtocolUDP) {
		f.Add(at+".protocol", "%q is not TCP or UDP", Show(to.Protocol))
		return f
	}
	if f.label(at+".name", to.Name) {
		f.label(at+".namespace", to.Namespace)
	}
	return f
}
