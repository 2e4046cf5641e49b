package matrix

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Terminal is what text is drawn for. The zero value works.
type Terminal struct {
	Columns int  // 0 means 100
	Colour  bool // with escape sequences
	// Input are the flags that name what is judged, for the command that is offered.
	Input string
}

// maxGridRows is how many sources still make a grid; of more, a list is read
// more easily.
const maxGridRows = 60

// WriteText draws the matrix for people, by workload: a grid where it fits the
// terminal, else a list of who reaches each target. For pods, give ByPod ends.
func WriteText(ctx context.Context, w io.Writer, q Query, t Terminal) error {
	if t.Columns == 0 {
		t.Columns = 100
	}
	d := &drawing{Terminal: t, out: bufio.NewWriter(w), q: q, from: q.workloads(q.From), to: q.workloads(q.To)}
	for _, b := range d.to {
		for _, p := range q.portsOfWorkload(b) {
			if p.shown.Shown() == "" {
				d.portless = append(d.portless, printable(b.String()))
				continue
			}
			d.columns = append(d.columns, column{b, p})
		}
	}
	err := d.draw(ctx)
	if failed := d.out.Flush(); err == nil && failed != nil {
		err = fmt.Errorf("write the matrix: %w", failed)
	}
	return err
}

type column struct {
	to   *Workload
	port asked
}

type drawing struct {
	Terminal
	out      *bufio.Writer
	q        Query
	from, to []*Workload
	columns  []column
	portless []string // targets
	counts   [4]int
}

func (d *drawing) draw(ctx context.Context) error {
	if len(d.from) == 0 || len(d.to) == 0 {
		d.line("nobody to ask: there is no pod on one side")
		return nil
	}
	show := d.list
	if len(d.columns) > 0 && len(d.from) <= maxGridRows && d.gridWidth() <= d.Columns {
		show = d.grid
	}
	if err := show(ctx); err != nil {
		return err
	}
	if len(d.portless) > 0 {
		d.paragraph("  ", fmt.Sprintf("%s no port, so that there is nothing to ask: %s. Name ports with --ports.", plural(len(d.portless), "target declares", "targets declare"), strings.Join(d.portless, ", ")))
	}
	d.line("")
	total := d.counts[Allow] + d.counts[Deny] + d.counts[Mixed] + d.counts[Unknown]
	d.wrap("", 0, fmt.Sprintf("%s: %s allowed, %s denied%s%s. Why: tightrope explain %s--from A --to B --port P", plural(total, "connection by workload and port", "connections by workload and port"), thousands(d.counts[Allow]), thousands(d.counts[Deny]),
		some(d.counts[Mixed], ", %s where pods of a workload differ"), some(d.counts[Unknown], ", %s unknown"), strings.TrimLeft(d.Input+" ", " ")))
	return nil
}

func some(n int, format string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, thousands(n))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

