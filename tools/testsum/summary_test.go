package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"github.com/tightrope-dev/tightrope/a"}
{"Action":"run","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSlow"}
{"Action":"output","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSlow","Output":"=== RUN   TestSlow\n"}
{"Action":"run","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSlow/case"}
{"Action":"pass","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSlow/case","Elapsed":3.5}
{"Action":"pass","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSlow","Elapsed":3.6}
{"Action":"run","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSkipped"}
{"Action":"output","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSkipped","Output":"    a_test.go:3: no browser here\n"}
{"Action":"output","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSkipped","Output":"--- SKIP: TestSkipped (0.00s)\n"}
{"Action":"skip","Package":"github.com/tightrope-dev/tightrope/a","Test":"TestSkipped"}
{"Action":"pass","Package":"github.com/tightrope-dev/tightrope/a","Elapsed":4}
`

// summed is what testsum prints of events, and the log.
func summed(t *testing.T, events string) (printed, log string, failed bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reports", "test.log")
	var out bytes.Buffer
	failed, err := run(strings.NewReader(events), &out, path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), string(text), failed
}

func wants(t *testing.T, printed string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(printed, want) {
			t.Errorf("no %q in\n%s", want, printed)
		}
	}
}

func TestTimesAndSkipsAreListed(t *testing.T) {
	printed, log, failed := summed(t, events)
	wants(t, printed, "ok       a (4.0 s)\n", "    4.0  a\n", "    3.5  a TestSlow/case\n",
		"skipped, 1:\n  a TestSkipped: a_test.go:3: no browser here\n", "2 passed, 0 failed, 1 skipped\n")
	if strings.Contains(printed, "3.6") {
		t.Errorf("a test with subtests is listed beside them:\n%s", printed)
	}
	wants(t, log, "=== RUN   TestSlow\n", "--- SKIP: TestSkipped")
	if failed {
		t.Error("tests that passed are failed")
	}
}

func TestWhatFailedComesLast(t *testing.T) {
	printed, _, failed := summed(t, `{"Action":"run","Package":"b","Test":"TestBad"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"b","Test":"TestBad","Elapsed":1}
{"Action":"fail","Package":"b","Elapsed":1}
`+events)
	if _, end, ok := strings.Cut(printed, "--- FAIL b TestBad\ngot 1, want 2\n"); !ok || strings.Contains(end, "seconds by package") || !strings.Contains(end, "failed: b TestBad\n") {
		t.Errorf("the failure is not at the end:\n%s", printed)
	}
	if !failed {
		t.Error("a failed test passes")
	}
}

func TestWhatDoesNotEndFails(t *testing.T) {
	for name, tt := range map[string]struct{ events, want string }{
		"a test that its package's end cuts off": {`{"Action":"start","Package":"b"}
{"Action":"run","Package":"b","Test":"TestHangs"}
{"Action":"output","Package":"b","Test":"TestHangs","Output":"waits for ever\n"}
{"Action":"fail","Package":"b","Elapsed":600}
`, "--- FAIL b TestHangs (did not end)\nwaits for ever\n"},
		"a package that go test did not end": {`{"Action":"start","Package":"b"}
`, "the package began and did not end"},
		"a package that does not compile": {`{"Action":"build-output","ImportPath":"b [b.test]","Output":"undefined: x\n"}
{"Action":"start","Package":"b"}
{"Action":"fail","Package":"b","FailedBuild":"b [b.test]"}
`, "--- FAIL b\nundefined: x\n"},
	} {
		printed, _, failed := summed(t, events+tt.events)
		if wants(t, printed, tt.want); !failed {
			t.Errorf("%s passes", name)
		}
	}
	if _, _, failed := summed(t, ""); !failed {
		t.Error("no test at all passes")
	}
}

func TestOtherLinesAreShown(t *testing.T) {
	printed, log, _ := summed(t, "go: downloading x\n"+events)
	wants(t, printed, "go: downloading x\n")
	wants(t, log, "go: downloading x\n")
}
