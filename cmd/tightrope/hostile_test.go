package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/tightrope-dev/tightrope/report"
)

// hostileName is a path's name as somebody would write it who wants to take over
// a browser, a terminal, or the reader's eye; hostileYAML is it in a file.
const (
	hostileName = "<script>alert(1)</script>\x1b[31m\x1b]0;x\x07\u202etxet\nnew|line`\u009b2J"
	hostileYAML = `"<script>alert(1)</script>\e[31m\e]0;x\a\u202Etxet\nnew|line` + "`" + `"`
	hostileC1   = `"<script>\x9b31m"` // which the API server does not take
)

// wantHarmless wants a document, or what a terminal was sent, without anything
// that a browser or a terminal would act on.
func wantHarmless(t *testing.T, name, text string) {
	t.Helper()
	if strings.Contains(strings.ToLower(text), "<script>alert") && name != "report.json" {
		t.Errorf("%s has a script in it: %.200q", name, text[strings.Index(strings.ToLower(text), "<script>alert"):])
	}
	for i, r := range text {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			t.Errorf("%s has %U at %d: %q", name, r, i, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
}

func wantHarmlessReports(t *testing.T, folder string) {
	t.Helper()
	for _, f := range report.Formats {
		raw, err := os.ReadFile(filepath.Join(folder, f.File))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(raw), "alert(1)") && !strings.Contains(string(raw), "alert\\(1\\)") {
			t.Errorf("%s does not show the path at all", f.File)
		}
		wantHarmless(t, f.File, string(raw))
	}
}

// hostileReport is a run whose every word is hostile.
func hostileReport(result string) *report.Report {
	at := time.Date(2026, 8, 2, 12, 0, 0, 0, time.UTC)
	evil := report.Cut{Path: hostileName, Via: hostileName, Phase: hostileName, Cause: hostileName, Rule: hostileName, Target: hostileName, Outcome: hostileName, At: at}
	return &report.Report{
		SchemaVersion: report.SchemaVersion, Scenario: hostileName, Run: hostileName, Rollout: hostileName, Cluster: hostileName,
		Result: result, Expected: "Committed", Unmet: []string{hostileName}, Cause: hostileName, Message: hostileName, Started: at, Ended: at.Add(time.Second),
		Phases: []report.Phase{{Name: hostileName, From: at, To: at.Add(time.Second), Outcome: hostileName, Scope: hostileName}},
		Paths: []report.Path{{
			Name: hostileName, From: report.Workload{Namespace: hostileName, Identity: hostileName}, To: report.Service{Namespace: hostileName, Name: hostileName},
			Port: 80, Protocol: hostileName, Via: hostileName, Expect: "Allow", Finding: report.CutFinding, Rule: hostileName, Note: hostileName,
		}},
		Cuts: []report.Cut{evil}, Leaks: []report.Cut{evil},
		Predicted:       []report.Prediction{{Path: hostileName, Finding: hostileName, Rule: hostileName}},
		Exposures:       []report.Exposure{{From: hostileName, To: hostileName, Port: hostileName, Phase: hostileName}},
		TemporaryAccess: []report.Access{{Identity: hostileName, Namespace: hostileName, Pods: []string{hostileName}}},
		Policies:        []report.Policy{{Name: hostileName, SHA256: hostileName}},
		NotTested:       []report.NotTested{{What: hostileName, Phase: hostileName, Reason: hostileName}},
	}
}

func TestHostileTextIsTextInEveryReportAndOnTheScreen(t *testing.T) {
	for _, result := range []string{"Committed", "RolledBack", "RollbackFailed", "Held", "Inconclusive", "Refused", hostileName} {
		t.Run(fmt.Sprintf("%.14s", result), func(t *testing.T) {
			folder, rep := t.TempDir(), hostileReport(result)
			if err := writeReports(folder, rep); err != nil {
				t.Fatal(err)
			}
			wantHarmlessReports(t, folder)
			var out bytes.Buffer
			show := newScreen(&out)
			show.result(rep)
			show.where(hostileName)
			wantHarmless(t, "the terminal", strings.ReplaceAll(out.String(), "<script>", "")) // a terminal runs no scripts
			if !strings.Contains(out.String(), "alert(1)") {
				t.Errorf("the screen does not show the path at all:\n%s", &out)
			}
		})
	}
}

func TestAnErrorWithHostileTextIsOneHarmlessLine(t *testing.T) {
	for _, args := range [][]string{
		{"run", hostileName}, {"run", "x", "--cluster", hostileName}, {"--" + hostileName}, {hostileName}, {"lab", hostileName},
		{"lab", "up", "--name", hostileName}, {"lab", "up", "--image", hostileName}, {"run", "gw-forgot-dns", "--labd", hostileName, "--report", t.TempDir()},
		{"run", file(t, "bad.yaml", strings.Replace(good(t), "name: chat-api→llm-gateway:4000\n      from: chat-api", "name: "+hostileYAML+"\n      from: "+hostileYAML, 1))},
		{"run", planted(t, "name: chat-api→llm-gateway:4000", "name: "+hostileC1)},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(args, &stdout, &stderr); code != exitUsage {
			t.Errorf("%.40q: exit code %d", args, code)
		}
		if strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%.40q: not one line: %q", args, &stderr)
		}
		wantHarmless(t, "stderr", strings.ReplaceAll(stderr.String(), "<script>", ""))
	}
}

// End to end: the name goes through the API server, the controller, an agent's
// plan and its log, and comes back as text.
func TestAHostilePathNameIsTextAfterARealRun(t *testing.T) {
	inTestAll(t, "every writer of a report is given such names by itself")
	config, reports := sharedLab(t), t.TempDir()
	cleared(t, config, "front", "back")
	path := file(t, "hostile.yaml", small(t, metadata, "metadata: {name: hostile, namespace: back}", openBlock, "",
		"- name: app→store", "- name: "+hostileYAML, "- name: stranger→store", `- name: "stranger\u202e\e[2J<script>alert(1)</script>"`))
	var stdout, stderr bytes.Buffer
	code := run([]string{"run", path, "--cluster", "current", "--kubeconfig", config, "--report", reports, "--hold-timeout", "5s"}, &stdout, &stderr)
	folder := filepath.Join(reports, "hostile")
	rep := readReport(t, folder)
	if code != exitOK || rep.Result != "Committed" || len(rep.Paths) < 2 {
		t.Errorf("exit code %d, result %s with %d paths: %s\n%q%q", code, rep.Result, len(rep.Paths), rep.Message, &stdout, &stderr)
	}
	wantHarmlessReports(t, folder)
	wantHarmless(t, "the terminal", strings.ReplaceAll(stdout.String()+stderr.String(), "<script>", ""))
	takeAway(t, config, "back", "store")
}
