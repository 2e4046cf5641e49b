package strict

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return n.Content[0]
}

func TestTheTwoDialectsDiffer(t *testing.T) {
	for _, tt := range []struct{ name, text, own, kubectl string }{
		{"plain", "metadata: {name: a}", "", ""},
		{"null", "metadata: {name: a, creationTimestamp: null}", "metadata.creationTimestamp: has no value: give it one, or leave the field out", ""},
		{"anchors", "metadata: {name: &a x, namespace: *a}", "metadata.name: anchors and aliases are refused, because a few of them can stand for millions of lines: write it out", ""},
		{"yes is text", "metadata: {name: yes}", "", "metadata.name: expected text, got true or false (yes): put it in quotes"},
		{"yes is true", "spec: {hostNetwork: yes}", "spec.hostNetwork: expected true or false, got text (yes)", ""},
		{"a number's name", "metadata: {labels: {0x10: a}}", "", "metadata.labels: the name of a field must be text, got a whole number (0x10): put it in quotes"},
		{"unknown", "metadate: {}", "metadate: unknown field; did you mean metadata?", "metadate: unknown field; did you mean metadata?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for dialect, want := range map[bool]string{false: tt.own, true: tt.kubectl} {
				var pod corev1.Pod
				got := ""
				if faults := Decode(parse(t, tt.text), &pod, Dialect{Kubectl: dialect}); len(faults) > 0 {
					got = faults[0].Path + ": " + faults[0].What
				}
				if got != want {
					t.Errorf("kubectl %t: got %q, want %q", dialect, got, want)
				}
			}
		})
	}
}

func TestLooseFieldsMayHoldMore(t *testing.T) {
	n := parse(t, "status: {future: 1, podIP: 10.0.0.1, hostIPs: [{more: 1}]}\nspec: {future: 1}")
	var pod corev1.Pod
	faults := Decode(n, &pod, Dialect{Kubectl: true, Loose: []string{"status"}})
	if len(faults) != 1 || faults[0].Path != "spec.future" || faults[0].Line != 2 || faults[0].Column != 8 {
		t.Errorf("%+v", faults)
	}
	if pod.Status.PodIP != "10.0.0.1" {
		t.Errorf("podIP %q", pod.Status.PodIP)
	}
	var policy networkingv1.NetworkPolicy // which has no status
	faults = Decode(parse(t, "status: {conditions: []}\nspec: {status: {}}"), &policy, Dialect{Kubectl: true, Loose: []string{"status"}})
	if len(faults) != 1 || faults[0].Path != "spec.status" {
		t.Errorf("%+v", faults)
	}
}

func TestExpansionCountsWithoutExpanding(t *testing.T) {
	for _, tt := range []struct {
		name, text            string
		nodes, aliased, depth int
		worst                 string
		cycle                 bool
	}{
		{"no alias", "a: [1, 2]", 5, 0, 3, "", false},
		{"two aliases", "a: &a [1, 2]\nb: *a\nc: [*a]", 14, 6, 4, "a", false},
		{"bomb", "a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]", 29, 20, 5, "b", false},
		{"cycle", "a: &a [*a]", 0, 0, 0, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := Expand(parse(t, tt.text))
			if (e.Cycle != nil) != tt.cycle {
				t.Fatalf("cycle %v", e.Cycle)
			}
			worst := ""
			if e.Worst != nil {
				worst = e.Worst.Value
			}
			if !tt.cycle && (e.Nodes != tt.nodes || e.Aliased != tt.aliased || e.Depth != tt.depth || worst != tt.worst) {
				t.Errorf("got %d nodes, %d aliased, depth %d, worst %q", e.Nodes, e.Aliased, e.Depth, worst)
			}
		})
	}
}

func TestFindTakesTheNearest(t *testing.T) {
	n := parse(t, "a:\n  b.c:\n  - x\n  - d: {e/f: 1}\n  b: {c: 2}\n  <<: {m: 3}\n")
	for path, line := range map[string]int{
		"": 1, "a": 1, "a.b.c": 2, "a.b.c[1].d.e/f": 4, "a.b.c[1].d[e/f]": 4, "a[b.c][0]": 3, "a.b.c[7]": 2, "a.b.x": 5, "a.m": 6, "x": 1, "a.m.z": 6,
	} {
		if got := Find(n, path); got.Line != line {
			t.Errorf("%q is in line %d, want %d", path, got.Line, line)
		}
	}
}

// FuzzDecode compares with Kubernetes' own reading: what is read without a
// fault is read alike there.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"metadata: {name: a, labels: {a: \"1\"}, creationTimestamp: 2024-01-01T00:00:00Z}\nspec: {hostNetwork: on, containers: [{name: a, ports: [{containerPort: 80}], resources: {limits: {cpu: 0.5, memory: 1Gi}}}]}",
		"spec: {podSelector: {}, ingress: [{from: [{podSelector: null}], ports: [{port: http, endPort: 0x10}]}]}",
		"spec:\n  template: &t\n    metadata: {labels: {a: b}}\n  replicas: 1_000\n  strategy: {rollingUpdate: {maxSurge: 25%}}",
		"metadata: {<<: {name: x}, name: y, managedFields: [{fieldsV1: {a: {}}}]}",
		"metadata: {annotations: {a: |\n  x\n}}", "spec: {minReadySeconds: 1.0}", "a: &a {b: *a}", "? [a]\n: b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n yaml.Node
		if len(raw) > 1<<14 || !utf8.Valid(raw) || yaml.Unmarshal(raw, &n) != nil || n.Kind != yaml.DocumentNode {
			return
		}
		if e := Expand(&n); e.Cycle != nil || e.Aliased > 1000 {
			return
		}
		compare[corev1.Pod](t, n.Content[0], raw)
		compare[appsv1.Deployment](t, n.Content[0], raw)
		compare[networkingv1.NetworkPolicy](t, n.Content[0], raw)
	})
}

func compare[T any](t *testing.T, n *yaml.Node, raw []byte) {
	var got, want T
	faults := Decode(n, &got, Dialect{Kubectl: true})
	for _, f := range faults {
		breaks := strings.FieldsFunc(string(raw)+".", func(r rune) bool { return !strings.ContainsRune("\n\r\u0085\u2028\u2029", r) })
		if f.Line < 1 || f.Line > 1+len([]rune(strings.Join(breaks, ""))) {
			t.Errorf("%+v is in no line of the text", f)
		}
	}
	// Tags are read by the two libraries in their own ways, and no manifest has
	// any; what is in fieldsV1 is nobody's business.
	if len(faults) > 0 || strings.Contains(string(raw), "fieldsV1") || strings.Contains(string(raw), "!") {
		return
	}
	if err := sigsyaml.Unmarshal(raw, &want); err != nil {
		if TabbedLine(raw) > 0 {
			return // who reads files refuses it before
		}
		t.Fatalf("%T: read here, and Kubernetes says %v\n%s", got, err, raw)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%T: got %+v\nKubernetes reads %+v\n%s", got, got, want, raw)
	}
}
