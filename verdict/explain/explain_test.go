package explain

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

const platform = `apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: v1
kind: Namespace
metadata: {name: ai}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: apps}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: batch, namespace: apps, labels: {app: batch}}
spec: {containers: [{name: batch, image: batch}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: model, namespace: ai}
spec:
  selector: {matchLabels: {app: model}}
  template:
    metadata: {labels: {app: model}}
    spec: {containers: [{name: model, image: model, ports: [{name: http, containerPort: 8000}, {name: metrics, containerPort: 9090}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: model, namespace: ai}
spec:
  selector: {app: model}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: ai}
spec:
  selector: {app: nobody}
  ports: [{port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: apps}
spec: {podSelector: {}, policyTypes: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: apps}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - to: # the model
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ai}}
      podSelector: {matchLabels: {app: model}}
    ports: [{port: http}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: model, namespace: ai}
spec:
  podSelector: {matchLabels: {app: model}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}
      podSelector: {matchLabels: {app: web}}
    ports: [{port: 8000}]
`

func setOf(t testing.TB, text string) *manifest.Set {
	t.Helper()
	set, err := manifest.ReadStream("all.yaml", strings.NewReader(text), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func answer(t *testing.T, set *manifest.Set, n Names) (Answer, string) {
	t.Helper()
	q, err := Resolve(set, n)
	if err != nil {
		t.Fatal(err)
	}
	a := Explain(set, q)
	var b bytes.Buffer
	if err := WriteText(&b, a, matrix.Terminal{}); err != nil {
		t.Fatal(err)
	}
	return a, b.String()
}

func lineOf(t *testing.T, text string) string {
	t.Helper()
	before, _, found := strings.Cut(platform, text)
	if !found {
		t.Fatalf("the platform has no %q", text)
	}
	return fmt.Sprintf("all.yaml:%d", strings.Count(before, "\n")+1)
}

func TestAnAnswerComesFirstAndNamesTheDecidingLines(t *testing.T) {
	set := setOf(t, platform)
	for _, tt := range []struct {
		name  string
		ask   Names
		first string
		says  []string
	}{
		{"a Service leads to another port", Names{From: "apps/web", To: "svc/ai/model", Port: "80"},
			"Yes: apps/web-a may connect to ai/model-0 on 8000/TCP.",
			[]string{"Service ai/model on port 80 leads to port 8000 of ai/model-0", "Rule spec.egress[0] of apps/web lets it out", "Rule spec.ingress[0] of ai/model lets it in", lineOf(t, "  - to: # the model"), "│ - to: │ - namespaceSelector", lineOf(t, "  - from:")}},
		{"the peer is right and the port is not", Names{From: "deployment/apps/web", To: "ai/model-0", Port: "metrics"},
			"No: apps/web-a may not connect to ai/model-0 on 9090/TCP.",
			[]string{"Port metrics of ai/model-0 is 9090", "Its rule spec.ingress[0] comes nearest: it is about apps/web-a, but only on 8000/TCP", "both of these are needed", "to spec.egress of apps/web", "- {port: 9090, protocol: TCP}"}},
		{"the port is right and the peer is not", Names{From: "10.1.2.3", To: "statefulset/model", Port: "8000/TCP"},
			"No: 10.1.2.3 may not connect to ai/model-0 on 8000/TCP.",
			[]string{"outside the cluster, where no policy applies", "it is about this port, but for pods with app=web of namespace apps, and not for 10.1.2.3", "ipBlock: {cidr: 10.1.2.3/32}", "this is enough"}},
		{"only a default deny covers it", Names{From: "apps/batch", To: "ai/model", Port: "8000"},
			"No: apps/batch may not connect to ai/model-0 on 8000/TCP.",
			[]string{"apps/default-deny has no rule for what leaves: it denies everything", "a new policy apps/batch-8000-egress", "podSelector: {matchLabels: {app: batch}}"}},
		{"nobody is isolated", Names{From: "ai/model", To: "pod/batch", Port: "80", Namespace: "apps"},
			"Yes: ai/model-0 may connect to apps/batch on 80/TCP.",
			[]string{"No policy is about what leaves ai/model-0, so everything may."}},
		{"replicas of one workload", Names{From: "apps/web", To: "apps/web", Port: "80"},
			"No: apps/web-a may not connect to apps/web-b on 80/TCP.", []string{"the same for all 2 pairs"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, text := answer(t, set, tt.ask)
			if !strings.HasPrefix(text, tt.first+"\n") {
				t.Errorf("it begins with %q", strings.SplitN(text, "\n", 2)[0])
			}
			for _, want := range tt.says {
				if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
					t.Errorf("it does not say %q:\n%s", want, text)
				}
			}
			if strings.Contains(text, "the model\n") {
				t.Errorf("it shows a comment:\n%s", text)
			}
			if n := strings.Count(text, "\n"); n > 50 {
				t.Errorf("%d lines are more than a screen:\n%s", n, text)
			}
		})
	}
}

// Whoever does what is suggested gets through: for every denial between two pods
// on their ports, the suggested rules are added and judged anew.
func TestWhatIsSuggestedAllowsIt(t *testing.T) {
	set := setOf(t, platform)
	denied := 0
	for _, from := range matrix.Ends(set) {
		for _, to := range matrix.Ends(set) {
			if from.Pod == to.Pod {
				continue
			}
			q := Question{From: []matrix.End{from}, To: []matrix.End{to}, Ports: []int32{9090}, Protocol: "TCP"}
			a := Explain(set, q)
			if a.Verdict != "Deny" {
				if len(a.Additions) > 0 {
					t.Errorf("%s: something to add", a.Sentence)
				}
				continue
			}
			denied++
			if len(a.Additions) == 0 {
				t.Errorf("%s: nothing to add: %s", a.Sentence, a.Next)
			}
			w := set.World
			for _, add := range a.Additions {
				var keep []verdict.Policy
				for _, p := range w.Policies {
					if p.Key() != add.Policy {
						keep = append(keep, p)
					}
				}
				w.Policies = append(keep, add.spec)
			}
			v := verdict.Compile(w, set.Pods).Judge(verdict.Conn{From: verdict.End{Pod: from.Pod}, To: verdict.End{Pod: to.Pod}, Port: 9090})
			if v.Decision != verdict.Allow {
				t.Errorf("%s, and with what is suggested: %s", a.Sentence, v.Reason)
			}
		}
	}
	if denied < 5 {
		t.Errorf("only %d denials: the platform does not test this", denied)
	}
}

func TestWhatIsNotThereIsBadInput(t *testing.T) {
	set := setOf(t, platform)
	for _, tt := range []struct {
		ask  Names
		says string
	}{
		{Names{From: "apps/wep", To: "ai/model", Port: "80"}, `--from: nothing is called "apps/wep"`},
		{Names{From: "ai/web", To: "ai/model", Port: "80"}, "but there is apps/web"},
		{Names{From: "web", To: "ai/model", Port: "80"}, "is no pod and no address"},
		{Names{From: "apps/web", To: "svc/ai/modell", Port: "80"}, "there is no Service"},
		{Names{From: "apps/web", To: "svc/ai/model", Port: "8000"}, "has no port 8000/TCP: it has 80/TCP"},
		{Names{From: "apps/web", To: "svc/ai/nobody", Port: "80"}, "leads to no pod"},
		{Names{From: "apps/web", To: "ai/model", Port: "grpc"}, "declares no port grpc/TCP"},
		{Names{From: "apps/web", To: "ai/model", Port: "70000"}, "70000 is no port"},
		{Names{From: "10.0.0.1", To: "10.0.0.2", Port: "80"}, "both outside"},
		{Names{From: "", To: "ai/model", Port: "80"}, "name a pod"},
	} {
		if _, err := Resolve(set, tt.ask); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v, want %q", tt.ask, err, tt.says)
		}
	}
}

// A pod that a controller makes of an object of the input is not known, which is
// another thing than a wrong name.
func TestAPodThatAControllerMakesIsNotKnown(t *testing.T) {
	set := setOf(t, platform+"---\napiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {namespace: ai, name: llama}\n")
	const says = "a controller may make such pods of InferenceService ai/llama"
	if _, err := Resolve(set, Names{From: "apps/web", To: "ai/llama-predictor", Port: "80"}); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%v does not say %q", err, says)
	}
	if _, err := Resolve(set, Names{From: "apps/wep", To: "ai/model", Port: "80"}); err == nil || strings.Contains(err.Error(), "controller") {
		t.Errorf("of another namespace: %v", err)
	}
}

func TestANameCannotReachTheTerminal(t *testing.T) {
	a := Answer{Verdict: "Deny", Sentence: "No: \x1b[2Ja", Notes: []string{"\x07"}, Next: "\u202e", Out: Side{Title: "\x1b]0;x", Text: "\u009b1m", Lines: "- \x1b[31m", Where: "\x1b"}}
	var b bytes.Buffer
	if err := WriteText(&b, a, matrix.Terminal{}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u009b\u202e") {
		t.Errorf("%q", b.String())
	}
}
