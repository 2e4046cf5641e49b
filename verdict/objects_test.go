package verdict

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestPodOfReadsWhatPoliciesSee(t *testing.T) {
	var obj corev1.Pod
	err := yaml.UnmarshalStrict([]byte(`
metadata: {namespace: ai, name: model, labels: {app: model}}
spec:
  nodeName: n1
  initContainers:
  - {name: once, ports: [{name: gone, containerPort: 1}]}
  - {name: sidecar, restartPolicy: Always, ports: [{name: proxy, containerPort: 2}]}
  containers:
  - {name: main, ports: [{name: http, containerPort: 8000, protocol: TCP}]}
status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}, {ip: junk}]}
`), &obj)
	if err != nil {
		t.Fatal(err)
	}
	p := PodOf(&obj)
	if p.Key() != "ai/model" || p.Node != "n1" || p.HostNetwork || p.Labels["app"] != "model" {
		t.Errorf("got %+v", p)
	}
	if len(p.IPs) != 2 || len(p.Ports) != 2 || p.Ports[0].Name != "proxy" || p.Ports[1].Number != 8000 {
		t.Errorf("got IPs %v, ports %v", p.IPs, p.Ports)
	}
}