func (d *drawing) line(format string, args ...any) {
	fmt.Fprintln(d.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

var signs = [...]struct{ sign, colour string }{Unknown: {"?", "33"}, Allow: {"■", "32"}, Deny: {"·", "2"}, Mixed: {"≈", "33"}}

func (d *drawing) sign(o Outcome) string {
	if !d.Colour {
		return signs[o].sign
	}
	return "\x1b[" + signs[o].colour + "m" + signs[o].sign + "\x1b[0m"
}

// corner stands over the names of the sources.
const corner = "from ↓ to →"

func (d *drawing) rowLabel() int {
	n := utf8.RuneCountInString(corner)
	for _, a := range d.from {
		n = max(n, utf8.RuneCountInString(printable(a.String())))
	}
	return n + 2
}

// gridWidth is what the widest line of a grid takes.
func (d *drawing) gridWidth() int {
	left, most := d.rowLabel(), 0
	for i := range d.columns {
		most = max(most, 2*i+2+utf8.RuneCountInString(d.heading(i)))
	}
	return left + most
}

// heading names a column; the target once, at its first port.
func (d *drawing) heading(i int) string {
	c := d.columns[i]
	if i > 0 && d.columns[i-1].to == c.to {
		return c.port.shown.String()
	}
	return printable(c.to.String()) + " " + c.port.shown.String()
}

// grid has a column for every target and port, named by stairs on top of it.
func (d *drawing) grid(ctx context.Context) error {
	left := d.rowLabel()
	for i := range d.columns {
		head := corner
		if i > 0 {
			head = ""
		}
		d.line("%-*s%s┌ %s", left, head, strings.Repeat("│ ", i), d.heading(i))
	}
	for _, a := range d.from {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var b strings.Builder
		for _, c := range d.columns {
			o := " "
			if a.Namespace != "" || c.to.Namespace != "" {
				cell, _, _ := d.q.tally(a, c.to, c.port)
				d.counts[cell.Outcome]++
				o = d.sign(cell.Outcome)
			}
			b.WriteString(o + " ")
		}
		d.line("%-*s%s", left, printable(a.String()), b.String())
	}
	key := d.sign(Allow) + " may connect   " + d.sign(Deny) + " denied"
	if d.counts[Mixed] > 0 {
		key += "   " + d.sign(Mixed) + " its pods differ"
	}
	if d.counts[Unknown] > 0 {
		key += "   " + d.sign(Unknown) + " unknown"
	}
	d.line("")
	d.line("%s", key)
	return nil
}

// list says of every target and port who reaches it.
func (d *drawing) list(ctx context.Context) error {
	var last *Workload
	for _, c := range d.columns {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if c.to != last {
			if last != nil {
				d.line("")
			}
			last = c.to
			d.line("%s  %s", d.strong(printable(last.String())), last.describe())
		}
		var by [4][]*Workload
		sources := 0
		for _, a := range d.from {
			if a.Namespace == "" && c.to.Namespace == "" {
				continue
			}
			sources++
			cell, _, _ := d.q.tally(a, c.to, c.port)
			o := cell.Outcome
			d.counts[o]++
			by[o] = append(by[o], a)
		}
		d.reached(c, by, sources)
	}
	return nil
}

func (d *drawing) strong(s string) string {
	if !d.Colour {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

func (w *Workload) describe() string {
	switch {
	case w.Kind == "address":
		return "an address outside the cluster"
	case w.Pods() == 1:
		return printable(w.Kind)
	}
	return fmt.Sprintf("%s, %d pods", printable(w.Kind), w.Pods())
}

func (d *drawing) reached(c column, by [4][]*Workload, sources int) {
	lead := fmt.Sprintf("  %-10s ", c.port.shown)
	for _, o := range []Outcome{Allow, Mixed, Unknown, Deny} {
		if len(by[o]) == 0 {
			continue
		}
		who := d.names(by[o])
		switch {
		case o == Deny && len(by[o]) < sources:
			who = plural(len(by[o]), "other", "others") + " denied"
		case o == Deny:
			who = "nobody gets in"
		case o == Allow && len(by[o]) == sources:
			who = fmt.Sprintf("everyone (%d)", sources)
		}
		d.wrap(lead+d.sign(o)+" ", utf8.RuneCountInString(lead)+2, who)
		lead = strings.Repeat(" ", utf8.RuneCountInString(lead))
	}
}

// names lists workloads, a whole namespace as NAMESPACE/* and their number.
func (d *drawing) names(all []*Workload) string {
	whole := map[string]int{}
	for _, a := range d.from {
		whole[a.Namespace]++
	}
	var out []string
	for i := 0; i < len(all); {
		ns, n := all[i].Namespace, 0
		for i+n < len(all) && all[i+n].Namespace == ns {
			n++
		}
		if ns != "" && n > 2 && n == whole[ns] {
			out = append(out, fmt.Sprintf("%s/* (%d)", printable(ns), n))
		} else {
			for _, a := range all[i : i+n] {
				out = append(out, printable(a.String()))
			}
		}
		i += n
	}
	return strings.Join(out, ", ")
}

func (d *drawing) paragraph(lead, text string) {
	d.line("")
	d.wrap(lead, len(lead), text)
}

// wrap breaks text between words behind a lead of that width.
func (d *drawing) wrap(lead string, width int, text string) {
	room, line := max(20, d.Columns-width), ""
	flush := func() {
		d.line("%s%s", lead, line)
		lead, line = strings.Repeat(" ", width), ""
	}
	for word := range slices.Values(strings.Fields(text)) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > room {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	flush()
}
