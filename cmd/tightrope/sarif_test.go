package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// A log for code review names files from where the command runs, keeps what is
// suppressed, and ends with the same code as the text.
func TestLintWritesALogForCodeReview(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "example")
	if code, _, errs := said(t, "plan", "gw-forgot-dns", "--manifests", dir); code != exitCut {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	t.Chdir(filepath.Dir(dir))
	for _, path := range []string{"example", "./example/", dir} {
		code, out, errs := said(t, "lint", "-f", path, "-o", "sarif")
		if code != exitCut {
			t.Errorf("exit code %d: %s", code, errs)
		}
		var log struct {
			Version string
			Runs    []struct {
				Invocations []struct {
					Notes []struct{ Message struct{ Text string } } `json:"toolExecutionNotifications"`
				}
				Results []struct {
					RuleID    string
					Locations []struct {
						PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
					}
					Fixes []any
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &log); err != nil || log.Version != "2.1.0" || len(log.Runs) != 1 {
			t.Fatalf("%v: %.500s", err, out)
		}
		fixed := false
		for _, r := range log.Runs[0].Results {
			fixed = fixed || r.RuleID == "dns-forgotten" && len(r.Fixes) == 1
			if uri := r.Locations[0].PhysicalLocation.ArtifactLocation.URI; !strings.HasPrefix(uri, "example/") {
				t.Errorf("-f %s: a result is in %q", path, uri)
			}
		}
		if notes := log.Runs[0].Invocations[0].Notes; !fixed || len(notes) == 0 || !strings.Contains(notes[0].Message.Text, "judged as if applied") {
			t.Errorf("fixed %t, notes %v", fixed, notes)
		}
	}
	if code, _, errs := said(t, "lint", "-f", dir, "-o", "xml"); code != exitUsage || !strings.Contains(errs, "text, json or sarif") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
