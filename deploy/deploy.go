// Package deploy ships what a cluster needs to run Tightrope: the CRDs, the
// controller and the rights it has. It is data, with the images filled in.
package deploy

import (
	"bufio"
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

//go:embed crds/*.yaml manifests/*.yaml manifests/*/*.yaml
var files embed.FS

// Options fill in what differs from cluster to cluster. The zero value uses the
// image names that the lab maps to our binaries.
type Options struct {
	Controller   string            // image; empty: tightrope.dev/controller
	Agent        string            // image; empty: tightrope.dev/agent
	Twin         string            // image; empty: tightrope.dev/twin
	DropsPort    int               // of every node's address, where its data plane tells what it dropped first; 0: nowhere
	Version      string            // of this build, as every object says it; empty: none does
	PullSecrets  []string          // of Tightrope's namespace, for the controller's image
	Ordinary     bool              // the controller has no priority class: not every cluster lets it have one
	Memory       string            // limit of the controller, a quantity; empty: DefaultMemory
	NodeSelector map[string]string // of the controller's pod
	Tolerations  []corev1.Toleration
	// How probe pods look, as the flags of the controller take it. A pull secret must be
	// in every namespace with a probe pod; nobody reads it here.
	ProbePullSecrets  []string
	ProbeNodeSelector map[string]string
	ProbeTolerations  []string // of taints, each as kubectl writes it: key=value:Effect
	// SingleTenant lets rollouts name no service account: then they are made with the
	// controller's rights, whoever creates them. The zero value keeps tenants apart.
	SingleTenant bool
	Tenants      []string // namespaces that get an account for rollouts: see TenantAccount
	Minor        int      // of the cluster's Kubernetes, 1.Minor; 0: not known, and then at least 1.30
}

// LabController is the controller's image where Options name none. Only the lab has it.
const LabController = labRegistry + "/controller"

// DefaultMemory is the controller's memory limit where Options name none. docs/bench.md
// has what it is enough for.
const DefaultMemory = "512Mi"

// labRegistry is no registry: nobody serves what is named there.
const labRegistry = "tightrope.dev"

func (o Options) withDefaults() Options {
	for at, name := range map[*string]string{
		&o.Controller: LabController, &o.Agent: "tightrope.dev/agent", &o.Twin: "tightrope.dev/twin", &o.Memory: DefaultMemory,
	} {
		if *at == "" {
			*at = name
		}
	}
	return o
}

// Labels by which every object of an installation is known.
const (
	LabelPartOf  = "app.kubernetes.io/part-of"
	PartOf       = "tightrope"
	LabelVersion = "app.kubernetes.io/version"
)

// AnnotationTenants is on the controller's Deployment: the tenants' namespaces, sorted,
// with commas in between. Only administrators may write there; what is in a tenant's own
// namespace, its people can make themselves.
const AnnotationTenants = "tightrope.dev/tenants"

// ownPods is the admission policy that says what pods the controller makes as itself.
const ownPods = "tightrope-own-pods"

// SingleTenantFlag is what the controller of a single-tenant installation is started with.
const SingleTenantFlag = "--single-tenant"

// CRDs returns the custom resource definitions.
func CRDs(options Options) ([]*unstructured.Unstructured, error) {
	objects, err := read("crds")
	if err != nil {
		return nil, err
	}
	return options.mark(objects), nil
}

// Manifests returns everything but the CRDs, in the order to apply it in.
func Manifests(options Options) ([]*unstructured.Unstructured, error) {
	options = options.withDefaults()
	if err := options.validTenancy(); err != nil {
		return nil, err
	}
	objects, err := read("manifests")
	if err != nil {
		return nil, err
	}
	tenancy, err := options.tenancy()
	if err != nil {
		return nil, err
	}
	objects = options.served(append(objects, tenancy...))
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return cmp.Compare(last(a), last(b)) })
	for _, o := range objects {
		options.aggregate(o)
		var err error
		switch o.GetKind() {
		case "Deployment":
			err = options.fill(o)
		case "ValidatingAdmissionPolicy":
			err = options.limit(o)
		}
		if err != nil {
			return nil, fmt.Errorf("deploy: %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return options.mark(objects), nil
}

// last is the Deployment: everything that it needs is there before it.
func last(o *unstructured.Unstructured) int {
	if o.GetKind() == "Deployment" {
		return 1
	}
	return 0
}

// mark makes the objects say what they are part of, and of which version.
func (o Options) mark(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	for _, x := range objects {
		labels := x.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[LabelPartOf] = PartOf
		if o.Version != "" {
			labels[LabelVersion] = o.Version
		}
		x.SetLabels(labels)
	}
	return objects
}

// fill makes the Deployment run these images, where and as the options say.
func (o Options) fill(deployment *unstructured.Unstructured) error {
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(deployment.Object, &d); err != nil {
		return err
	}
	if tenants := slices.Sorted(slices.Values(o.Tenants)); len(tenants) > 0 {
		d.Annotations = map[string]string{AnnotationTenants: strings.Join(slices.Compact(tenants), ",")}
	}
	pod := &d.Spec.Template.Spec
	if n := len(pod.Containers); n != 1 {
		return fmt.Errorf("it has %d containers where one is expected", n)
	}
	c := &pod.Containers[0]
	c.Image, c.Args = o.Controller, []string{"--agent-image=" + o.Agent, "--twin-image=" + o.Twin}
	if o.SingleTenant {
		c.Args = append(c.Args, SingleTenantFlag)
	}
	if o.DropsPort != 0 {
		c.Args = append(c.Args, fmt.Sprintf("--drops-port=%d", o.DropsPort))
	}
	c.Args = append(c.Args, o.probeArgs()...)
	if o.Ordinary {
		pod.PriorityClassName = ""
	}
	for _, name := range o.PullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	pod.NodeSelector, pod.Tolerations = o.NodeSelector, o.Tolerations
	filled, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&d)
	if err != nil {
		return err
	}
	if err := setMemory(filled, o.Memory); err != nil {
		return err
	}
	delete(filled, "status")
	unstructured.RemoveNestedField(filled, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(filled, "spec", "template", "metadata", "creationTimestamp")
	deployment.Object = filled
	return nil
}

// setMemory limits the memory of the Deployment's containers. It is written as it is: a
// chart has the name of a value in its place.
func setMemory(deployment map[string]any, limit string) error {
	containers, _, err := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	if err != nil {
		return err
	}
	for _, c := range containers {
		if err := unstructured.SetNestedField(c.(map[string]any), limit, "resources", "limits", "memory"); err != nil {
			return err
		}
	}
	return unstructured.SetNestedSlice(deployment, containers, "spec", "template", "spec", "containers")
}

// limit makes the admission policy on the controller's own pods name the images that these
// may run. Each is a variable of its own, so that a chart can put another in its place.
func (o Options) limit(policy *unstructured.Unstructured) error {
	if policy.GetName() != ownPods {
		return nil
	}
	return eachOf(policy, func(variable map[string]any) {
		switch variable["name"] {
		case "agent":
			variable["expression"] = "'" + o.Agent + "'"
		case "twin":
			variable["expression"] = "'" + o.Twin + "'"
		}
	}, "spec", "variables")
}

// probeArgs are the flags that say how probe pods look.
func (o Options) probeArgs() []string {
	var args []string
	for _, name := range o.ProbePullSecrets {
		args = append(args, "--image-pull-secret="+name)
	}
	for _, key := range slices.Sorted(maps.Keys(o.ProbeNodeSelector)) {
		args = append(args, "--probe-node-selector="+key+"="+o.ProbeNodeSelector[key])
	}
	for _, taint := range o.ProbeTolerations {
		args = append(args, "--probe-toleration="+taint)
	}
	return args
}

func read(folder string) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(files, folder+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("deploy: %w", err)
		}
		docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("deploy: %s: %w", name, err)
			}
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(doc, &o.Object); err != nil {
				return nil, fmt.Errorf("deploy: %s: %w", name, err)
			}
			if len(o.Object) > 0 {
				out = append(out, o)
			}
		}
	}
	return out, nil
}
