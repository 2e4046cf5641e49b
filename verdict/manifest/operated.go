package manifest

import (
	"cmp"
	"fmt"
	"maps"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// operated are pods that an operator makes of a custom resource, as its
// documentation describes them.
type operated struct {
	Source
	labels   map[string]string // of the resource itself
	replicas int32
	template *corev1.PodTemplateSpec
	plan     plan
	unfixed  []string
	services []*corev1.Service // that the operator makes for the pods
}

// operators are the kinds whose pods are known well enough to stand for them.
var operators = map[groupKind]func(*reading, Source, *yaml.Node){
	{"monitoring.coreos.com", "Prometheus"}:   server("prometheus", map[string]string{"operator.prometheus.io/shard": "0"}, corev1.ContainerPort{Name: "web", ContainerPort: 9090}),
	{"monitoring.coreos.com", "Alertmanager"}: server("alertmanager", nil, corev1.ContainerPort{Name: "web", ContainerPort: 9093}, corev1.ContainerPort{Name: "mesh-tcp", ContainerPort: 9094}, corev1.ContainerPort{Name: "mesh-udp", ContainerPort: 9094, Protocol: corev1.ProtocolUDP}),
	{"monitoring.coreos.com", "ThanosRuler"}:  server("thanos-ruler", nil, corev1.ContainerPort{Name: "grpc", ContainerPort: 10901}, corev1.ContainerPort{Name: "web", ContainerPort: 10902}),
	{"postgresql.cnpg.io", "Cluster"}:         (*reading).readPostgres,
	{"ray.io", "RayCluster"}:                  (*reading).readRay,
	{"argoproj.io", "Rollout"}:                (*reading).readArgoRollout,
}

// operate keeps the pods, if all is right with their template; else nothing is
// known of them, and it is false.
func (r *reading) operate(n *yaml.Node, o operated) bool {
	named := metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, Labels: o.labels}
	if len(checkMeta(o.Kind, &named)) > 0 || len(checkTemplate("spec", o.template)) > 0 || o.replicas < 0 {
		r.hide(o.Source, n)
		return false
	}
	k := key(o.Kind, o.Namespace, o.Name)
	if first, ok := r.sources[k]; ok { // nothing is judged by it, so the input is not refused
		r.note(o.Position, o.subject(), "is declared twice, and the first counts: at %s", first.Position)
		return true
	}
	r.sources[k] = o.Source
	if len(r.raw.operated) < maxGathered {
		r.raw.operated = append(r.raw.operated, o)
	}
	return true
}

// server reads a kind of Prometheus Operator. Its pods have the labels that the
// operator gives to its StatefulSets' pods, and those of spec.podMetadata
// (prometheus-operator.dev, API reference: podMetadata; the operator's
// pkg/prometheus, pkg/alertmanager and pkg/thanos).
func server(app string, more map[string]string, ports ...corev1.ContainerPort) func(*reading, Source, *yaml.Node) {
	return func(r *reading, at Source, n *yaml.Node) {
		r.place(&at, n)
		var o struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
			Spec     struct {
				Replicas    *int32            `json:"replicas"`
				PodMetadata metav1.ObjectMeta `json:"podMetadata"`
				PortName    string            `json:"portName"`
				HostNetwork bool              `json:"hostNetwork"`
				Account     string            `json:"serviceAccountName"`
				chosenSpec  `json:",inline"`
			} `json:"spec"`
		}
		if !r.decode(at, n, &o, "its pods are not known") {
			r.hide(at, n)
			return
		}
		if at.Kind == "Prometheus" {
			r.scrape(at, o.Spec.chosenSpec)
		}
		set := map[string]string{
			"app.kubernetes.io/name": app, "app.kubernetes.io/instance": at.Name, "app.kubernetes.io/managed-by": "prometheus-operator",
			app: at.Name,
		}
		maps.Copy(set, more)
		maps.Copy(set, o.Spec.PodMetadata.Labels)
		own := append([]corev1.ContainerPort{}, ports...)
		for i := range own {
			if own[i].Name == "web" {
				own[i].Name = cmp.Or(o.Spec.PortName, "web")
			}
		}
		name := app + "-" + at.Name
		r.operate(n, operated{
			Source: at, labels: o.Metadata.Labels, replicas: replicas(o.Spec.Replicas), unfixed: []string{"app.kubernetes.io/version", "controller-revision-hash"},
			template: podTemplate(set, corev1.PodSpec{
				HostNetwork: o.Spec.HostNetwork, ServiceAccountName: o.Spec.Account,
				Containers: []corev1.Container{{Name: app, Image: app, Ports: own}},
			}),
			plan: plan{names: func(i int) string { return fmt.Sprintf("%s-%d", name, i) }},
		})
	}
}

func podTemplate(set map[string]string, spec corev1.PodSpec) *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: set}, Spec: spec}
}

// rayGroup is the head's or a group of workers.
type rayGroup struct {
	Name     string                 `json:"groupName"`
	Replicas *int32                 `json:"replicas"`
	Template corev1.PodTemplateSpec `json:"template"`
}

// readRay reads a RayCluster: its pods are of the templates in it, with labels
// of KubeRay (docs.ray.io, KubeRay: RayCluster configuration; the operator's
// utils/constant.go).
func (r *reading) readRay(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Head    rayGroup   `json:"headGroupSpec"`
			Workers []rayGroup `json:"workerGroupSpecs"`
		} `json:"spec"`
	}
	if !r.decode(at, n, &o, "its pods are not known") {
		r.hide(at, n)
		return
	}
	one := int32(1)
	o.Spec.Head.Name, o.Spec.Head.Replicas = "headgroup", &one
	for i, g := range append([]rayGroup{o.Spec.Head}, o.Spec.Workers...) {
		kind, name := "worker", fmt.Sprintf("%s-%s-worker", at.Name, g.Name)
		if i == 0 {
			kind, name = "head", at.Name+"-head"
		}
		set := maps.Clone(g.Template.Labels)
		if set == nil {
			set = map[string]string{}
		}
		maps.Copy(set, map[string]string{
			"ray.io/cluster": at.Name, "ray.io/node-type": kind, "ray.io/group": g.Name, "ray.io/identifier": at.Name + "-" + kind,
			"ray.io/is-ray-node": "yes", "app.kubernetes.io/name": "kuberay", "app.kubernetes.io/created-by": "kuberay-operator",
		})
		source := at
		source.Name = name
		r.operate(n, operated{Source: source, labels: o.Metadata.Labels, replicas: replicas(g.Replicas), template: podTemplate(set, g.Template.Spec)})
	}
}

// readArgoRollout reads a Rollout of Argo, which makes pods as a Deployment does
// (argo-rollouts.readthedocs.io, Specification). One with a workloadRef takes the
// template of another object.
func (r *reading) readArgoRollout(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Replicas *int32                 `json:"replicas"`
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if !r.decode(at, n, &o, "its pods are not known") {
		r.hide(at, n)
		return
	}
	r.operate(n, operated{
		Source: at, labels: o.Metadata.Labels, replicas: replicas(o.Spec.Replicas), template: &o.Spec.Template,
		unfixed: []string{"rollouts-pod-template-hash"},
	})
}
