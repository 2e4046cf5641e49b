package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// anAbortedRun is the evidence of a run that was aborted before it began, in a folder
// with its report.
func anAbortedRun(t *testing.T) (folder string, rep *report.Report) {
	t.Helper()
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	back := rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseAborted}
	over := rollout.State{Phase: v1alpha1.PhaseRolledBack, Cause: rollout.CauseAborted}
	chain := evidence.Chain{Run: "r-1", RunUID: "u"}
	chain.Add(evidence.Entry{At: at, Begin: &evidence.Begin{Run: "r-1", Rollout: "ai/r", Rows: []evidence.Row{{Path: "p", Expect: v1alpha1.ExpectAllow}}}})
	chain.Add(evidence.Entry{At: at, Turn: &evidence.Turn{At: rollout.State{Phase: v1alpha1.PhasePreflight}, Next: back, Intent: v1alpha1.IntentAbort, Message: "somebody asked"}})
	chain.Add(evidence.Entry{At: at, Turn: &evidence.Turn{At: back, Next: over, Evidence: rollout.Evidence{Restored: true}, Message: "somebody asked"}})
	f, err := chain.Next("plan")
	if err != nil {
		t.Fatal(err)
	}
	book, err := report.Weigh([]*evidence.Chunk{f.Chunk})
	if err != nil {
		t.Fatal(err)
	}
	run := &v1alpha1.PolicyRolloutRun{}
	run.Namespace, run.Name, run.UID = "ai", "r-1", "u"
	run.Status = v1alpha1.PolicyRolloutRunStatus{Phase: over.Phase, Cause: string(over.Cause), Result: "RolledBack", Message: "somebody asked", PlanDigest: "plan",
		Evidence: &v1alpha1.Evidence{Head: f.Head.Digest, Chunks: 1}}
	folder = t.TempDir()
	if err := writeEvidence(folder, &report.Bundle{Run: run, Chunks: []report.BundledChunk{{Name: f.Name(), Packed: f.Packed}}}); err != nil {
		t.Fatal(err)
	}
	return folder, &book.Report
}

func TestReportVerifyReadsFiles(t *testing.T) {
	folder, rep := anAbortedRun(t)
	name := filepath.Join(folder, "report.json")
	write := func() {
		raw, err := rep.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if out, _ := says(t, exitOK, "report", "verify", name); !strings.Contains(out, "Verified: the report says what the evidence gives.") || !strings.Contains(out, "✓ the chain: 1 chunks of run r-1") {
		t.Error(out)
	}
	rep.Paths[0].Attempts = 7
	write()
	if out, _ := says(t, exitInconclusive, "report", "verify", name); !strings.Contains(out, `✕ the report's paths: [0].attempts: the report says "7", and the evidence gives "0"`) {
		t.Error(out)
	}
	if _, errs := says(t, exitUsage, "report", "verify", name, "--evidence", filepath.Join(folder, "none.json")); !strings.Contains(errs, "there is no evidence") {
		t.Error(errs)
	}
}
