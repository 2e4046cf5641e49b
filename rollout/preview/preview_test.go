package preview

import (
	"slices"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

const platform = `apiVersion: v1
kind: Namespace
metadata: {name: ai}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: ai, labels: {app: gateway}}
spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 4000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: gateway, namespace: ai}
spec: {selector: {app: gateway}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: ai}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: tightrope.dev/v1alpha1
kind: ConnectivitySuite
metadata: {name: paths, namespace: ai}
spec:
  identities:
  - {name: app, namespace: ai, labels: {app: app}}
  - {name: stranger, namespace: ai, labels: {app: stranger}}
  paths:
  - {name: one, from: FROM, to: {service: {namespace: ai, name: TO, port: 80}}, expect: EXPECT, criticality: Critical}
---
apiVersion: tightrope.dev/v1alpha1
kind: PolicyRollout
metadata: {name: r, namespace: ai}
spec:
  suites: [{name: paths}]
  stages: [{name: all, mode: Enforce}]
  policies:
    inline:
    - name: gateway
      namespace: ai
      spec:
        podSelector: {matchLabels: {app: gateway}}
        ingress: [{from: [{podSelector: {matchLabels: {app: app}}}], ports: [{port: 4000}]}]
`

func preview(t *testing.T, edits ...string) Preview {
	t.Helper()
	set, err := manifest.ReadStream("platform", strings.NewReader(strings.NewReplacer(edits...).Replace(platform)), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Of(set, set.Objects.Rollouts[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// One path exercises the rule; what the gateway denies takes one that must not work.
func TestWhatNoPathExercisesIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, from, expect, want string
	}{
		{"the rule", "app", "Allow", "WHAT THE SUITES TEST: 1 of 1 rules of the policies, and 0 of 1 denials\n  untested  what ai/gateway denies on ingress\n"},
		{"the denial", "stranger", "Deny", "WHAT THE SUITES TEST: 0 of 1 rules of the policies, and 1 of 1 denials\n  untested  rule ai/gateway ingress[0]\n"},
	} {
		p := preview(t, "FROM", tt.from, "TO", "gateway", "EXPECT", tt.expect, "---\napiVersion: v1\nkind: Service\nmetadata: {name: nobody", others+"---\napiVersion: v1\nkind: Service\nmetadata: {name: nobody")
		var text strings.Builder
		if err := p.WriteText(&text); err != nil || !strings.Contains(text.String(), tt.want) {
			t.Errorf("%s: got %v\n%s\nwant\n%s", tt.name, err, text.String(), tt.want)
		}
	}
}

// others are pods like the identities.
const others = `---
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: ai, labels: {app: app}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: ai, labels: {app: stranger}}
spec: {containers: [{name: c, image: i}]}
`

func TestAPathIsJudgedOnThePortBehindItsService(t *testing.T) {
	for _, tt := range []struct {
		name             string
		from, to, expect string
		finding          Finding
		now, then        verdict.Decision
		result           Result
	}{
		{"one that must work, and does", "app", "gateway", "Allow", Holds, verdict.Allow, verdict.Allow, Clean},
		{"one that must work, and would not", "stranger", "gateway", "Allow", Cut, verdict.Allow, verdict.Deny, Breaks},
		{"one that must not work, and would not any more", "stranger", "gateway", "Deny", Holds, verdict.Allow, verdict.Deny, Clean},
		{"one that must not work, and still would", "app", "gateway", "Deny", Leak, verdict.Allow, verdict.Allow, Breaks},
		{"one that leads to no pod", "app", "nobody", "Allow", Inconclusive, verdict.Unknown, verdict.Unknown, Unclear},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := preview(t, "FROM", tt.from, "TO", tt.to, "EXPECT", tt.expect)
			got := p.Paths[0]
			if got.Finding != tt.finding || got.Now != tt.now || got.Then != tt.then || got.Rule == "" || p.Result() != tt.result {
				t.Errorf("got %+v, %d", got, p.Result())
			}
		})
	}
}

// Only what votes stops a rollout, a refusal hides everything, and nothing at all
// shows nothing.
// A path that goes by name needs the name servers, unless a path of the suite speaks for
// that.
func TestAPathByNameNeedsTheNameServers(t *testing.T) {
	const isolated = `    inline:
    - name: app
      namespace: ai
      spec:
        podSelector: {matchLabels: {app: app}}
        policyTypes: [Egress]
        egress: [{to: [{podSelector: {matchLabels: {app: gateway}}}], ports: [{port: 4000}]}DNS]
`
	const allowed = `, {to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}`
	const servers = `apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {selector: {app: names}, ports: [{port: 53, targetPort: 5353, protocol: UDP}]}
---
`
	const server = `apiVersion: v1
kind: Pod
metadata: {name: names, namespace: kube-system, labels: {app: names}}
spec: {containers: [{name: c, image: i}]}
---
`
	const asks = `  paths:
  - {name: names, from: app, to: {service: {namespace: kube-system, name: kube-dns, port: 53, protocol: UDP}}, expect: Allow, probe: {type: DNS}}
`
	for name, tt := range map[string]struct {
		edits   []string
		want    Finding
		rule    string
		assumed string
	}{
		"it cannot look them up":          {[]string{"DNS]", "]"}, Cut, "no rule allows 53/UDP to kube-system/coredns", "pods labelled k8s-app=kube-dns"},
		"it can":                          {[]string{"DNS]", allowed + "]"}, Holds, "", "pods labelled k8s-app=kube-dns"},
		"not at the servers of the input": {[]string{"DNS]", allowed + "]", "apiVersion: v1\nkind: Namespace", server + servers + "apiVersion: v1\nkind: Namespace"}, Cut, "no rule allows 5353/UDP to kube-system/names", ""},
		"nobody knows the servers":        {[]string{"DNS]", "]", "apiVersion: v1\nkind: Namespace", servers + "apiVersion: v1\nkind: Namespace"}, Holds, "", "nobody looked whether paths that go by name"},
		"it goes by address":              {[]string{"DNS]", "]", "criticality: Critical", "via: [PodIP]"}, Holds, "", ""},
		"another path speaks for it":      {[]string{"DNS]", "]", "  paths:\n", asks}, Holds, "", "pods labelled k8s-app=kube-dns"},
	} {
		head, _, _ := strings.Cut(platform, "    inline:\n")
		text := strings.NewReplacer(append(tt.edits, "FROM", "app", "TO", "gateway", "EXPECT", "Allow")...).Replace(head + isolated)
		p := preview(t, platform, text)
		i := slices.IndexFunc(p.Paths, func(path Path) bool { return path.Name == "one" })
		got, assumed := p.Paths[i], strings.Join(p.Assumed, "; ")
		if got.Finding != tt.want || !strings.Contains(got.Rule, tt.rule) || !strings.Contains(assumed, tt.assumed) || tt.assumed == "" && assumed != "" {
			t.Errorf("%s: %s (%s), assumed %q; want %s (%s)", name, got.Finding, got.Rule, assumed, tt.want, tt.rule)
		}
	}
}

func TestTheWorstIsTheResult(t *testing.T) {
	p := preview(t, "FROM", "stranger", "TO", "gateway", "EXPECT", "Allow", "Critical", "Warning")
	if got := p.Result(); got != Clean {
		t.Errorf("a cut warning: %d", got)
	}
	p.Summary.Refusals = []string{"no"}
	if got := p.Result(); got != Refused {
		t.Errorf("a refusal: %d", got)
	}
	if got := (Preview{}).Result(); got != Unclear {
		t.Errorf("nothing: %d", got)
	}
}

// The same policies have one digest, whatever their order and whether defaults
// are written out; other policies have another.
func TestTheDigestNamesTheChange(t *testing.T) {
	edits := []string{"FROM", "app", "TO", "gateway", "EXPECT", "Allow"}
	a := preview(t, edits...)
	b := preview(t, append(edits, "ports: [{port: 4000}]}]", "ports: [{port: 4000, protocol: TCP}]}]\n        policyTypes: [Ingress]")...)
	c := preview(t, append(edits, "{port: 4000}", "{port: 4001}")...)
	if a.Digest != b.Digest || a.Digest == c.Digest || !strings.HasPrefix(a.Digest, "sha256:") {
		t.Errorf("%s, %s, %s", a.Digest, b.Digest, c.Digest)
	}
}

// accepting is the edit that gives the rollout exceptions.
func accepting(exceptions string) []string {
	return []string{"stages: [{name: all, mode: Enforce}]", "stages: [{name: all, mode: Enforce}]\n  exceptions: " + exceptions}
}

// What the controller would do follows from what is predicted and from what the
// author accepts, and the text says how to go on.
func TestThePlanSaysWhatTheControllerWouldDo(t *testing.T) {
	existing := []string{"---\napiVersion: v1\nkind: Service\nmetadata: {name: nobody", `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway, namespace: ai}
spec: {podSelector: {matchLabels: {app: gateway}}, policyTypes: [Ingress]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody`}
	accepted := accepting("[{type: PredictedCut, path: one, reason: it is wanted}]")
	for _, tt := range []struct {
		name, from, expect string
		edits              []string
		act                Act
		result             Result
		says               []string
	}{
		{"nothing is cut", "app", "Allow", nil, Try, Clean, []string{"Next: apply the rollout"}},
		{"a cut that nobody accepts", "stranger", "Allow", nil, Refuse, Breaks, []string{
			"if it must work, add\n         to spec.ingress of ai/gateway:\n         - from:\n           - podSelector: {matchLabels: {app: stranger}}\n           ports:\n           - {port: 4000, protocol: TCP}\n",
			"The controller would refuse it: 1 path would be cut.", `  - {type: PredictedCut, path: "one", reason: "say why"}`}},
		{"a cut that is accepted", "stranger", "Allow", accepted, Try, Breaks, []string{"accepted by an exception: it is wanted", "because exceptions accept every predicted cut"}},
		{"a cut that is only a warning", "stranger", "Allow", []string{"Critical", "Warning"}, Try, Clean, nil},
		{"an exception of another type", "stranger", "Allow", accepting("[{type: UnqualifiedPath, path: one, reason: x}]"), Refuse, Breaks, []string{"would refuse"}},
		{"a leak", "app", "Deny", nil, Hold, Breaks, []string{"would hold it as soon as a leak shows"}},
		{"an exception for what is not cut", "app", "Allow", accepted, Try, Clean, []string{"note: the exception for one changes nothing: it is not predicted to be cut"}},
		{"a policy of that name", "stranger", "Allow", append(existing, accepted...), Try, Breaks, []string{
			"ai/gateway  the present policy becomes this one", "it does not work now either"}},
		{"a policy that goes", "app", "Allow", []string{existing[0], strings.Replace(existing[1], "{name: gateway,", "{name: old,", 1),
			"  policies:\n", "  policies:\n    remove: [{namespace: ai, name: old}]\n"}, Try, Clean, []string{"the present policy is removed"}},
		{"one that a tool applies", "app", "Allow", []string{existing[0], strings.Replace(existing[1], "namespace: ai}\nspec: {pod", "namespace: ai, annotations: {meta.helm.sh/release-name: gw}}\nspec: {pod", 1)},
			Refuse, Refused, []string{"policy ai/gateway is there and would be changed, and Helm (annotation meta.helm.sh/release-name) applies it",
				"The controller would refuse it, unless an exception of type SuspendedSync accepts it."}},
		{"one whose tool is suspended", "app", "Allow", append([]string{existing[0], strings.Replace(existing[1], "namespace: ai}\nspec: {pod", "namespace: ai, annotations: {meta.helm.sh/release-name: gw}}\nspec: {pod", 1)},
			accepting("[{type: SuspendedSync, policy: ai/gateway, reason: nobody releases today}]")...), Try, Clean, []string{"the present policy becomes this one"}},
		{"one whose pods may be left alone", "app", "Allow", append([]string{existing[0], strings.NewReplacer("{name: gateway,", "{name: old,", "app: gateway", "app: stranger").Replace(existing[1]),
			"  policies:\n", "  policies:\n    remove: [{namespace: ai, name: old}]\n"}, accepting("[{type: Unisolation, namespace: ai, podSelector: {matchLabels: {app: stranger}}, direction: Ingress, reason: it is a test}]")...),
			Try, Clean, []string{"the present policy is removed"}},
		{"one of whose pods only others may", "app", "Allow", append([]string{existing[0], strings.NewReplacer("{name: gateway,", "{name: old,", "app: gateway", "app: stranger").Replace(existing[1]),
			"  policies:\n", "  policies:\n    remove: [{namespace: ai, name: old}]\n"}, accepting("[{type: Unisolation, namespace: ai, podSelector: {matchLabels: {app: stranger}}, direction: Egress, reason: it is a test}]")...),
			Refuse, Refused, []string{"would not be isolated for ingress any more", `podSelector: {"matchLabels":{"app":"stranger"}}, direction: Ingress, reason: "say why"`}},
		{"one that isolates what nothing else does", "app", "Allow", []string{existing[0], strings.NewReplacer("{name: gateway,", "{name: old,", "app: gateway", "app: stranger").Replace(existing[1]),
			"  policies:\n", "  policies:\n    remove: [{namespace: ai, name: old}]\n"}, Refuse, Refused, []string{"policy ai/old goes", "would not be isolated for ingress any more",
			"The controller would refuse it, unless an exception of type Unisolation accepts it."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := preview(t, append([]string{"FROM", tt.from, "TO", "gateway", "EXPECT", tt.expect}, tt.edits...)...)
			if p.Controller != tt.act || p.Result() != tt.result {
				t.Errorf("%s, result %d, want %s, %d", p.Controller, p.Result(), tt.act, tt.result)
			}
			var text strings.Builder
			if err := p.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			for _, says := range tt.says {
				if !strings.Contains(text.String(), says) {
					t.Errorf("it does not say\n%s\nbut\n%s", says, &text)
				}
			}
		})
	}
}

func TestAnExceptionForAPathOfNoSuiteIsAnError(t *testing.T) {
	edits := append([]string{"FROM", "app", "TO", "gateway", "EXPECT", "Allow"}, accepting("[{type: PredictedCut, path: two, reason: x}]")...)
	set, err := manifest.ReadStream("platform", strings.NewReader(strings.NewReplacer(edits...).Replace(platform)), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Of(set, set.Objects.Rollouts[0]); err == nil || !strings.Contains(err.Error(), "platform:36 PolicyRollout") || !strings.Contains(err.Error(), `no suite of the rollout has a path "two"`) {
		t.Errorf("got %v", err)
	}
}

func TestStagesThatCannotCommitAreRefused(t *testing.T) {
	set, err := manifest.ReadStream("platform", strings.NewReader(strings.NewReplacer("FROM", "app", "TO", "gateway", "EXPECT", "Allow", "mode: Enforce", "mode: Observe").Replace(platform)), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Of(set, set.Objects.Rollouts[0]); err == nil || !strings.Contains(err.Error(), "platform:") || !strings.Contains(err.Error(), "no stage has mode Enforce") {
		t.Errorf("got %v", err)
	}
}

// What no exception accepts is not said to be accepted by one.
func TestTheConclusionNamesTheExceptionsThatAccept(t *testing.T) {
	gap := []rollout.Unisolation{{}, {Allowed: true}}
	for name, tt := range map[string]struct {
		unisolated []rollout.Unisolation
		refusals   []string
		applied    int
		want       string
	}{
		"an exposure":                 {gap[1:], []string{"open"}, 0, "and no exception changes that"},
		"an un-isolation":             {gap, []string{"bare"}, 0, "unless an exception of type Unisolation accepts it"},
		"a policy that a tool has":    {gap[1:], []string{"applied"}, 1, "unless an exception of type SuspendedSync accepts it"},
		"two of those":                {nil, []string{"applied", "applied"}, 2, "unless exceptions of type SuspendedSync accept all of it"},
		"both":                        {gap, []string{"bare", "applied"}, 1, "unless exceptions of type Unisolation and SuspendedSync accept all of it"},
		"an exposure beside the rest": {gap, []string{"open", "bare", "applied"}, 1, "and exceptions accept only some of what is refused"},
	} {
		p := Preview{applied: tt.applied, Summary: rollout.Summary{Refusals: tt.refusals, Proof: rollout.Proof{Unisolated: tt.unisolated}}}
		if got := p.unless(); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// Labels of a candidate are decided with it, and some are refused, as the controller does.
func TestLabelsOfACandidateAreDecided(t *testing.T) {
	with := func(labels string) Preview {
		return preview(t, "FROM", "app", "TO", "gateway", "EXPECT", "Allow", "    - name: gateway\n", "    - name: gateway\n      labels: "+labels+"\n")
	}
	none, one, other := with("{}"), with("{team: a}"), with("{team: b}")
	if none.Digest == one.Digest || one.Digest == other.Digest {
		t.Errorf("digests %s, %s, %s", none.Digest, one.Digest, other.Digest)
	}
	if one.Result() != Clean {
		t.Errorf("with a label it is %s: %q", one.Result(), one.Summary.Refusals)
	}
	if p := with("{tightrope.dev/run: r}"); p.Result() != Refused || !strings.Contains(p.Summary.Refusals[0], "has label tightrope.dev/run in the rollout") {
		t.Errorf("with a label of ours it is %s: %q", p.Result(), p.Summary.Refusals)
	}
}

// What the controller refuses of the rollout and its suites alone, plan refuses in the same
// words: to say that every path would keep working sends people to apply it.
func TestWhatNoClusterAcceptsIsRefused(t *testing.T) {
	for what, tt := range map[string]struct{ old, new, want string }{
		"a namespace that is protected":        {"namespace: ai\n      spec:", "namespace: kube-public\n      spec:", "policy kube-public/gateway is in namespace kube-public, which is protected"},
		"one that the rollout protects":        {"  suites: [{name: paths}]", "  suites: [{name: paths}]\n  protectedNamespaces: [ai]", "policy ai/gateway is in namespace ai, which is protected"},
		"an interval in which nothing answers": {"  suites: [{name: paths}]", "  suites: [{name: paths}]\n  analysis: {interval: 1ms}", "must be at least 10ms"},
		"a budget that is no number":           {"  suites: [{name: paths}]", "  suites: [{name: paths}]\n  analysis: {falseRollbackBudget: none}", `analysis.falseRollbackBudget is "none"`},
		"probe pods where nobody may write":    {"name: stranger, namespace: ai", "name: stranger, namespace: kube-system", `identity "stranger" lives in namespace kube-system, which is protected`},
		"probe pods that look like our own":    {"labels: {app: stranger}", "labels: {tightrope.dev/role: x}", `identity "stranger" has label tightrope.dev/role`},
		"a name that leaves no room":           {"metadata: {name: r, ", "metadata: {name: " + strings.Repeat("r", 41) + ", ", "has 41 characters, at most 40"},
	} {
		p := preview(t, "FROM", "app", "TO", "gateway", "EXPECT", "Allow", tt.old, tt.new)
		if p.Result() != Refused || p.Controller != Refuse || !slices.ContainsFunc(p.Refusals(), func(why string) bool { return strings.Contains(why, tt.want) }) {
			t.Errorf("%s: result %s, refused %q, want %q", what, p.Result(), p.Refusals(), tt.want)
		}
	}
}
