package report

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestSentenceSaysHowTheRunEnded(t *testing.T) {
	but := func(r *Report, edit func(*Report)) *Report { edit(r); return r }
	oneCut := func(edit func(*Report)) *Report {
		return but(rolledBackReport(), func(r *Report) { r.Cuts = r.Cuts[:1]; edit(r) })
	}
	for _, tt := range []struct {
		name string
		run  *Report
		want string
	}{
		{"a commit counts paths, not ways", committedReport(), "Committed: 21 of 21 paths hold under 7 policies."},
		{"a commit hides nothing", but(committedReport(), func(r *Report) { r.Paths[1].Finding = "" }),
			"Committed: 20 of 21 paths hold under 7 policies; 1 inconclusive."},
		{"a commit without paths proves nothing", &Report{Result: "Committed", Policies: make([]Policy, 1)},
			"Committed: no path was tested under 1 policy."},
		{"a cut names path, phase, rule and how fast it was back", oneCut(func(*Report) {}),
			"Rolled back: llm-gateway → kube-dns:53/UDP was cut in shadow because " + forgottenDNS + "; the baseline was back 212 ms after the decision."},
		{"other cut paths are counted", rolledBackReport(),
			"Rolled back: llm-gateway → kube-dns:53/UDP was cut in shadow because " + forgottenDNS + " (and 1 more path); the baseline was back 212 ms after the decision."},
		{"a cut without a rule says so", oneCut(func(r *Report) { r.Cuts[0].Rule, r.Cuts[0].Cause = "", "Unexplained" }),
			"Rolled back: llm-gateway → kube-dns:53/UDP was cut in shadow because of something that no rule explains; the baseline was back 212 ms after the decision."},
		{"a cut of an unlisted path has its name", oneCut(func(r *Report) { r.Cuts[0].Path, r.Cuts[0].Latencies = "gone", Latencies{} }),
			"Rolled back: gone was cut in shadow because " + forgottenDNS + "; the baseline is back."},
		{"a rollback without a cut says why", &Report{Result: "RolledBack", Message: "aborted by a person"}, "Rolled back: aborted by a person."},
		{"a failed rollback claims no baseline", oneCut(func(r *Report) { r.Result, r.Message = "RollbackFailed", "the API server did not answer." }),
			"Rollback failed: llm-gateway → kube-dns:53/UDP was cut in shadow because " + forgottenDNS + "; it is not proved that the baseline is back (the API server did not answer)."},
		{"even without a cut", &Report{Result: "RollbackFailed", Message: "no answer"}, "Rollback failed: it is not proved that the baseline is back: no answer."},
		{"a leak holds", but(committedReport(), func(r *Report) { r.Result, r.Leaks = "Held", []Cut{{Path: r.Paths[0].Name, Phase: "few"}} }),
			"Held: chat-api → llm-gateway:4000/TCP got through in few, though it must not; nothing was rolled back, because that would widen it."},
		{"a cluster that does not enforce", &Report{Result: "Inconclusive", Message: "this cluster does not enforce NetworkPolicy"},
			"Inconclusive: this cluster does not enforce NetworkPolicy."},
		{"the word is not said twice", &Report{Result: "Refused", Message: "Refused: no such Service."}, "Refused: no such Service."},
		{"an empty report proves nothing", &Report{}, "Inconclusive: nothing was proved."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Sentence(tt.run); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// What follows the first line of a message is shown with its indentation, in every
// format that people read, and harmlessly.
func TestWhatToDoIsShownAsItIsWritten(t *testing.T) {
	r := &Report{Result: "Refused", Expected: "Committed", Message: "app→store would be cut\nto spec.ingress of ai/store:\n- from:\n  - podSelector: {matchLabels: {app: \x1b[2J<b>|`x`}}"}
	if got, want := Sentence(r), "Refused: app→store would be cut."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, f := range append([]Format{{File: "the terminal", Write: func(w io.Writer, r *Report) error { return WriteText(w, r, false) }}}, Formats[:3]...) {
		var b bytes.Buffer
		if err := f.Write(&b, r); err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(b.String(), "&#xA;", "\n")
		if i, j := strings.Index(got, "- from:\n"), strings.Index(got, "  - podSelector: {matchLabels: {app: "); i < 0 || j < i {
			t.Errorf("%s does not show what to do:\n%s", f.File, got)
		}
		if strings.ContainsRune(got, '\x1b') || strings.Contains(got, "<b>") && f.File != "report.md" && f.File != "the terminal" {
			t.Errorf("%s is not harmless", f.File)
		}
		if f.File == "report.md" && !strings.Contains(got, "\n      - podSelector") {
			t.Errorf("%s shows it as markup:\n%s", f.File, got)
		}
	}
	r.Message += strings.Repeat("\n- more", 500)
	if got := details(r); len(got) != maxDetail+1 || got[maxDetail] != "…" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
}

func TestExitCodeNeverCallsAnythingElseAPass(t *testing.T) {
	results := []string{"", "Committed", "RolledBack", "Held", "RollbackFailed", "Inconclusive", "Refused", "Passed", "Verified", "Violated"}
	own := map[string]int{"Committed": 0, "RolledBack": 1, "Held": 1, "RollbackFailed": 2, "Refused": 4, "Inconclusive": 3, "": 3, "Passed": 3, "Verified": 0, "Violated": 1}
	for _, result := range results {
		for _, expected := range results {
			for _, unmet := range [][]string{nil, {"phase shadow ended Passed, expected Cut"}} {
				met := len(unmet) == 0 && (expected == result || expected == "" && result == "Committed") &&
					(expected != "" || result == "Committed")
				want := own[result]
				if met {
					want = 0
				} else if want == 0 {
					want = 1
				}
				r := &Report{Result: result, Expected: expected, Unmet: unmet}
				if got := ExitCode(r); got != want {
					t.Errorf("result %q, expected %q, unmet %q: exit %d, want %d", result, expected, unmet, got, want)
				}
				if ok, why := r.Verdict(); ok != met || ok != (why == "") {
					t.Errorf("result %q, expected %q, unmet %q: verdict %v %q", result, expected, unmet, ok, why)
				}
			}
		}
	}
}

func TestTheWorstWaySpeaksForAPath(t *testing.T) {
	order := []Finding{Holds, Inconclusive, Leak, CutFinding}
	for i, a := range order {
		for j, b := range order {
			if got := worse(a, b); got != order[max(i, j)] {
				t.Errorf("worse(%s, %s) = %s", a, b, got)
			}
		}
	}
	if worse("", Holds) != Inconclusive || worse(Holds, "holds") != Inconclusive {
		t.Error("a finding that is not one of the four words counts as a pass")
	}
	r := rolledBackReport()
	paths := pathsOf(r)
	if len(paths) != len(edges) || holding(paths) != len(edges)-3 {
		t.Errorf("%d paths, %d hold", len(paths), holding(paths))
	}
	if !slices.Equal(ways(r), []string{"Service", "PodIP"}) {
		t.Errorf("ways %q", ways(r))
	}
}

// Paths that were tried without a rollout are good if they are verified, and nothing
// else is: a commit is no such result, nor is Verified one of a rollout.
func TestVerifyIsItsOwnKindOfReport(t *testing.T) {
	for _, tt := range []struct {
		kind, result string
		ok           bool
	}{
		{KindVerify, "Verified", true}, {KindVerify, "Violated", false}, {KindVerify, "Inconclusive", false}, {KindVerify, "", false}, {KindVerify, "Committed", false},
		{"", "Verified", false}, {"", "Committed", true},
	} {
		r := &Report{Kind: tt.kind, Result: tt.result}
		if ok, why := r.Verdict(); ok != tt.ok || ok != (why == "") || ok != (ExitCode(r) == ExitCommitted) {
			t.Errorf("kind %q, result %q: ok %v, %q, exit code %d", tt.kind, tt.result, ok, why, ExitCode(r))
		}
	}
	var out strings.Builder
	if err := WriteJUnit(&out, &Report{Kind: KindVerify, Run: "verify shop", Result: "Violated", Message: "web to api is a cut"}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`name="run ends Verified"`, `<failure message="the result is Violated"`, "web to api is a cut", `name="tightrope verify shop"`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("junit.xml does not have %q:\n%s", part, &out)
		}
	}
}
