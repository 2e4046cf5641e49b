package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// No format lets a name act: neither markup nor a control character is in any
// document, but for the colours that a terminal was asked to show.
func TestHostileNamesAreTextInEveryFormat(t *testing.T) {
	colours := regexp.MustCompile("\x1b\\[(0|1|32|33|36|31;1)m")
	docs := everyDocument(t)
	for _, d := range docs {
		text := string(d.bytes)
		if strings.HasSuffix(d.name, ".ansi") {
			text = colours.ReplaceAllString(text, "")
		} else if strings.Contains(d.name, "hostile") && !strings.Contains(text, "script") {
			t.Errorf("%s: the name is not there at all", d.name)
		}
		terminal := strings.HasSuffix(d.name, ".txt") || strings.HasSuffix(d.name, ".ansi")
		for _, markup := range []string{"<script", "<img", "\x1b", "\u009b", "\u202e", "\x00", "\u200b"} {
			if strings.Contains(text, markup) && !(terminal && markup[0] == '<') {
				t.Errorf("%s holds a bare %q", d.name, markup)
			}
		}
		if !utf8.ValidString(text) {
			t.Errorf("%s is not UTF-8", d.name)
		}
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s holds %U", d.name, r)
				break
			}
		}
	}
	if len(docs) != 3*(2+len(Formats)) {
		t.Errorf("%d documents", len(docs))
	}
}

func TestTextFitsItsColumns(t *testing.T) {
	for name, r := range reports() {
		var b bytes.Buffer
		if err := WriteText(&b, r, false); err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(b.String(), "\n") {
			// A word that is longer than a line is not broken, so that it can be
			// copied; the matrix has no such excuse.
			matrix := strings.Contains(l, " → ") && strings.HasPrefix(l, "  ") && !strings.Contains(l, "broken →")
			if columns(l) > Columns && (matrix || name != "hostile") {
				t.Errorf("%s: %d columns: %s", name, columns(l), l)
			}
		}
	}
}

func TestTextOfALargeSuiteShowsWhatDoesNotHold(t *testing.T) {
	r := &Report{Result: "RolledBack"}
	for i := range 500 {
		p := Path{Name: "p", From: Workload{"apps", "a"}, To: Service{"ai", "b"}, Port: int32(i + 1), Protocol: "TCP", Via: "PodIP", Expect: "Allow", Finding: Holds}
		if i == 321 {
			p.Finding = CutFinding
		}
		r.Paths = append(r.Paths, p)
	}
	var b bytes.Buffer
	if err := WriteText(&b, r, false); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.Contains(text, "b:322/TCP") || !strings.Contains(text, "499 paths that hold") || strings.Contains(text, "b:7/TCP") {
		t.Errorf("got:\n%s", text)
	}
}

func TestJUnitCountsWhatItHolds(t *testing.T) {
	rows := map[Finding]int{}
	for _, p := range rolledBackReport().Paths {
		rows[p.Finding]++
	}
	for _, tt := range []struct {
		name                              string
		run                               *Report
		tests, failures, errors_, skipped int
	}{
		{"committed", committedReport(), 2*len(edges) + 1, 0, 0, 0},
		{"rolled back as expected", rolledBackReport(), 2*len(edges) + 1, 0, 0, rows[Inconclusive]},
		{"rolled back outside a scenario", unexpected(rolledBackReport()), 2*len(edges) + 1, rows[CutFinding] + 1, 0, rows[Inconclusive]},
		{"hostile", hostileReport(), 7, 3, 0, 1},
		{"nothing proved is an error, not a skip", &Report{Result: "Inconclusive", Paths: make([]Path, 4)}, 5, 0, 1, 4},
		{"refused is a failure", &Report{Result: "Refused"}, 1, 1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteJUnit(&b, tt.run); err != nil {
				t.Fatal(err)
			}
			var all junitSuites
			if err := xml.Unmarshal(b.Bytes(), &all); err != nil {
				t.Fatalf("not XML: %v", err)
			}
			if all.Tests != tt.tests || all.Failures != tt.failures || all.Errors != tt.errors_ || all.Skipped != tt.skipped || len(all.Suites[0].Cases) != tt.tests {
				t.Errorf("%d tests, %d failures, %d errors, %d skipped, %d cases; want %+v", all.Tests, all.Failures, all.Errors, all.Skipped, len(all.Suites[0].Cases), tt)
			}
		})
	}
}

// unexpected is the report of a run that no scenario expected anything of.
func unexpected(r *Report) *Report {
	r.Expected = ""
	return r
}

