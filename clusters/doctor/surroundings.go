package doctor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
)

// Names of the checks of what is around.
const (
	checkAPI      = "API server"
	checkDNS      = "DNS"
	checkFamilies = "address families"
	checkIdentity = "network plugin"
)

// reach says how the API server is reached. That what a probe pod says comes through a
// proxy as a stream, and at once, is shown by the measurement, which hears nothing else.
func (x *examiner) reach() {
	if x.Config == nil {
		x.add(checkAPI, Unknown, "nobody connected to it")
		return
	}
	server, err := url.Parse(x.Config.Host)
	if err != nil {
		x.add(checkAPI, Unknown, "its address is none")
		return
	}
	says := "it is reached at " + server.Host
	if server.Path != "" && server.Path != "/" {
		says += ", below " + server.Path
	}
	find := x.Config.Proxy
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	switch proxy, err := find(&http.Request{URL: server}); {
	case err != nil:
		x.add(checkAPI, Problem, "the proxy of the environment or the kubeconfig is no URL", "look at HTTPS_PROXY, NO_PROXY and proxy-url")
	case proxy != nil: // without its password
		x.add(checkAPI, Note, fmt.Sprintf("%s through proxy %s://%s", says, proxy.Scheme, proxy.Host),
			"if nothing is heard of probe pods below, have the proxy pass on responses as they come: it must not buffer them, nor end them after a minute")
	default:
		x.add(checkAPI, OK, says+", without a proxy")
	}
}

// identify notes what the data plane is, before it is measured.
func (x *examiner) identify(ctx context.Context) {
	plugins, err := enforcing.FindPlugins(ctx, x.api, slices.Concat(enforcing.PluginNamespaces, x.PluginNamespaces))
	if err != nil {
		x.add(checkIdentity, Unknown, err.Error())
		return
	}
	id, err := enforcing.Identify(ctx, x.api, plugins)
	if err != nil {
		x.add(checkIdentity, Unknown, err.Error())
		return
	}
	x.found.identity = id
	if len(id.Plugins) == 0 {
		x.add(checkIdentity, Note, "no DaemonSet installs one where plugins are known to be, so a profile of this cluster is void only once its nodes change",
			"if it is a DaemonSet of another namespace, say which: --plugin-namespace")
		return
	}
	x.add(checkIdentity, Note, strings.Join(id.Plugins, ", "))
}

// dns says which Service answers for names. Clusters differ in where it is, and pods
// may ask a cache of their node instead.
func (x *examiner) dns(ctx context.Context) {
	var services corev1.ServiceList
	if err := x.api.List(ctx, &services); err != nil {
		x.add(checkDNS, Unknown, err.Error())
		return
	}
	var names []string
	for _, s := range services.Items {
		if answersNames(&s) {
			names = append(names, s.Namespace+"/"+s.Name)
		}
	}
	slices.Sort(names)
	if len(names) > maxListed {
		names = append(names[:maxListed], "…")
	}
	where := "no Service answers on port 53/UDP: names are answered outside the cluster, or by a cache of each node"
	if len(names) > 0 {
		where = "port 53/UDP is served by " + strings.Join(names, ", ")
	}
	switch x.named {
	case probes.Unsent:
		x.add(checkDNS, Unknown, where+"; no probe pod tried to look a name up")
	case probes.DNSFailure:
		x.add(checkDNS, Problem, where+"; a probe pod could not look up "+enforcing.KnownName, "look at the DNS of the cluster: no path by a Service's name could be proved")
	default:
		x.add(checkDNS, OK, where+"; a probe pod looked "+enforcing.KnownName+" up")
	}
}

func answersNames(s *corev1.Service) bool {
	return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 53 && p.Protocol == corev1.ProtocolUDP })
}

// families says which kinds of addresses pods have, and which were tried.
func (x *examiner) families(context.Context) {
	var tried []string
	for i, address := range x.addresses {
		name := "IPv6"
		if ip := net.ParseIP(address); ip == nil {
			continue
		} else if ip.To4() != nil {
			name = "IPv4"
		}
		if i == 0 || !slices.Contains(tried, name) {
			tried = append(tried, name)
		}
	}
	switch len(tried) {
	case 0:
		x.add(checkFamilies, Unknown, "no probe pod had an address")
	case 1:
		x.add(checkFamilies, OK, "pods have "+tried[0]+" addresses, which were tried")
	default:
		x.add(checkFamilies, Note, fmt.Sprintf("pods have %s addresses; only the first, %s, was tried: a policy with an ipBlock of one family says nothing of the other",
			strings.Join(tried, " and "), tried[0]))
	}
}
