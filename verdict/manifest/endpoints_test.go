package manifest

import (
	"fmt"
	"net/netip"
	"testing"
)

const behind = `apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [172.18.0.3]}, {addresses: [172.18.0.9], conditions: {ready: false}}]
ports: [{name: https, port: 6443}]
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: default}
spec: {ports: [{name: pg, port: 5432}, {name: web, port: 80}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.9}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: old, namespace: default}
subsets: [{addresses: [{ip: 203.0.113.20}, {ip: 10.1.0.1}, {ip: 10.1.0.2}], ports: [{name: pg, port: 5433}]}]
---
apiVersion: v1
kind: Service
metadata: {name: balanced, namespace: default}
spec: {type: LoadBalancer, clusterIP: 10.96.0.9, externalIPs: [198.51.100.4], selector: {app: a}, ports: [{port: 80, targetPort: http}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {ip: 192.0.2.2, ipMode: Proxy}, {hostname: lb.example}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: default, labels: {app: a}}
spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.1.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: default}
spec: {hostNetwork: true, containers: [{name: c, image: i}]}
status: {podIP: 10.1.0.2}
`

func TestAServiceLeadsToItsPodsOrEndpoints(t *testing.T) {
	set := setOf(t, behind, Options{})
	for _, tt := range []struct {
		service string // in the order of the set
		port    int
		want    string
	}{
		{"balanced", 0, "[{0 invalid IP 8080}]"},
		{"kubernetes", 0, "[{-1 172.18.0.3 6443}]"},
		{"old", 0, "[{-1 203.0.113.20 5433} {0 invalid IP 5433} {-1 10.1.0.2 5433}]"}, // a node's address is no pod's
		{"old", 1, "[]"},
	} {
		for i := range set.Services {
			if s := &set.Services[i]; s.Name == tt.service {
				if got := fmt.Sprint(set.Backends(s, s.Ports[tt.port])); got != tt.want {
					t.Errorf("%s port %d leads to %s, want %s", tt.service, tt.port, got, tt.want)
				}
			}
		}
	}
}

func TestAnAddressIsThatOfItsService(t *testing.T) {
	set := setOf(t, behind, Options{})
	for text, want := range map[string]string{
		"10.96.0.1": "kubernetes", "10.96.0.9": "balanced", "198.51.100.4": "balanced", "192.0.2.1": "balanced", "192.0.2.9": "old",
		"192.0.2.2": "", "172.18.0.3": "", "10.1.0.1": "",
	} {
		got := ""
		if s := set.At(netip.MustParseAddr(text)); s != nil {
			got = s.Name
		}
		if got != want {
			t.Errorf("%s is that of %q, want %q", text, got, want)
		}
	}
}

// Endpoints that cannot be read stop nothing: only Services without selector need
// them.
func TestEndpointsThatAreWrongAreLeftOut(t *testing.T) {
	set := setOf(t, behind+`---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default}
addressType: IPv4
endpoints: []
---
apiVersion: v1
kind: Endpoints
metadata: {name: wrong, namespace: default}
subset: []
`, Options{})
	if len(set.Objects.EndpointSlices) != 1 || len(set.Objects.Endpoints) != 1 || len(set.Notes) != 2 {
		t.Errorf("%d slices, %d endpoints, %v", len(set.Objects.EndpointSlices), len(set.Objects.Endpoints), set.Notes)
	}
}
