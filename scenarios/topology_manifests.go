package scenarios

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/catalog"
)

// StandinImage is the image of the stand-ins where the caller names no other.
// The lab knows it.
const StandinImage = "tightrope.dev/standin"

// Manifests renders the topology, in the order in which to create it:
// namespaces, then service accounts, Services, policies and Deployments, with
// stand-ins of the given image; empty means StandinImage. A scenario without a topology
// has none. The error is that of a workload whose profile
// or call does not exist, which a loaded scenario cannot have.
func (s *Scenario) Manifests(image string) ([]client.Object, error) {
	t := s.Spec.Topology
	if t == nil {
		return nil, nil
	}
	var namespaces, accounts, services, policies, deployments []client.Object
	for _, ns := range t.Namespaces {
		namespaces = append(namespaces, &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: ns.Name, Labels: ns.Labels},
		})
	}
	for _, w := range t.Workloads {
		accounts = append(accounts, w.account())
		for _, svc := range w.Services {
			services = append(services, w.service(svc))
		}
		d, err := t.deployment(w, cmp.Or(image, StandinImage))
		if err != nil {
			return nil, fmt.Errorf("scenario %s: workload %s/%s: %w", s.Metadata.Name, w.Namespace, w.Name, err)
		}
		deployments = append(deployments, d)
	}
	for _, p := range t.Policies {
		policies = append(policies, p.Manifest())
	}
	return slices.Concat(namespaces, accounts, services, policies, deployments), nil
}

func (w Workload) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: w.Namespace, Labels: w.podLabels()}
}

// account is the workload's own, without a mounted token: a stand-in has no
// business with the API server.
func (w Workload) account() *corev1.ServiceAccount {
	no := false
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   w.meta(w.Name),
		AutomountServiceAccountToken: &no,
	}
}

func (w Workload) service(s Service) *corev1.Service {
	out := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: w.meta(s.Name),
		Spec:       corev1.ServiceSpec{Selector: w.podLabels()},
	}
	if s.Headless {
		out.Spec.ClusterIP = corev1.ClusterIPNone
	}
	for _, p := range s.Ports {
		out.Spec.Ports = append(out.Spec.Ports, corev1.ServicePort{
			Name: p.Name, Port: p.Port, TargetPort: intstr.FromInt32(p.target()), Protocol: p.protocol(),
		})
	}
	return out
}

func (t *Topology) deployment(w Workload, image string) (*appsv1.Deployment, error) {
	profile, err := catalog.Get(w.Profile)
	if err != nil {
		return nil, err
	}
	args, err := t.arguments(w)
	if err != nil {
		return nil, err
	}
	replicas, no, grace := max(w.Replicas, 1), false, int64(5)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: w.meta(w.Name),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: w.podLabels()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: w.podLabels()},
				Spec: corev1.PodSpec{
					ServiceAccountName:            w.Name,
					AutomountServiceAccountToken:  &no,
					EnableServiceLinks:            &no,
					TerminationGracePeriodSeconds: &grace,
					Containers:                    []corev1.Container{container(w, profile, image, args)},
				},
			},
		},
	}, nil
}

func container(w Workload, profile *catalog.Profile, image string, args []string) corev1.Container {
	c := corev1.Container{
		Name: w.Name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
		ReadinessProbe: readiness(profile),
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
		}},
	}
	for _, p := range profile.Ports {
		if p.Purpose == catalog.PurposePeer {
			continue // a stand-in has no peers and leaves it closed
		}
		c.Ports = append(c.Ports, corev1.ContainerPort{
			Name: p.Name, ContainerPort: p.Number, Protocol: corev1.Protocol(cmp.Or(p.Protocol, "TCP")),
		})
	}
	return c
}

// readiness asks the profile's safe path, which looks at nothing but the
// stand-in itself: a cut path must show in its metrics, not take it out of its
// Services.
func readiness(profile *catalog.Profile) *corev1.Probe {
	port, _ := profile.Port(profile.Probe.Port) // the catalog refuses a probe of no port
	probe := &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 3}
	if profile.Probe.Type == "HTTP" {
		probe.HTTPGet = &corev1.HTTPGetAction{Path: profile.Probe.Path, Port: intstr.FromInt32(port.Number)}
	} else {
		probe.TCPSocket = &corev1.TCPSocketAction{Port: intstr.FromInt32(port.Number)}
	}
	return probe
}

// arguments tell a stand-in what it is and whom to call, by Service name.
func (t *Topology) arguments(w Workload) ([]string, error) {
	args := []string{"--profile=" + w.Profile}
	for _, c := range w.Calls {
		called, _, ok := t.service(c.Namespace, c.Service)
		if !ok {
			return nil, fmt.Errorf("it calls Service %s/%s, which the topology does not have", c.Namespace, c.Service)
		}
		address := net.JoinHostPort(c.Service+"."+c.Namespace+".svc", strconv.Itoa(int(c.Port)))
		args = append(args, fmt.Sprintf("--call=%s/%s@%s", called.Profile, c.Request, address))
	}
	return args, nil
}
