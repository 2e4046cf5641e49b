package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
)

func drawn(t *testing.T, q Query, terminal Terminal) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteText(t.Context(), &b, q, terminal); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAFewWorkloadsAreAGrid(t *testing.T) {
	got := drawn(t, small(t), Terminal{})
	want := `from ↓ to →  ┌ ai/api 8080/TCP
             │ ┌ 9090/TCP
             │ │ ┌ apps/batch 80/TCP
ai/api       ■ ■ ·
apps/batch   · · ■
apps/web     ■ · ·

■ may connect   · denied

  1 target declares no port, so that there is nothing to ask: apps/web. Name ports with --ports.

9 connections by workload and port: 4 allowed, 5 denied. Why: tightrope explain --from A --to B
--port P
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestWhatDoesNotFitIsAList(t *testing.T) {
	q := small(t)
	got := drawn(t, q, Terminal{Columns: 32})
	want := `ai/api  statefulset
  8080/TCP   ■ ai/api, apps/web
             · 1 other denied
  9090/TCP   ■ ai/api
             · 2 others denied

apps/batch  pod
  80/TCP     ■ apps/batch
             · 2 others denied
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s\nwant first:\n%s", got, want)
	}
}

// At any width and of any size, no line is wider than the terminal but for a
// word that is longer itself.
func TestTextFitsTheTerminal(t *testing.T) {
	for _, columns := range []int{60, 100, 160} {
		for name, q := range map[string]Query{"small": small(t), "teams": platform(4, 8), "large": platform(8, 20)} {
			lines := strings.Split(drawn(t, q, Terminal{Columns: columns}), "\n")
			if len(lines) < 8 {
				t.Errorf("%s: only %d lines", name, len(lines))
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > columns {
					t.Errorf("%s at %d: %d wide: %s", name, columns, n, line)
				}
			}
		}
	}
}

func TestAWholeNamespaceIsOneName(t *testing.T) {
	got := drawn(t, platform(8, 20), Terminal{})
	if !strings.Contains(got, "/* (20)") || !strings.Contains(got, "≈ ") || !strings.Contains(got, "? ") {
		t.Errorf("no namespace stands for its workloads, or nothing differs or is unknown:\n%.3000s", got)
	}
}

// Colour changes how it looks and nothing else.
func TestColourIsOnlyColour(t *testing.T) {
	q := platform(4, 8)
	plain, coloured := drawn(t, q, Terminal{}), drawn(t, q, Terminal{Colour: true})
	if !strings.Contains(coloured, "\x1b[32m■\x1b[0m") {
		t.Error("no colour")
	}
	for _, code := range []string{"\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"} {
		coloured = strings.ReplaceAll(coloured, code, "")
	}
	if plain != coloured {
		t.Errorf("without colour:\n%s\nwith it:\n%s", plain, coloured)
	}
}

func TestANameCannotReachTheTerminal(t *testing.T) {
	const evil = "\x1b[2J\x07\u202e\nai"
	pods := []verdict.Pod{{Namespace: evil, Name: evil, Ports: []verdict.Port{{Number: 80}}}, {Namespace: evil, Name: "silent" + evil}}
	q := Query{Snapshot: verdict.Compile(verdict.World{}, pods), From: []End{{Pod: &pods[0]}, {IP: netip.MustParseAddr("192.0.2.1")}}}
	q.To = []End{{Pod: &pods[0], Workload: evil + "/" + evil}, {Pod: &pods[1], Workload: evil + "/" + evil}, {Pod: &pods[1]}}
	for _, columns := range []int{30, 100} {
		if got := drawn(t, q, Terminal{Columns: columns}); strings.ContainsAny(got, "\x1b\x07\u202e") {
			t.Errorf("at %d: %q", columns, got)
		}
	}
	var b bytes.Buffer
	c := compare.Changes{List: []compare.Change{{From: evil, To: evil, BeforeRule: evil, AfterRule: evil, Before: verdict.Allow, After: verdict.Deny}},
		OnlyBefore: []string{evil}, OnlyAfter: []string{evil}, Totals: compare.Totals{Closed: 1}}
	if err := WriteDiffText(&b, c, []string{evil}, Terminal{}); err != nil || strings.ContainsAny(b.String(), "\x1b\x07\u202e") {
		t.Errorf("%v: %q", err, b.String())
	}
}

