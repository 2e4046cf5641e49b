package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitOutcome `xml:"failure"`
	Error   *junitOutcome `xml:"error"`
	Skipped *junitOutcome `xml:"skipped"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitOutcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes junit.xml: a test case for each row of the matrix and one
// for the run itself, which holds the result against what was expected. A cut
// or leak is a failure, unless a scenario expected this result and got all of
// it: then the file agrees with the exit code, and the row's output says what
// was found. An inconclusive row is skipped, never passed, and a run that proved
// nothing is an error, so that a file of skipped cases cannot look green.
func WriteJUnit(w io.Writer, r *Report) error {
	suite := junitSuite{Name: "tightrope " + Sanitize(r.Run), Time: seconds(r.Started, r.Ended)}
	if !r.Started.IsZero() {
		suite.Timestamp = r.Started.UTC().Format("2006-01-02T15:04:05")
	}
	for _, f := range facts(r) {
		suite.Properties = append(suite.Properties, junitProperty{strings.ToLower(f[0]), f[1]})
	}
	suite.Cases = append(suite.Cases, runCase(r))
	x := indexOf(r)
	met, _ := r.Verdict()
	for _, row := range r.Paths {
		suite.Cases = append(suite.Cases, rowCase(x, row, met && r.Expected != ""))
	}
	for _, c := range suite.Cases {
		suite.Tests++
		switch {
		case c.Failure != nil:
			suite.Failures++
		case c.Error != nil:
			suite.Errors++
		case c.Skipped != nil:
			suite.Skipped++
		}
	}
	all := junitSuites{Name: "tightrope", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors,
		Skipped: suite.Skipped, Time: suite.Time, Suites: []junitSuite{suite}}
	data, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("report of run %q: encode junit.xml: %w", Sanitize(r.Run), err)
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.Write(data)
	b.WriteByte('\n')
	return emit(w, "junit.xml", b.Bytes())
}

func runCase(r *Report) junitCase {
	name := "run ends " + resultMark(r.Expected).Word
	if r.Expected == "" {
		name = "run ends " + r.wanted()
	}
	c := junitCase{Class: "tightrope/run", Name: name, Time: seconds(r.Started, r.Ended)}
	ok, why := r.Verdict()
	switch {
	case ok:
	case ExitCode(r) == ExitInconclusive:
		c.Error = &junitOutcome{Message: why, Type: "Inconclusive", Text: said(r)}
	default:
		c.Failure = &junitOutcome{Message: why, Type: resultMark(r.Result).Word, Text: said(r)}
	}
	return c
}

// said is everything that the run says of itself.
func said(r *Report) string {
	return strings.Join(append([]string{Sentence(r)}, details(r)...), "\n")
}

// rowCase is the case of one row; meant says that the scenario ended as expected.
func rowCase(x index, row Path, meant bool) junitCase {
	c := junitCase{Class: row.From.String(), Name: Sanitize(joined(" via ", row.Name, row.Via)), Time: seconds(row.FirstSeen, row.LastSeen)}
	switch row.Finding.known() {
	case Holds:
	case Inconclusive:
		c.Skipped = &junitOutcome{Message: "inconclusive: " + orElse(Sanitize(row.Note), "not enough conclusive attempts")}
	default:
		event, _ := x.event(row)
		rule := orElse(Sanitize(row.Rule), orElse(Sanitize(event.Rule), "no rule explains it"))
		message := row.Finding.word() + ": " + rule
		if meant {
			c.Out = message + ", in a scenario that ended as it expects" + rowDetails(row, event)
			return c
		}
		c.Failure = &junitOutcome{Type: string(row.Finding.known()), Message: message, Text: rowDetails(row, event)}
	}
	return c
}

func rowDetails(row Path, event Cut) string {
	lines := []string{
		fmt.Sprintf("%s, expected %s", endToEnd(row), expected(row.Expect)),
		fmt.Sprintf("%d of %d attempts failed, seen %s UTC", row.Failures, row.Attempts, seen(row)),
	}
	if event.Path != "" {
		lines = append(lines, "phase "+orElse(Sanitize(event.Phase), unknown)+", cause "+orElse(Sanitize(event.Cause), unknown))
		if event.Latencies != (Latencies{}) {
			for _, l := range event.Latencies.list() {
				lines = append(lines, l.Name+" "+millis(l.Millis))
			}
		}
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func seconds(from, to time.Time) string {
	if from.IsZero() || to.Before(from) {
		return "0.000"
	}
	return fmt.Sprintf("%.3f", to.Sub(from).Seconds())
}
