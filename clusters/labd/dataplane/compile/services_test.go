package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// one returns a Service with port 80 named web, and a slice for it with the
// endpoints "address condition", where condition is ready, not or going.
func one(endpoints ...string) (*corev1.Service, *discoveryv1.EndpointSlice) {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "gw"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.7", Ports: []corev1.ServicePort{{Name: "web", Port: 80}}},
	}
	name, number, yes, no := "web", int32(4000), true, false
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ai", Name: "gw-1", Labels: map[string]string{discoveryv1.LabelServiceName: "gw"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &number}},
	}
	for _, text := range endpoints {
		var a, condition string
		fmt.Sscan(text, &a, &condition)
		e := discoveryv1.Endpoint{Addresses: []string{a}}
		switch condition {
		case "not":
			e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &no}
		case "going":
			e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
		}
		slice.Endpoints = append(slice.Endpoints, e)
	}
	return svc, slice
}

// targets returns where the ruleset sends connections to 10.96.0.7:80/tcp.
func targets(rs ruleset.Ruleset) []string {
	for e := range rs.Sets[setFronts].Elements {
		if e.Addr == netip.MustParseAddr("10.96.0.7") && e.Proto == ruleset.TCP && e.Port == 80 {
			rule := rs.Chains[e.Chain].Rules[0]
			got := make([]string, rule.Modulo)
			for t := range rs.Sets[rule.Target].Elements {
				got[t.Index] = fmt.Sprintf("%s:%d", t.Addr, t.Port)
			}
			return got
		}
	}
	return nil
}

func TestServiceTargets(t *testing.T) {
	type edit func(*corev1.Service, *discoveryv1.EndpointSlice)
	none := func(*corev1.Service, *discoveryv1.EndpointSlice) {}
	local := corev1.ServiceInternalTrafficPolicyLocal
	here := "node-1"
	for _, tt := range []struct {
		name      string
		endpoints []string
		edit      edit
		want      []string
	}{
		{"ready endpoints, sorted", []string{"10.244.2.5 ready", "10.244.1.2 ready"}, none, []string{"10.244.1.2:4000", "10.244.2.5:4000"}},
		{"not those that are not ready", []string{"10.244.2.5 not", "10.244.1.2 ready"}, none, []string{"10.244.1.2:4000"}},
		{"going ones stand in when none is ready", []string{"10.244.2.5 going", "10.244.1.2 not"}, none, []string{"10.244.2.5:4000"}},
		{"going ones do not while one is ready", []string{"10.244.2.5 going", "10.244.1.2 ready"}, none, []string{"10.244.1.2:4000"}},
		{"none", nil, none, nil},
		{"the same twice is one", []string{"10.244.1.2 ready", "10.244.1.2 ready"}, none, []string{"10.244.1.2:4000"}},
		{"another port's name is another port", []string{"10.244.1.2 ready"}, func(s *corev1.Service, _ *discoveryv1.EndpointSlice) { s.Spec.Ports[0].Name = "admin" }, nil},
		{"another protocol is another port", []string{"10.244.1.2 ready"}, func(_ *corev1.Service, e *discoveryv1.EndpointSlice) {
			udp := corev1.ProtocolUDP
			e.Ports[0].Protocol = &udp
		}, nil},
		{"local traffic stays here", []string{"10.244.2.5 ready", "10.244.1.2 ready"}, func(s *corev1.Service, e *discoveryv1.EndpointSlice) {
			s.Spec.InternalTrafficPolicy = &local
			e.Endpoints[1].NodeName = &here
		}, []string{"10.244.1.2:4000"}},
		{"local traffic falls back to going ones here", []string{"10.244.2.5 ready", "10.244.1.2 going"}, func(s *corev1.Service, e *discoveryv1.EndpointSlice) {
			s.Spec.InternalTrafficPolicy = &local
			e.Endpoints[1].NodeName = &here
		}, []string{"10.244.1.2:4000"}},
		{"hints for nodes are followed when every endpoint has them", []string{"10.244.2.5 ready", "10.244.1.2 ready"}, func(_ *corev1.Service, e *discoveryv1.EndpointSlice) {
			e.Endpoints[0].Hints = &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: "node-2"}}}
			e.Endpoints[1].Hints = &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: here}}}
		}, []string{"10.244.1.2:4000"}},
		{"and not when one lacks them", []string{"10.244.2.5 ready", "10.244.1.2 ready"}, func(_ *corev1.Service, e *discoveryv1.EndpointSlice) {
			e.Endpoints[1].Hints = &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: here}}}
		}, []string{"10.244.1.2:4000", "10.244.2.5:4000"}},
		{"a slice of another Service", []string{"10.244.1.2 ready"}, func(_ *corev1.Service, e *discoveryv1.EndpointSlice) { e.Labels[discoveryv1.LabelServiceName] = "x" }, nil},
		{"headless Services have no address", []string{"10.244.1.2 ready"}, func(s *corev1.Service, _ *discoveryv1.EndpointSlice) { s.Spec.ClusterIP = corev1.ClusterIPNone }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc, slice := one(tt.endpoints...)
			tt.edit(svc, slice)
			in := input(t)
			in.Services, in.Slices = []*corev1.Service{svc}, []*discoveryv1.EndpointSlice{slice}
			out := Node(in)
			if got := targets(out.Ruleset); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if len(out.Problems) > 0 {
				t.Errorf("problems: %+v", out.Problems)
			}
		})
	}
}

func TestWhatServicesCannotHaveIsSaid(t *testing.T) {
	for field, edit := range map[string]func(*corev1.ServiceSpec){
		"spec.type":                     func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeLoadBalancer },
		"spec.loadBalancerSourceRanges": func(s *corev1.ServiceSpec) { s.LoadBalancerSourceRanges = []string{"1.2.3.4/32"} },
		"spec.healthCheckNodePort":      func(s *corev1.ServiceSpec) { s.HealthCheckNodePort = 30000 },
		"spec.ipFamilies":               func(s *corev1.ServiceSpec) { s.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} },
	} {
		svc, slice := one("10.244.1.2 ready")
		edit(&svc.Spec)
		in := input(t)
		in.Services, in.Slices = []*corev1.Service{svc}, []*discoveryv1.EndpointSlice{slice}
		out := Node(in)
		if len(out.Problems) != 1 || out.Problems[0].Field != field || out.Problems[0].Kind != "Service" {
			t.Errorf("%s: problems: got %+v", field, out.Problems)
		}
		if len(targets(out.Ruleset)) != 1 {
			t.Errorf("%s: the ClusterIP must work all the same", field)
		}
	}
}

func TestServicesOfOtherProxiesAreLeftAlone(t *testing.T) {
	for _, label := range []string{"service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"} {
		svc, slice := one("10.244.1.2 ready")
		svc.Labels = map[string]string{label: ""}
		in := input(t)
		in.Services, in.Slices = []*corev1.Service{svc}, []*discoveryv1.EndpointSlice{slice}
		if rs := Node(in).Ruleset; targets(rs) != nil || len(rs.Sets[setClusterIPs].Elements) != 0 {
			t.Errorf("%s: the Service is served", label)
		}
	}
}
