package deploy

import (
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
)

// Installed reads back what a controller's Deployment was filled with: its images, its
// pull secrets, its memory limit, how probe pods look and whom it is for. Where the
// controller's own pod runs, and with which priority, is not among it.
func Installed(d *appsv1.Deployment) Options {
	o := Options{Version: d.Labels[LabelVersion]}
	if tenants := d.Annotations[AnnotationTenants]; tenants != "" {
		o.Tenants = strings.Split(tenants, ",")
	}
	pod := d.Spec.Template.Spec
	for _, secret := range pod.ImagePullSecrets {
		o.PullSecrets = append(o.PullSecrets, secret.Name)
	}
	for _, c := range pod.Containers { // there is one
		o.Controller = c.Image
		if limit := c.Resources.Limits.Memory(); !limit.IsZero() {
			o.Memory = limit.String()
		}
		for _, arg := range c.Args {
			o.readArg(arg)
		}
	}
	return o
}

// readArg reads an argument of the controller, as fill and probeArgs write it.
func (o *Options) readArg(arg string) {
	if arg == SingleTenantFlag {
		o.SingleTenant = true
		return
	}
	flag, value, _ := strings.Cut(arg, "=")
	switch flag {
	case "--agent-image":
		o.Agent = value
	case "--twin-image":
		o.Twin = value
	case "--drops-port":
		o.DropsPort, _ = strconv.Atoi(value) // the controller does not start with another one
	case "--image-pull-secret":
		o.ProbePullSecrets = append(o.ProbePullSecrets, value)
	case "--probe-toleration":
		o.ProbeTolerations = append(o.ProbeTolerations, value)
	case "--probe-node-selector":
		if o.ProbeNodeSelector == nil {
			o.ProbeNodeSelector = map[string]string{}
		}
		for label := range strings.SplitSeq(value, ",") {
			key, v, _ := strings.Cut(label, "=")
			o.ProbeNodeSelector[strings.TrimSpace(key)] = strings.TrimSpace(v)
		}
	}
}

// Registry is the registry and prefix below which all three images are, as
// registry.example/team; empty where they are not together, or in none that is served.
func (o Options) Registry() string {
	in := []string{below(o.Controller, "controller"), below(o.Agent, "agent"), below(o.Twin, "twin")}
	if in[0] == labRegistry || len(slices.Compact(in)) > 1 {
		return ""
	}
	return in[0]
}

// below is what an image's name begins with that ends in a program's; empty: it does not.
func below(image, program string) string {
	name, _, _ := strings.Cut(image, "@")
	if tag := strings.LastIndexByte(name, ':'); tag > strings.LastIndexByte(name, '/') {
		name = name[:tag]
	}
	prefix, is := strings.CutSuffix(name, "/"+program)
	if !is {
		return ""
	}
	return prefix
}
