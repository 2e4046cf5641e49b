package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew; commit only what you can explain")

// written is one document of one report, by the name of its golden file.
type written struct {
	name  string
	bytes []byte
}

func reports() map[string]*Report {
	return map[string]*Report{"committed": committedReport(), "rolledback": rolledBackReport(), "hostile": hostileReport()}
}

// everyDocument writes all reports in all formats.
func everyDocument(t *testing.T) []written {
	t.Helper()
	formats := append([]Format{{File: "report.txt", Write: plainText}, {File: "report.ansi", Write: colourText}}, Formats...)
	var all []written
	for name, r := range reports() {
		for _, f := range formats {
			var b bytes.Buffer
			if err := f.Write(&b, r); err != nil {
				t.Fatalf("%s of %s: %v", f.File, name, err)
			}
			all = append(all, written{name + "." + f.File, b.Bytes()})
		}
	}
	return all
}

func plainText(w io.Writer, r *Report) error  { return WriteText(w, r, false) }
func colourText(w io.Writer, r *Report) error { return WriteText(w, r, true) }

func TestDocumentsAreThoseOfTestdata(t *testing.T) {
	docs := everyDocument(t)
	for _, d := range docs {
		file := filepath.Join("testdata", d.name)
		if *update {
			if err := os.WriteFile(file, d.bytes, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v: run go test ./report -update", err)
		} else if !bytes.Equal(d.bytes, want) {
			t.Errorf("%s differs at byte %d: run go test ./report -update and look at the change", file, firstDifference(d.bytes, want))
		}
	}
	files, err := os.ReadDir("testdata")
	if err != nil || len(files) != len(docs) {
		t.Errorf("testdata has %d files for %d documents (%v)", len(files), len(docs), err)
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
