package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// screen prints a run as plain lines that a person likes to read, in colour on
// a terminal. Everything from outside is sanitised before it is printed.
type screen struct {
	out    io.Writer
	colour bool
	start  time.Time
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, start: time.Now()}
	if f, ok := out.(*os.File); ok {
		s.colour = isTerminal(f) && mayColour(f)
	}
	return s
}

// isTerminal asks for what only a terminal has: /dev/null is a character device too.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// mayColour says whether a terminal may get colours, and understands them.
func mayColour(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && understandsColours(f)
}

func (s *screen) line(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	fmt.Fprintf(s.out, "%6.1fs  %s\n", time.Since(s.start).Seconds(), text)
}

func (s *screen) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) labStep(step lab.Step) {
	s.line("lab       %s", report.Sanitize(step.String()))
}

func (s *screen) scenario(sc *scenarios.Scenario) {
	fmt.Fprintf(s.out, "\n%s\n", s.paint("1", report.Sanitize(sc.Metadata.Name+" — "+sc.Spec.Title)))
}

// steps are what a scenario does before its run begins.
var steps = map[string]string{
	"install":  "controller and CRDs",
	"topology": "the platform: waiting until every workload is ready",
	"rollout":  "suite and rollout are in; the controller takes over",
}

func (s *screen) progress(p scenarios.Progress) {
	if p.Status == nil {
		s.line("setup     %s %s", cmp.Or(steps[p.Step], report.Sanitize(p.Step)), report.Sanitize(p.Note))
		return
	}
	s.status(p.Status)
}

// status tells where a run is. A message may go on with YAML, which one line only garbles:
// the result shows all of it, and so does rollout status.
func (s *screen) status(st *v1alpha1.PolicyRolloutRunStatus) {
	first, _, more := strings.Cut(st.Message, "\n")
	text := report.Sanitize(first)
	if more {
		text += " …"
	}
	switch st.Phase {
	case "RollingBack", "RollbackFailed":
		text = s.paint("31", text)
	case "Committed", "RolledBack":
		text = s.paint("32", text)
	}
	s.line("%-22s %s", report.Sanitize(string(st.Phase))+stageOf(st), text)
}

// result prints what a run proved.
func (s *screen) result(rep *report.Report) {
	fmt.Fprintln(s.out)
	s.mind(report.WriteText(s.out, rep, s.colour))
}

// where tells where the files of a report are.
func (s *screen) where(folder string) { s.mind(report.WriteWhere(s.out, folder)) }

func (s *screen) mind(err error) {
	if err != nil {
		fmt.Fprintln(s.out, "error:", report.Sanitize(err.Error()))
	}
}
