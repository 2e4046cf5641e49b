package manifest

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkRead reads 5,000 pods as kubectl prints them: one List in JSON, and
// documents in YAML.
func BenchmarkRead(b *testing.B) {
	const pods = 5000
	var list, documents bytes.Buffer
	list.WriteString(`{"apiVersion": "v1", "kind": "List", "items": [`)
	for i := range pods {
		if i > 0 {
			list.WriteString(",")
		}
		fmt.Fprintf(&list, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-%d", "namespace": "ns-%d", "labels": {"app": "web", "pod-template-hash": "x"}},
 "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "web", "ports": [{"name": "http", "containerPort": 8080}], "env": [{"name": "A", "value": "b"}]}]},
 "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}}`, i, i%50)
		fmt.Fprintf(&documents, `---
apiVersion: v1
kind: Pod
metadata: {name: web-%d, namespace: ns-%d, labels: {app: web, pod-template-hash: x}}
spec:
  nodeName: n1
  containers:
  - name: web
    image: web
    ports:
    - name: http
      containerPort: 8080
    env: [{name: A, value: b}]
status: {phase: Running, podIPs: [{ip: 10.0.0.1}]}
`, i, i%50)
	}
	list.WriteString("]}")
	for name, text := range map[string][]byte{"JSON": list.Bytes(), "YAML": documents.Bytes()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				set, err := ReadStream("-", bytes.NewReader(text), Options{})
				if err != nil || len(set.Pods) != pods {
					b.Fatal(err)
				}
			}
		})
	}
}