func TestNobodyToAskSaysSo(t *testing.T) {
	if got := drawn(t, Query{}, Terminal{}); !strings.Contains(got, "nobody to ask") {
		t.Errorf("%q", got)
	}
}

func TestDrawingEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("enough"))
	for _, columns := range []int{30, 100} {
		if err := WriteText(ctx, &bytes.Buffer{}, small(t), Terminal{Columns: columns}); err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("at %d: %v", columns, err)
		}
	}
}

// What closes comes first: it is what breaks things.
func TestADiffSaysWhatChangesWithBothRules(t *testing.T) {
	q := small(t)
	world := q.Snapshot.World()
	var pods []verdict.Pod
	for _, p := range q.Snapshot.Pods() {
		pods = append(pods, *p)
	}
	for i, p := range world.Policies {
		switch p.Name {
		case "api":
			world.Policies[i].Spec.Ingress = nil // web may not call the api any more
		case "batch":
			world.Policies[i].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress} // anybody may call batch
		}
	}
	changes := compare.Diff(q.Snapshot, verdict.Compile(world, pods), compare.Options{PodsOnly: true, DeclaredOnly: true,
		Workload: func(p *verdict.Pod) string { return p.Namespace + "/" + strings.TrimRight(p.Name, "-01") }})
	policies := Differing(q.Snapshot.World(), world)
	var text, raw bytes.Buffer
	if err := errors.Join(WriteDiffText(&text, changes, policies, Terminal{}), json.NewEncoder(&raw).Encode(DifferenceOf(changes, policies))); err != nil {
		t.Fatal(err)
	}
	want := `Closed
  ✕ apps/web → ai/api 8080/TCP  (2 pairs)
      before: ai/api ingress[0]
      after:  ai/api ingress: no rule allows 8080/TCP from apps/web-0

Opened
  ■ ai/api → apps/batch 80/TCP
      before: apps/batch ingress: no rule allows 80/TCP from ai/api-0
      after:  not isolated
  ■ apps/web → apps/batch 80/TCP  (2 pairs)
      before: apps/batch ingress: no rule allows 80/TCP from apps/web-0
      after:  not isolated

2 closed, 3 opened, counted in pairs of pods and ports.
`
	if text.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &text, want)
	}
	var doc Difference
	if err := json.Unmarshal(raw.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Changes) != 3 || doc.Closed != 2 || doc.Opened != 3 || doc.OnlyBefore == nil || doc.Changes[0].AfterRule != "not isolated" || !slices.Equal(doc.Policies, []string{"ai/api", "apps/batch"}) {
		t.Errorf("%+v", doc)
	}
}

// A rule about pods that are not in the input changes nothing that can be seen:
// that must not read as if nothing changed.
func TestAPolicyThatDiffersUnseenIsNamed(t *testing.T) {
	before := small(t).Snapshot
	world := before.World()
	same := func(name string) string {
		var b bytes.Buffer
		after := verdict.Compile(world, nil)
		if err := WriteDiffText(&b, compare.Diff(before, before, compare.Options{PodsOnly: true, DeclaredOnly: true}), Differing(before.World(), after.World()), Terminal{Columns: 200}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return b.String()
	}
	if got := same("nothing"); got != "No connection changes, and no policy.\n" {
		t.Errorf("%q", got)
	}
	world.Policies[1].Spec = *world.Policies[1].Spec.DeepCopy()
	world.Policies[1].Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{Ports: tcp(53)}}
	if got := same("a rule more"); !strings.HasPrefix(got, "No connection between the pods at hand changes") || !strings.Contains(got, "1 policy differs: apps/batch.") {
		t.Errorf("%q", got)
	}
	world.Policies = append(world.Policies[:1:1], verdict.Policy{Namespace: "new", Name: "one"})
	if got := same("one gone, one new"); !strings.Contains(got, "2 policies differ: apps/batch, new/one.") {
		t.Errorf("%q", got)
	}
}

func TestAnOpenTargetIsReachedByEveryone(t *testing.T) {
	q := small(t)
	q.Snapshot = verdict.Compile(verdict.World{}, nil)
	q.To = q.To[3:]
	if got := drawn(t, q, Terminal{Columns: 28}); !strings.HasPrefix(got, "apps/batch  pod\n  80/TCP     ■ everyone (3)\n") {
		t.Errorf("got:\n%s", got)
	}
}
