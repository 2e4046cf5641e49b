package manifest

import (
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// postgres is as much of a Cluster of CloudNativePG as says what the operator makes.
type postgres struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Instances *int32            `json:"instances"`
		Inherited metav1.ObjectMeta `json:"inheritedMetadata"`
		Managed   struct {
			Services struct {
				Disabled   []string `json:"disabledDefaultServices"`
				Additional []struct {
					Selector string `json:"selectorType"`
					Template struct {
						Metadata metav1.ObjectMeta `json:"metadata"`
					} `json:"serviceTemplate"`
				} `json:"additional"`
			} `json:"services"`
		} `json:"managed"`
	} `json:"spec"`
}

// readPostgres reads a Cluster of CloudNativePG (cloudnative-pg.io, Labels and
// annotations: predefined labels; Networking: ports; Service management). The pods of
// its jobs and of poolers stay unknown.
func (r *reading) readPostgres(at Source, n *yaml.Node) {
	r.place(&at, n)
	var o postgres
	if !r.decode(at, n, &o, "its pods are not known") {
		r.hide(at, n)
		return
	}
	set := maps.Clone(o.Spec.Inherited.Labels)
	if set == nil {
		set = map[string]string{}
	}
	maps.Copy(set, map[string]string{"cnpg.io/cluster": at.Name, "cnpg.io/podRole": "instance"})
	name := func(i int) string { return fmt.Sprintf("%s-%d", at.Name, i+1) }
	known := r.operate(n, operated{
		Source: at, labels: o.Metadata.Labels, replicas: replicas(o.Spec.Instances), services: o.services(at),
		template: podTemplate(set, corev1.PodSpec{Containers: []corev1.Container{{Name: "postgres", Image: "postgresql", Ports: []corev1.ContainerPort{
			{Name: "postgresql", ContainerPort: 5432}, {Name: "metrics", ContainerPort: 9187}, {Name: "status", ContainerPort: 8000},
		}}}}),
		plan: plan{names: name, telling: []string{"cnpg.io/instanceName"}, labels: func(i int) map[string]string {
			role := "replica"
			if i == 0 {
				role = "primary" // until the first failover
			}
			return map[string]string{"cnpg.io/instanceName": name(i), "cnpg.io/instanceRole": role}
		}},
	})
	if known {
		r.keepCustom(at, n)
		r.partly++
	}
}

// services are those that the operator makes, for writes, for reads, and for reads of
// replicas only.
func (o *postgres) services(at Source) []*corev1.Service {
	selectors := map[string]map[string]string{
		"rw": {"cnpg.io/cluster": at.Name, "cnpg.io/instanceRole": "primary"},
		"r":  {"cnpg.io/cluster": at.Name, "cnpg.io/podRole": "instance"},
		"ro": {"cnpg.io/cluster": at.Name, "cnpg.io/instanceRole": "replica"},
	}
	var all []*corev1.Service
	put := func(name, kind string) {
		if selectors[kind] == nil || len(validation.IsDNS1123Label(name)) > 0 || len(all) >= maxGathered {
			return
		}
		all = append(all, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: name},
			Spec: corev1.ServiceSpec{Selector: selectors[kind], Ports: []corev1.ServicePort{
				{Name: "postgres", Port: 5432, TargetPort: intstr.FromInt32(5432), Protocol: corev1.ProtocolTCP},
			}},
		})
	}
	for _, kind := range []string{"r", "ro", "rw"} {
		if kind == "rw" || !slices.Contains(o.Spec.Managed.Services.Disabled, kind) {
			put(at.Name+"-"+kind, kind)
		}
	}
	for _, more := range o.Spec.Managed.Services.Additional {
		put(more.Template.Metadata.Name, more.Selector)
	}
	return all
}

// made are the Services that operators make of custom resources, where the input has
// none of that name.
func (r *raw) made() []Typed[corev1.Service] {
	declared := map[string]bool{}
	for _, s := range r.Services {
		declared[s.Namespace+"/"+s.Name] = true
	}
	var all []Typed[corev1.Service]
	for _, o := range r.operated {
		for _, s := range o.services {
			if k := s.Namespace + "/" + s.Name; !declared[k] {
				declared[k] = true
				at := o.Source
				at.APIVersion, at.Kind, at.Name = "v1", "Service", s.Name
				all = append(all, Typed[corev1.Service]{Source: at, Object: s})
			}
		}
	}
	return all
}
