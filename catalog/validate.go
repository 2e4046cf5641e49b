package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

var (
	sources  = []Source{Verified, Known, Demo}
	purposes = []Purpose{PurposeAPI, PurposeGRPC, PurposeAdmin, PurposeMetrics, PurposePeer, PurposeSink}
)

// validate refuses a profile that would mislead: a probe of a port that is not
// there, a probe that the profile itself forbids, a fact without a source.
func (p *Profile) validate() error {
	if p.Title == "" {
		return fmt.Errorf("profile %s has no title", p.Name)
	}
	for _, check := range []func() error{p.validatePorts, p.validateProbe, p.validateRequests, p.validateForbidden, p.validateFacts} {
		if err := check(); err != nil {
			return fmt.Errorf("profile %s: %w", p.Name, err)
		}
	}
	return nil
}

func (p *Profile) validatePorts() error {
	if len(p.Ports) == 0 {
		return fmt.Errorf("it lists no port, so nothing could be probed")
	}
	seen := map[string]bool{}
	for _, port := range p.Ports {
		number := fmt.Sprintf("%d/%s", port.Number, port.Protocol)
		switch {
		case port.Name == "" || len(port.Name) > 15 || port.Name != strings.ToLower(port.Name):
			return fmt.Errorf("port name %q: a container port's name has 1 to 15 lower-case characters", port.Name)
		case port.Number < 1 || port.Number > 65535:
			return fmt.Errorf("port %s: number %d is outside 1 to 65535", port.Name, port.Number)
		case !slices.Contains([]string{"", "TCP", "UDP"}, port.Protocol):
			return fmt.Errorf("port %s: protocol %q is not TCP or UDP", port.Name, port.Protocol)
		case !slices.Contains(purposes, port.Purpose):
			return fmt.Errorf("port %s: purpose %q is not one of %v", port.Name, port.Purpose, purposes)
		case seen[port.Name] || seen[number]:
			return fmt.Errorf("port %s (%s) is listed twice", port.Name, number)
		}
		if err := port.Source.validate("port " + port.Name); err != nil {
			return err
		}
		seen[port.Name], seen[number] = true, true
	}
	return nil
}

func (p *Profile) validateProbe() error {
	if _, ok := p.Port(p.Probe.Port); !ok {
		return fmt.Errorf("probe of port %q, which the profile does not list", p.Probe.Port)
	}
	switch p.Probe.Type {
	case "TCP":
		if p.Probe.Path != "" {
			return fmt.Errorf("a TCP probe has no path, this one has %q", p.Probe.Path)
		}
	case "HTTP":
		if !strings.HasPrefix(p.Probe.Path, "/") {
			return fmt.Errorf("probe path %q does not start with /", p.Probe.Path)
		}
		if why, forbidden := p.Forbids("GET", p.Probe.Path); forbidden {
			return fmt.Errorf("the probe GET %s is one the profile forbids: %s", p.Probe.Path, why)
		}
	default:
		return fmt.Errorf("probe type %q is not HTTP or TCP", p.Probe.Type)
	}
	return p.Probe.Source.validate("the probe")
}

func (p *Profile) validateRequests() error {
	seen := map[string]bool{}
	for _, r := range p.Requests {
		_, known := p.Port(r.Port)
		switch {
		case r.Name == "" || seen[r.Name]:
			return fmt.Errorf("request %q has no name or is listed twice", r.Name)
		case !known:
			return fmt.Errorf("request %s goes to port %q, which the profile does not list", r.Name, r.Port)
		case r.Method != "GET" && r.Method != "POST":
			return fmt.Errorf("request %s: method %q is not GET or POST", r.Name, r.Method)
		case !strings.HasPrefix(r.Path, "/"):
			return fmt.Errorf("request %s: path %q does not start with /", r.Name, r.Path)
		case r.Body != "" && !json.Valid([]byte(r.Body)):
			return fmt.Errorf("request %s: its body is not JSON", r.Name)
		}
		if err := r.Source.validate("request " + r.Name); err != nil {
			return err
		}
		seen[r.Name] = true
	}
	return nil
}

func (p *Profile) validateForbidden() error {
	for _, f := range p.Forbidden {
		if !strings.HasPrefix(f.Path, "/") || f.Why == "" {
			return fmt.Errorf("forbidden request %q needs a path that starts with / and a reason", f.Path)
		}
		if err := f.Source.validate("forbidden request " + f.Path); err != nil {
			return err
		}
	}
	return nil
}

func (p *Profile) validateFacts() error {
	for _, n := range p.Needs {
		if n.What == "" || n.Port < 0 || n.Port > 65535 {
			return fmt.Errorf("need %q, port %d: say what is needed, and a port up to 65535 or none", n.What, n.Port)
		}
		if err := n.Source.validate("need " + n.What); err != nil {
			return err
		}
	}
	for _, t := range p.Traps {
		if err := t.Source.validate("trap " + t.What); err != nil {
			return err
		}
	}
	return nil
}

func (s Source) validate(what string) error {
	if !slices.Contains(sources, s) {
		return fmt.Errorf("%s: source %q is not one of %v", what, s, sources)
	}
	return nil
}

func (f Forbidden) matches(method, path string) bool {
	if f.Method != "" && method != "" && !strings.EqualFold(f.Method, method) {
		return false
	}
	path, _, _ = strings.Cut(path, "?")
	if prefix, ok := strings.CutSuffix(f.Path, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return strings.TrimRight(path, "/") == strings.TrimRight(f.Path, "/")
}
