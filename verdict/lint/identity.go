package lint

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tightrope-dev/tightrope/verdict"
)

// cloud is how pods of a bound service account get their credentials.
type cloud struct {
	annotation string
	name       string
	// addresses are the ways to the service that gives them, of which one must be
	// open; none: it is a public address on 443.
	addresses []netip.AddrPort
	service   string
	source    string
	label     string // that a pod needs besides, with the value true; empty: none
}

var clouds = []cloud{
	{"iam.gke.io/gcp-service-account", "GKE's workload identity", []netip.AddrPort{
		netip.MustParseAddrPort("169.254.169.254:80"), netip.MustParseAddrPort("169.254.169.252:988"), netip.MustParseAddrPort("169.254.169.254:988"),
	}, "the metadata server at 169.254.169.254", "cloud.google.com/kubernetes-engine/docs/how-to/network-policy: port 80 with Dataplane V2, 169.254.169.252 port 988 without", ""},
	{"eks.amazonaws.com/role-arn", "IAM roles for service accounts", nil, "AWS STS", "docs.aws.amazon.com/eks, IAM roles for service accounts", ""},
	{"azure.workload.identity/client-id", "Microsoft Entra Workload ID", nil, "login.microsoftonline.com", "azure.github.io/azure-workload-identity", "azure.workload.identity/use"},
}

// identityCut finds pods whose service account is bound to an identity of a cloud
// and that may not reach the service which gives them its tokens.
func identityCut(v *view) []draft {
	var drafts []draft
	for _, c := range v.classes {
		if c.HostNetwork || len(v.isolated[c][egress]) == 0 {
			continue
		}
		for _, a := range v.set.Objects.Accounts {
			if a.Namespace != c.Namespace || a.Name != c.account() {
				continue
			}
			for _, k := range clouds {
				if a.Annotations[k.annotation] != "" && v.cutsIdentity(c, k) {
					drafts = append(drafts, v.identityDraft(c, k, a.Source.String()))
				}
			}
		}
	}
	return drafts
}

// account is the service account of the class's pods.
func (c *class) account() string {
	if c.workload == nil || c.workload.Template == nil {
		return "default"
	}
	spec := &c.workload.Template.Spec
	return cmp.Or(spec.ServiceAccountName, spec.DeprecatedServiceAccount, "default")
}

func (v *view) cutsIdentity(c *class, k cloud) bool {
	if len(k.addresses) == 0 {
		return !v.othersDecide(c.Namespace) && !v.anyEgress(c, func(r rule) bool { return lists(r.ports, 443, tcp) && (leadsOut(r) || !r.onlyPods()) })
	}
	from := c.Pod
	from.IPs = nil
	return !slices.ContainsFunc(k.addresses, func(a netip.AddrPort) bool {
		conn := verdict.Conn{From: verdict.End{Pod: &from}, To: verdict.End{IP: a.Addr()}, Port: int32(a.Port()), Protocol: tcp}
		return v.snapshot.Judge(conn).Egress.Decision != verdict.Deny
	})
}

// identityDraft is a Warning at most: the annotation binds an account, and nothing
// in the input shows that the pods ask for tokens. They may not where a volume is
// there for which something on the node asks in their place.
func (v *view) identityDraft(c *class, k cloud, account string) draft {
	d := draft{policy: v.isolated[c][egress][0], at: at("spec", "egress"), severity: Warning}
	d.what = fmt.Sprintf("%s cannot get the tokens of its cloud identity (%s).", c.name(), k.name)
	d.why = fmt.Sprintf("%s, and no rule lets its pods ask %s. %s has the annotation %s, for pods that ask there for tokens (%s).", v.isolators(c, egress), k.service, account, k.annotation, k.source)
	d.fix = fmt.Sprintf("If these pods call the cloud themselves, allow 443/TCP to %s, for these pods only.", k.service)
	if len(k.addresses) > 0 {
		d.fix = "If these pods call the cloud themselves, allow 169.254.169.254/32 on 80/TCP and 169.254.169.252/32 on 988/TCP, for these pods only."
	}
	switch driver := c.served(); {
	case driver != "":
		d.severity = Info
		d.why += fmt.Sprintf(" For the volume of %s they need none: the driver on the node asks in their place.", driver)
	case k.label != "" && c.Labels[k.label] != "true":
		d.severity = Info
		d.why += fmt.Sprintf(" Pods get it only with the label %s: \"true\", which these do not have.", k.label)
	}
	return d
}

// secretDrivers are drivers of volumes with secrets. Their part on the node uses the
// pod's identity, so that the pod itself asks for no token.
var secretDrivers = []string{"secrets-store.csi.k8s.io", "secrets-store-gke.csi.k8s.io"}

// served is the driver of a volume of secrets that the class's pods mount; empty if
// there is none.
func (c *class) served() string {
	if c.workload == nil || c.workload.Template == nil {
		return ""
	}
	for _, volume := range c.workload.Template.Spec.Volumes {
		if volume.CSI != nil && slices.Contains(secretDrivers, volume.CSI.Driver) {
			return volume.CSI.Driver
		}
	}
	return ""
}