func TestJUnitFailureNamesRuleAndLatencies(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJUnit(&b, unexpected(rolledBackReport())); err != nil {
		t.Fatal(err)
	}
	var all junitSuites
	if err := xml.Unmarshal(b.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Suites[0].Cases {
		if c.Name != "llm-gateway-to-kube-dns-53-udp via PodIP" {
			continue
		}
		if c.Class != "ai/llm-gateway" || c.Failure == nil || c.Failure.Message != "cut: "+forgottenDNS || c.Skipped != nil {
			t.Errorf("case %+v, failure %+v", c, c.Failure)
		}
		for _, want := range []string{"detect 84 ms", "decide 3.1 ms", "restore 212 ms", "recover 41 ms", "9 of 47"} {
			if c.Failure == nil || !strings.Contains(c.Failure.Text, want) {
				t.Errorf("no %q in %+v", want, c.Failure)
			}
		}
		return
	}
	t.Error("no case for the cut path")
}

// A cell can neither end its column nor start anything that Markdown knows.
func TestMarkdownTablesKeepTheirShape(t *testing.T) {
	for name, r := range reports() {
		var b bytes.Buffer
		if err := WriteMarkdown(&b, r); err != nil {
			t.Fatal(err)
		}
		width, tables := 0, 0
		for _, l := range strings.Split(b.String(), "\n") {
			if !strings.HasPrefix(l, "|") {
				width = 0
				continue
			}
			if width == 0 {
				width = strings.Count(l, "|")
				tables++
			} else if n := strings.Count(l, "|"); n != width {
				t.Errorf("%s: %d bars instead of %d: %s", name, n, width, l)
			}
		}
		if tables < 5 {
			t.Errorf("%s: only %d tables", name, tables)
		}
		if m := regexp.MustCompile("`|\\]\\(|@[a-z]|[^:]//|://|<[^!]|\\*\\w").FindString(b.String()); m != "" && !strings.Contains(m, "//") {
			t.Errorf("%s: %q is live Markdown", name, m)
		}
		if strings.Contains(b.String(), "://") {
			t.Errorf("%s has an address that becomes a link", name)
		}
	}
}

func TestMatrixHasARowForEachSourceAndTheWorstInEachCell(t *testing.T) {
	m, ok := matrixOf(rolledBackReport())
	if !ok || len(m.Rows) != 8 || len(m.Rows[0].Cells) != 10 {
		t.Fatalf("%v, %d rows", ok, len(m.Rows))
	}
	cells := map[string]int{}
	for _, row := range m.Rows {
		for _, c := range row.Cells {
			cells[c.Text()]++
		}
	}
	want := map[string]int{"✓ allowed": 12, "✓ denied": 6, "✕ cut": 2, "? inconclusive": 1, "": 59}
	for text, n := range want {
		if cells[text] != n {
			t.Errorf("%d cells say %q, want %d", cells[text], text, n)
		}
	}
	big := &Report{}
	for i := range 100 {
		big.Paths = append(big.Paths, Path{From: Workload{"a", string(rune('0' + i))}, Port: int32(i)})
	}
	if _, ok := matrixOf(big); ok {
		t.Error("a matrix of 10,000 cells is not refused")
	}
}

func TestTimelineIsToScale(t *testing.T) {
	line := timelineOf(rolledBackReport())
	if got := line.Phases[0]; got.X != "0.00%" || got.Width != "29.86%" { // 2150 of 7200 ms
		t.Errorf("preflight at %s, %s wide", got.X, got.Width)
	}
	if len(line.Marks) != 2 || line.Marks[0].X != "85.83%" || line.Marks[0].Label != "✕ cut" || line.Marks[1].Label != "" {
		t.Errorf("marks %+v", line.Marks)
	}
	if empty := timelineOf(&Report{Phases: []Phase{{Name: "preflight"}}}); empty.Phases[0].Width != "" {
		t.Errorf("a phase without a start is drawn: %+v", empty)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWritersTellWhatCouldNotBeWritten(t *testing.T) {
	for _, f := range Formats {
		if err := f.Write(full{}, committedReport()); !errors.Is(err, io.ErrShortWrite) || !strings.Contains(err.Error(), f.File) {
			t.Errorf("%s: %v", f.File, err)
		}
	}
	if err := WriteText(full{}, committedReport(), true); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := WriteWhere(&b, "out\x1b[2J"); err != nil || strings.ContainsRune(b.String(), 0x1b) || !strings.Contains(b.String(), "junit.xml") {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// No writer may take time that grows with the square of a report's length: here
// each is given one as long as Parse allows.
func BenchmarkLongestReport(b *testing.B) {
	r := &Report{Result: "RolledBack", Paths: make([]Path, MaxRows), Cuts: make([]Cut, MaxRows)}
	for i := range r.Paths {
		name := strconv.Itoa(i)
		r.Paths[i] = Path{Name: name, From: Workload{"a", "b"}, To: Service{"c", "d"}, Port: int32(i), Via: "PodIP", Finding: CutFinding}
		r.Cuts[i] = Cut{Path: name, Via: "PodIP"}
	}
	for _, f := range append([]Format{{File: "text", Write: plainText}}, Formats...) {
		b.Run(f.File, func(b *testing.B) {
			for b.Loop() {
				if err := f.Write(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
