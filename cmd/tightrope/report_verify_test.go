package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// anAbortedRun is the evidence of a run that was aborted before it began, in three chunks
// in a folder, and its report.
func anAbortedRun(t *testing.T) (folder string, b *report.Bundle, rep *report.Report) {
	t.Helper()
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	back := rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseAborted}
	over := rollout.State{Phase: v1alpha1.PhaseRolledBack, Cause: rollout.CauseAborted}
	run := &v1alpha1.PolicyRolloutRun{}
	run.Namespace, run.Name, run.UID = "ai", "r-1", "u"
	run.Status = v1alpha1.PolicyRolloutRunStatus{Phase: over.Phase, Cause: string(over.Cause), Result: "RolledBack", Message: "somebody asked", PlanDigest: "plan"}
	b = &report.Bundle{Run: run}
	chain := evidence.Chain{Run: run.Name, RunUID: string(run.UID)}
	var chunks []*evidence.Chunk
	for _, e := range []evidence.Entry{
		{At: at, Begin: &evidence.Begin{Run: run.Name, Rollout: "ai/r", Rows: []evidence.Row{{Path: "p", Expect: v1alpha1.ExpectAllow}}}},
		{At: at, Turn: &evidence.Turn{At: rollout.State{Phase: v1alpha1.PhasePreflight}, Next: back, Intent: v1alpha1.IntentAbort, Message: "somebody asked"}},
		{At: at, Turn: &evidence.Turn{At: back, Next: over, Evidence: rollout.Evidence{Restored: true}, Message: "somebody asked"}},
	} {
		chain.Add(e)
		f, err := chain.Next("plan")
		if err == nil {
			_, err = chain.See(f.Head)
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, f.Chunk)
		b.Chunks = append(b.Chunks, report.BundledChunk{Name: f.Name(), Packed: f.Packed})
		run.Status.Evidence = &v1alpha1.Evidence{Head: f.Head.Digest, Chunks: int32(f.Head.Chunks)}
	}
	book, err := report.Weigh(chunks)
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	if err := writeEvidence(folder, b); err != nil {
		t.Fatal(err)
	}
	return folder, b, &book.Report
}

// Whoever takes a chunk away, changes it, puts it in twice or elsewhere is found by the
// command, which names the chunk and ends with a code of its own.
func TestReportVerifyRefusesAnotherChain(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(chunks []report.BundledChunk) []report.BundledChunk
		says string
	}{
		"removed": {func(c []report.BundledChunk) []report.BundledChunk { return slices.Delete(c, 1, 2) }, "chunk 2, with digest sha256:"},
		"changed": {func(c []report.BundledChunk) []report.BundledChunk {
			c[1].Packed = repacked(t, c[1].Packed, "somebody asked", "nobody asked ")
			return c
		}, "it was changed, or belongs elsewhere"},
		"repeated": {func(c []report.BundledChunk) []report.BundledChunk {
			return append(c, report.BundledChunk{Name: "again", Packed: c[1].Packed})
		}, "ConfigMap again repeats ConfigMap r-1-e2-"},
		"reordered": {func(c []report.BundledChunk) []report.BundledChunk {
			c[1].Packed, c[2].Packed = repacked(t, c[2].Packed, `"number":3`, `"number":2`), repacked(t, c[1].Packed, `"number":2`, `"number":3`)
			return c
		}, "chunk 3 must have digest sha256:"},
	} {
		folder, b, rep := anAbortedRun(t)
		raw, err := rep.JSON()
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "report.json"), raw, 0o600)
		}
		b.Chunks = tt.edit(b.Chunks)
		if err = errors.Join(err, writeEvidence(folder, b)); err != nil {
			t.Fatal(err)
		}
		if out, _ := says(t, exitInconclusive, "report", "verify", filepath.Join(folder, "report.json")); !strings.Contains(out, "✕ the chain: ") || !strings.Contains(out, tt.says) || strings.Contains(out, "Verified:") {
			t.Errorf("%s: want %q in\n%s", name, tt.says, out)
		}
	}
}

// repacked is a chunk of which a text became another.
func repacked(t *testing.T, packed []byte, was, is string) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil || !bytes.Contains(raw, []byte(was)) {
		t.Fatalf("no %q in %s (%v)", was, raw, err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err = w.Write(bytes.Replace(raw, []byte(was), []byte(is), 1))
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReportVerifyReadsFiles(t *testing.T) {
	folder, _, rep := anAbortedRun(t)
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
	if out, _ := says(t, exitOK, "report", "verify", name); !strings.Contains(out, "Verified: the report says what the evidence gives.") || !strings.Contains(out, "✓ the chain: 3 chunks of run r-1") {
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
