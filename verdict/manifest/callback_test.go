package manifest

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const callersText = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
- {name: a, clientConfig: {caBundle: "${CA}", service: {namespace: ops, name: guard, path: /a}}, failurePolicy: Fail}
- {name: b, clientConfig: {service: {namespace: ops, name: guard, port: 9443}}, failurePolicy: Ignore}
- {name: c, clientConfig: {url: "https://example.org/"}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.apps}
spec: {group: apps, version: v1}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec: {service: {namespace: kube-system, name: metrics-server, port: 8443}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  conversion: {strategy: Webhook, webhook: {clientConfig: {service: {namespace: ops, name: converter}}}}
  versions: [{name: v1, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true, default: {a: 1}}}}]
`

var callbacksWanted = []Callback{
	{Service: "ops/guard", Port: 443}, {Service: "ops/guard", Port: 9443, Tolerated: true},
	{Service: "kube-system/metrics-server", Port: 8443}, {Service: "ops/converter", Port: 443},
}

func bare(all []Callback) (bare []Callback, by []string) {
	for _, c := range all {
		by = append(by, c.Kind+" "+c.Name)
		c.Source = Source{}
		bare = append(bare, c)
	}
	return bare, by
}

func TestWhatTheAPIServerCallsIsReadFromManifestsAndFromACluster(t *testing.T) {
	r := newReading(Options{})
	r.parse("callers.yaml", []byte(callersText+"---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: ai, name: p}\nspec: {containers: [{name: c}]}\n"), true)
	set, err := r.finish()
	if err != nil {
		t.Fatal(err)
	}
	var lists Lists
	for _, text := range strings.Split(callersText, "---\n") {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		lists.Callers = append(lists.Callers, unstructured.Unstructured{Object: object})
	}
	lists.Unlisted = []string{"apiservices.apiregistration.k8s.io"}
	listed := FromLists(lists)
	by := "ValidatingWebhookConfiguration guard, ValidatingWebhookConfiguration guard, APIService v1beta1.metrics.k8s.io, CustomResourceDefinition widgets.example.org"
	for _, s := range []*Set{set, listed} {
		got, names := bare(s.Objects.Callbacks)
		if !reflect.DeepEqual(got, callbacksWanted) || strings.Join(names, ", ") != by {
			t.Errorf("got %+v of %v", got, names)
		}
	}
	if at := set.Objects.Callbacks[3].Position; at.Line != 19 {
		t.Errorf("the last one stands at %s", at)
	}
	if len(set.Notes) > 0 || len(listed.Notes) != 1 || !strings.Contains(listed.Notes[0].Message, "apiservices.apiregistration.k8s.io may not be listed") {
		t.Errorf("notes %v and %v", set.Notes, listed.Notes)
	}
}

// A configuration that is wrong is no reason to judge nothing; and nothing is
// silent about it.
func TestACallerThatCannotBeReadIsNoted(t *testing.T) {
	r := newReading(Options{})
	r.parse("x.yaml", []byte("apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: x}\nspec: {service: {port: many}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: ai, name: p}\nspec: {containers: [{name: c}]}\n"), true)
	set, err := r.finish()
	if err != nil || len(set.Notes) != 1 {
		t.Fatalf("%v, %+v", err, set)
	}
	if note := set.Notes[0].String(); !strings.Contains(note, "x.yaml:1") || !strings.Contains(note, "APIService x") || !strings.HasSuffix(note, "lint does not know what the API server calls there: cannot unmarshal !!str `many` into int32") {
		t.Errorf("the note reads %q", note)
	}
	got := FromLists(Lists{Callers: []unstructured.Unstructured{{Object: map[string]any{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": "none"}}}})
	if len(got.Notes) != 1 {
		t.Errorf("notes of a cluster's: %v", got.Notes)
	}
}
