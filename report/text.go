package report

import (
	"fmt"
	"io"
	"strings"
)

// Columns is the width that terminal output keeps to.
const Columns = 100

// maxTextRows is how many paths a terminal shows in full; of more than that it
// shows those that do not hold, and counts the rest.
const maxTextRows = 60

// terminal builds output for a terminal. Only it writes escape sequences.
type terminal struct {
	strings.Builder
	colour bool
}

var ansi = map[tone]string{good: "32", bad: "31;1", warn: "33", neutral: "36"}

// paint sets s in the colour of a tone; without colour s stays as it is.
func (t *terminal) paint(c tone, s string) string {
	if !t.colour || ansi[c] == "" {
		return s
	}
	return "\x1b[" + ansi[c] + "m" + s + "\x1b[0m"
}

func (t *terminal) strong(s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

func (t *terminal) heading(s string) { t.WriteString("\n" + t.strong(s) + "\n") }

// para writes s wrapped and indented by n blanks.
func (t *terminal) para(n int, s string) {
	for _, l := range wrap(s, Columns-n) {
		t.WriteString(strings.Repeat(" ", n) + l + "\n")
	}
}

// WriteText writes the report for a terminal of at least 100 columns, with
// colour only if asked. Nothing from outside reaches the terminal unsanitized.
func WriteText(w io.Writer, r *Report, colour bool) error {
	t := &terminal{colour: colour}
	m := resultMark(r.Result)
	lines := wrap(Sentence(r), Columns-2)
	for i, l := range lines {
		if i == 0 {
			t.WriteString(t.paint(m.Tone, m.Symbol) + " " + t.strong(l) + "\n")
		} else {
			t.WriteString("  " + t.strong(l) + "\n")
		}
	}
	for _, l := range details(r) {
		t.WriteString(strings.TrimRight("  "+l, " ") + "\n")
	}
	t.expectation(r)
	t.phases(r)
	t.matrix(r)
	t.events(r, "Cuts", r.Cuts, bad)
	t.events(r, "Leaks", r.Leaks, warn)
	t.list(approvalsTable(r), 4)
	t.list(predictedTable(r), 4)
	t.list(exposuresTable(r), 4)
	t.list(notTestedTable(r), 3)
	t.heading("Coverage")
	t.para(2, coverage(r.Coverage)+", under "+count(candidates(r), "policy"))
	if r.Timings != "" {
		t.para(2, "Timings: "+Sanitize(r.Timings))
	}
	return emit(w, "report", []byte(t.String()))
}

func (t *terminal) expectation(r *Report) {
	if r.Expected == "" {
		return
	}
	if ok, why := r.Verdict(); !ok {
		t.para(2, "Not as the scenario expects: "+why)
		return
	}
	t.para(2, "As the scenario expects ("+resultMark(r.Expected).Word+").")
}

func (t *terminal) phases(r *Report) {
	if len(r.Phases) == 0 {
		return
	}
	t.heading("Phases")
	for _, p := range r.Phases {
		m := phaseMark(p.Outcome)
		line := "  " + t.paint(m.Tone, m.Symbol) + " " + pad(Sanitize(p.Name), 20) + " " +
			fmt.Sprintf("%12s", between(p.From, p.To)) + "  " + t.paint(m.Tone, pad(m.Word, 14)) + " " + shorten(Sanitize(p.Scope), 40)
		t.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// matrix writes a row for each path and a column for each way it was tried.
func (t *terminal) matrix(r *Report) {
	paths := pathsOf(r)
	if len(paths) == 0 {
		t.heading("Paths")
		t.para(2, "No path was tested.")
		return
	}
	hold := holding(paths)
	t.heading(fmt.Sprintf("Paths: %d of %d hold", hold, len(paths)))
	via := ways(r)
	cell := min(14, 36/len(via))
	from, to := 6, 4
	for _, p := range paths {
		from, to = max(from, columns(p.From.String())), max(to, columns(p.To.String()+":"+portOf(p.Path)))
	}
	room := Columns - 2 - 3 - 2 - 6 - len(via)*(cell+1)
	from = min(from, max(room*2/5, room-to))
	to = min(to, room-from)
	head := "  " + pad("from", from) + "   " + pad("to", to) + "  expect"
	for _, v := range via {
		head += " " + pad(Sanitize(v), cell)
	}
	t.WriteString(strings.TrimRight(head, " ") + "\n")
	for _, p := range paths {
		if len(paths) > maxTextRows && p.seen == Holds {
			continue
		}
		line := "  " + pad(p.From.String(), from) + " → " + pad(p.To.String()+":"+portOf(p.Path), to) + "  " + pad(expected(p.Expect), 6)
		for _, v := range via {
			line += " " + t.finding(r, p, v, cell)
		}
		t.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if len(paths) > maxTextRows && hold > 0 {
		t.para(2, fmt.Sprintf("… and %s that hold, listed in the report's files", count(hold, "path")))
	}
}

// finding is one cell: the worst row of a path by one way.
func (t *terminal) finding(r *Report, p path, via string, width int) string {
	f, any := Holds, false
	for _, i := range p.rows {
		if r.Paths[i].Via == via {
			f, any = worse(f, r.Paths[i].Finding), true
		}
	}
	if !any {
		return pad("", width)
	}
	return t.paint(f.tone(), pad(f.symbol()+" "+f.word(), width))
}

func (t *terminal) events(r *Report, title string, list []Cut, c tone) {
	if len(list) == 0 {
		return
	}
	t.heading(title)
	x := indexOf(r)
	for i, e := range list {
		if i == maxTextRows {
			t.para(2, fmt.Sprintf("… and %d more, listed in the report's files", len(list)-i))
			return
		}
		name := x.eventName(e)
		if e.Via != "" {
			name += " by " + shorten(Sanitize(e.Via), 20)
		}
		where := joined(", ", shorten(Sanitize(e.Phase), 40), shorten(Sanitize(e.Cause), 40), shorten(Sanitize(e.Outcome), 40))
		line := "  " + t.paint(c, map[tone]string{bad: "✕", warn: "!"}[c]) + " " + t.strong(shorten(name, 60)) + "  " + shorten(where, 34)
		t.WriteString(strings.TrimRight(line, " ") + "\n")
		t.para(4, orElse(Sanitize(e.Rule), "no rule explains it"))
		t.para(4, latencyLine(e.Latencies))
	}
}

func latencyLine(l Latencies) string {
	if l.Detect == nil && l.Decide == nil && l.Restore == nil && l.Recover == nil {
		return "no latency was measured"
	}
	return fmt.Sprintf("broken → detected %s → decided %s → restored %s → recovered %s",
		millis(l.Detect), millis(l.Decide), millis(l.Restore), millis(l.Recover))
}

// list writes the first n cells of each row of a table, and nothing where the
// table is empty.
func (t *terminal) list(tab table, n int) {
	if len(tab.Rows) == 0 {
		return
	}
	t.heading(tab.Title)
	for i, row := range tab.Rows {
		if i == maxTextRows {
			t.para(2, fmt.Sprintf("… and %d more, listed in the report's files", len(tab.Rows)-i))
			return
		}
		var cells []string
		for _, c := range row.Cells[:min(n, len(row.Cells))] {
			if c = Sanitize(c); c != "" {
				cells = append(cells, shorten(c, 120))
			}
		}
		for j, l := range wrap(strings.Join(cells, " · "), Columns-4) {
			t.WriteString([]string{"  - ", "    "}[min(j, 1)] + l + "\n")
		}
	}
}
