package manifest

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// Custom is an object of a kind that is not read and of which a controller may
// make pods. Which pods, and with which labels, the input does not show.
type Custom struct {
	Source
	// Into is the namespace that the pods would be in; empty: any, as of an object
	// that states no namespace or deploys into others.
	Into string
}

// podlessGroups are groups of custom resources of which no controller makes
// pods. A group that is missing here only makes answers less certain.
var podlessGroups = []string{
	"appprotect.f5.com", "authorization.openshift.io", "autoscaling.karmada.io", "bootstrap.cluster.x-k8s.io",
	"cert-manager.io", "cilium.io", "cloud.google.com", "cluster.x-k8s.io", "config.openshift.io",
	"configuration.konghq.com", "console.openshift.io", "controlplane.cluster.x-k8s.io", "crd.projectcalico.org",
	"elbv2.k8s.aws", "extensions.istio.io", "external-secrets.io", "gateway.envoyproxy.io", "image.openshift.io",
	"image.toolkit.fluxcd.io", "inference.networking.x-k8s.io", "infrastructure.cluster.x-k8s.io", "k8s.cni.cncf.io",
	"k8s.nginx.org", "karpenter.k8s.aws", "karpenter.sh", "kueue.x-k8s.io", "kyverno.io", "linkerd.io", "metallb.io",
	"networking.gke.io", "networking.istio.io", "notification.toolkit.fluxcd.io", "policy.cert-manager.io",
	"policy.linkerd.io", "project.openshift.io", "projectcalico.org", "route.openshift.io",
	"secrets-store.csi.x-k8s.io", "secrets.hashicorp.com", "vpcresources.k8s.aws", "security.istio.io", "security.openshift.io", "source.toolkit.fluxcd.io",
	"telemetry.istio.io", "template.openshift.io", "traefik.containo.us", "traefik.io", "trust.cert-manager.io",
	"config.gatekeeper.sh", "constraints.gatekeeper.sh", "templates.gatekeeper.sh", "tightrope.dev",
}

// podlessKinds are kinds of which no controller makes pods, by groups that have
// others as well.
var podlessKinds = map[string][]string{
	"acme.cert-manager.io":         {"Order"},
	"argoproj.io":                  {"AppProject", "WorkflowTemplate", "ClusterWorkflowTemplate", "AnalysisTemplate", "ClusterAnalysisTemplate"},
	"bitnami.com":                  {"SealedSecret"},
	"grafana.integreatly.org":      {"GrafanaDashboard", "GrafanaDatasource", "GrafanaFolder"},
	"kafka.strimzi.io":             {"KafkaTopic", "KafkaUser"},
	"keda.sh":                      {"ScaledObject", "TriggerAuthentication", "ClusterTriggerAuthentication"},
	"kubeflow.org":                 {"Profile", "PodDefault"},
	"monitoring.googleapis.com":    {"PodMonitoring", "ClusterPodMonitoring", "ClusterNodeMonitoring", "Rules", "ClusterRules", "GlobalRules"},
	"opentelemetry.io":             {"Instrumentation"},
	"monitoring.coreos.com":        {"ServiceMonitor", "PodMonitor", "Probe", "PrometheusRule", "AlertmanagerConfig", "ScrapeConfig"},
	"operator.victoriametrics.com": {"VMServiceScrape", "VMPodScrape", "VMProbe", "VMRule", "VMNodeScrape", "VMStaticScrape", "VMScrapeConfig", "VMUser", "VMAlertmanagerConfig"},
	"postgresql.cnpg.io":           {"ImageCatalog", "ClusterImageCatalog", "Database", "Publication", "Subscription", "ScheduledBackup"},
	"projectcontour.io":            {"HTTPProxy", "TLSCertificateDelegation"},
	"rabbitmq.com":                 {"Queue", "Exchange", "User", "Vhost", "Policy", "Permission", "Binding"},
	"serving.kserve.io":            {"ServingRuntime", "ClusterServingRuntime", "ClusterStorageContainer"},
}

// makesPods reports whether a controller may make pods of objects of the kind.
// Groups without a dot and those of k8s.io are Kubernetes' own.
func makesPods(h header) bool {
	group := h.group()
	own := !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
	return !own && !slices.Contains(podlessGroups, group) && !slices.Contains(podlessKinds[group], h.kind)
}

// deploys are where kinds that deploy other manifests say into which namespace.
var deploys = map[string]string{
	"helm.toolkit.fluxcd.io": "spec.targetNamespace", "helm.cattle.io": "spec.targetNamespace",
	"kustomize.toolkit.fluxcd.io": "spec.targetNamespace", "argoproj.io": "spec.destination.namespace",
}

// hide keeps an object of which pods may be made, and counts it for the notes.
func (r *reading) hide(at Source, n *yaml.Node) {
	r.keepCustom(at, n)
	r.hiding[strict.Show(at.Kind)]++
}

// keepCustom notes an object of which pods may be made. Of a kind that says so
// the pods are in a namespace of its choice.
func (r *reading) keepCustom(at Source, n *yaml.Node) {
	at.Name, at.Namespace = text(n, "metadata", "name"), text(n, "metadata", "namespace")
	c := Custom{Source: at, Into: at.Namespace}
	if path := deploys[header{at.APIVersion, at.Kind}.group()]; path != "" {
		c.Into = cmp.Or(text(n, strings.Split(path, ".")...), at.Namespace)
		if at.Kind == "Kustomization" {
			c.Into = text(n, strings.Split(path, ".")...) // without, what it applies says where it goes
		}
	}
	if len(r.raw.Customs) < maxGathered {
		r.raw.Customs = append(r.raw.Customs, c)
	}
}

// MakerIn is an object of which a controller may make pods in the namespace that
// the input does not show; the first, if there are several.
func (s *Set) MakerIn(namespace string) (Custom, bool) {
	for _, c := range s.Objects.Customs {
		if c.Into == namespace || c.Into == "" {
			return c, true
		}
	}
	return Custom{}, false
}
