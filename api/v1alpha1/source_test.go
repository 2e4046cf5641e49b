package v1alpha1

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Digests are of the Go types as JSON, and rollouts in clusters and in Git state them. A
// field that is renamed, moved, or written although it is empty makes every one of them
// wrong: no run of an unchanged suite would be made after an upgrade. So these must not
// change. A new field has omitempty (or omitzero), and goes into no suite here: another
// digest of a new suite is fine, one of an old suite is not.
func TestDigestsStayAsTheyAre(t *testing.T) {
	for name, tt := range map[string]struct{ suite, want string }{
		"with all that it may have": {`
identities:
- name: app
  namespace: a
  labels: {app: app, tier: front}
  serviceAccountName: app
- {name: other, namespace: b, labels: {app: other}}
paths:
- name: app to store, as <users> & others write
  from: app
  to: {service: {namespace: a, name: store, port: 80, protocol: TCP}}
  via: [Service, PodIP]
  expect: Allow
  probe: {type: HTTP, path: /healthz}
  criticality: Warning
- name: names
  from: app
  to: {service: {namespace: kube-system, name: kube-dns, port: 53, protocol: UDP}}
  expect: Allow
  probe: {type: DNS, query: example.com.}
- name: nobody else
  from: other
  to: {service: {namespace: a, name: store, port: 80}}
  expect: Deny
  witness: {from: app}
`, "sha256:f06a37352da01fdc3a3d7ce433fee05f3a3114d0c97b425dd35bc6e1ae3bc474"},
		"with the least": {`
identities:
- {name: app, namespace: a}
paths:
- {name: app to store, from: app, to: {service: {namespace: a, name: store, port: 80}}, expect: Allow}
`, "sha256:16f6e919214efe188382838d961a62114b332cb3e9f7a2d3731b3fe288308263"},
	} {
		suite := &ConnectivitySuite{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "a", Generation: 7}}
		if err := yaml.UnmarshalStrict([]byte(tt.suite), &suite.Spec); err != nil {
			t.Fatal(err)
		}
		if got := SuiteSource(suite).Digest; got != tt.want {
			t.Errorf("suite %s: digest %s, want %s", name, got, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		cm   corev1.ConfigMap
		want string
	}{
		"with text":       {corev1.ConfigMap{Data: map[string]string{"b.yaml": "kind: <NetworkPolicy>\n", "a.yaml": ""}}, "sha256:11567552b5b0a01c149d5e3d567e7acb4f8ad93c28d890a3ca7d1c1f43702d66"},
		"with text alone": {corev1.ConfigMap{Data: map[string]string{"b.yaml": "kind: <NetworkPolicy>\n", "a.yaml": ""}, BinaryData: map[string][]byte{}}, "sha256:11567552b5b0a01c149d5e3d567e7acb4f8ad93c28d890a3ca7d1c1f43702d66"},
		"with bytes":      {corev1.ConfigMap{BinaryData: map[string][]byte{"a.yaml": {0, 255, 10}}}, "sha256:84423100b43a5e3d8e67444fdcc9b449ddac2fa02c526d2224d0d0231724f9a6"},
		"empty":           {corev1.ConfigMap{}, "sha256:95cb9b4f84ceff132cc7a875d8c192bf4997016a939ee64141c1fd628c0e8738"},
	} {
		tt.cm.ObjectMeta = metav1.ObjectMeta{Name: "policies", Namespace: "a", Labels: map[string]string{"app": "x"}}
		if got := ConfigMapSource(&tt.cm).Digest; got != tt.want {
			t.Errorf("ConfigMap %s: digest %s, want %s", name, got, tt.want)
		}
	}
}
