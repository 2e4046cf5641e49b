package lint

import "slices"

// Mistake is something that people get wrong, and how it is known to be wrong.
type Mistake struct {
	ID     string `json:"id"` // stable: annotations and reports name it
	What   string `json:"what"`
	Source string `json:"source"`

	find func(*view) []draft
}

// Mistakes lists all that Check looks for, sorted by ID.
func Mistakes() []Mistake { return slices.Clone(mistakes) }

const (
	spec       = "networking.k8s.io/v1: "
	page       = "kubernetes.io/docs/concepts/services-networking/network-policies"
	istio      = "istio.io/latest/docs/ambient/usage/networkpolicy"
	nodeLocals = "kubernetes.io/docs/tasks/administer-cluster/nodelocaldns, kubernetes#70555"
)

var mistakes = []Mistake{
	{"ambient-probes", "the kubelet's probes of a pod in Istio's ambient mesh are cut", istio, ambientProbes},
	{"ambient-tunnel", "the port of the ambient mesh's tunnels (15008) is forgotten", istio, ambientTunnel},
	{"any-namespace-by-label", "an ingress rule takes pods by label out of every namespace", spec + "NetworkPolicyPeer.namespaceSelector", anyNamespace},
	{"api-server-by-selector", "a rule that is meant for the API server selects pods", page + " (hostNetwork pods), projectcalico/libcalico-go#1060", apiServerBySelector},
	{"client-address-hidden", "a rule is for clients' addresses that a Service may replace with a node's", "kubernetes.io/docs/tutorials/services/source-ip", clientAddress},
	{"clients-forgotten", "clients outside of the cluster may not reach a Service of type LoadBalancer", "kubernetes.io/docs/concepts/services-networking/service (type LoadBalancer); " + page + " (ipBlock)", clientsForgotten},
	{"configured-target-cut", "pods may not reach what their environment or arguments tell them to call", page + " (isolated pods); kubernetes.io/docs/concepts/services-networking/dns-pod-service", configuredCut},
	{"deny-that-allows", "a policy named after a denial has an empty rule, which allows everything", spec + "NetworkPolicySpec.ingress", denyThatAllows},
	{"dns-closed", "the cluster's DNS pods do not let in pods that look up names", page + " (isolated pods); kubernetes.io/docs/concepts/services-networking/dns-pod-service", dnsClosed},
	{"dns-forgotten", "pods that may connect out may not look up names", page + " (default deny egress)", dnsForgotten},
	{"dns-selector-node-local", "DNS is allowed by a selector, which cannot match NodeLocal DNSCache", nodeLocals, dnsNodeLocal},
	{"dns-tcp-only", "DNS is allowed over TCP and not over UDP", "RFC 1035 section 4.2", dnsOneProtocol(tcp, udp)},
	{"dns-udp-only", "DNS is allowed over UDP and not over TCP", "RFC 7766", dnsOneProtocol(udp, tcp)},
	{"dns-wrong-port", "DNS is allowed on the Service's port and the DNS pods listen on another one", page + " (Services), OpenShift's dns-default", dnsWrongPort},
	{"egress-closed", "pods may not connect anywhere", page + " (default deny all egress)", egressClosed},
	{"empty-egress-ignored", "an empty egress list without policyTypes denies nothing", spec + "NetworkPolicySpec.policyTypes", emptyEgressIgnored},
	{"empty-list-means-all", "an empty list of peers or ports means all of them", spec + "NetworkPolicyIngressRule.from", emptyList},
	{"host-network-peer", "a peer selects only pods that share their node's network", page + " (hostNetwork pods)", hostNetworkPeer},
	{"host-network-selected", "a policy selects pods that share their node's network", page + " (hostNetwork pods)", hostNetwork},
	{"ingress-closed", "a Service leads to pods that nobody may connect to", page + " (default deny all ingress)", ingressClosed},
	{"ingress-controller-forgotten", "an Ingress or a route leads to pods that its controller may not reach", "kubernetes.io/docs/concepts/services-networking/ingress; " + page + " (isolated pods)", controllerForgotten},
	{"ip-block-of-pod", "an ipBlock is the address of one pod", page + " (ipBlock)", podAddress},
	{"ip-block-of-service", "an ipBlock is the address of a Service, which is translated before policies look", page + " (ipBlock)", serviceAddress},
	{"ipv6-twin", "a rule is for all of IPv4 and nothing of IPv6, and the pods have both", "RFC 6724", ipv6Twin},
	{"istiod-forgotten", "the proxies of Istio's sidecars may not reach istiod", istioPorts, istiodForgotten},
	{"label-drift", "a selector has a label that changes with every revision", "kubernetes.io/docs/concepts/workloads/controllers/deployment (pod-template-hash)", labelDrift},
	{"labels-not-on-pods", "a selector asks for a label that is on a workload's object and not on its pod template", "kubernetes.io/docs/concepts/workloads/pods (pod templates)", labelsNotOnPods},
	{"link-local-over-block", "all link-local addresses are cut off instead of the metadata service's", "NodeLocal DNSCache; docs.aws.amazon.com/eks (Pod Identity)", linkLocal},
	{"metadata-exposed", "egress to the world includes the cloud's metadata service", "docs.aws.amazon.com, cloud.google.com, learn.microsoft.com (instance metadata)", metadataOpen},
	{"metrics-forgotten", "metrics cannot be fetched", page + " (isolated pods)", metricsForgotten},
	{"named-port-redefinable", "a rule names a port of pods that somebody else writes", "kubernetes#141193", namedPortForeign},
	{"named-port-unknown", "a rule names a port that no target pod declares", spec + "NetworkPolicyPort.port", namedPortUnknown},
	{"no-default-deny", "a namespace has policies and pods that none isolates", page + " (default policies)", noDefaultDeny},
	{"peer-ports", "pods of one group that need each other are cut apart", "catalog; the documentation of each product", peerPorts},
	{"peer-selects-nothing", "a peer selects no pod", spec + "NetworkPolicyPeer.podSelector", peerSelectsNothing},
	{"peers-or-instead-of-and", "two items stand where one with both selectors was meant", page + " (behavior of to and from selectors)", orInsteadOfAnd},
	{"pods-by-ip-block", "pods reach DNS only by an ipBlock, which some network plugins do not match with pods", page + " (ipBlock), docs.cilium.io (CIDR based policies)", podsByBlock},
	{"policy-types-missing", "a policy for egress isolates for ingress too", spec + "NetworkPolicySpec.policyTypes", typesMissing},
	{"port-left-out", "an item of ports has no port, which means every port of its protocol", spec + "NetworkPolicyPort.port", portLeftOut},
	{"port-protocol", "a rule lists a port with a protocol that its pods do not have it with", spec + "NetworkPolicyPort.protocol", portProtocol},
	{"redundant-rules", "an empty rule makes the others pointless", spec + "NetworkPolicySpec.ingress", redundantRules},
	{"rules-without-policy-type", "rules have no effect, because policyTypes leaves their direction out", spec + "NetworkPolicySpec.policyTypes", rulesWithoutType},
	{"selects-everything", "a policy named after one workload selects all", spec + "NetworkPolicySpec.podSelector", selectsEverything},
	{"selects-nothing", "a policy selects no pod", spec + "NetworkPolicySpec.podSelector", selectsNothing},
	{"service-closed", "policies let something in, and nothing to where Services lead", page + " (isolated pods)", serviceClosed},
	{"service-port-for-target-port", "a rule lists a Service's port where its pods listen on another one", page + " (Services)", servicePorts},
	{"webhook-forgotten", "the API server cannot call a webhook or an aggregated API", "kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers", webhookForgotten},
	{"workload-identity-cut", "pods of a service account with a cloud identity may not get its tokens", "cloud.google.com, docs.aws.amazon.com, azure.github.io (workload identity)", identityCut},
}
