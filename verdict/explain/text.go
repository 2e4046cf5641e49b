package explain

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

// WriteText tells the answer on one screen.
func WriteText(w io.Writer, a Answer, t matrix.Terminal) error {
	p := &page{Terminal: t}
	if p.Columns == 0 {
		p.Columns = 100
	}
	p.Columns = min(p.Columns, 100) // longer lines are not read more easily
	p.para(0, a.Verdict, a.Sentence)
	for _, n := range a.Notes {
		p.para(0, "", n)
	}
	for _, s := range []Side{a.Out, a.In} {
		p.side(s)
	}
	p.line(0, "")
	p.line(0, p.strong("What to do"))
	p.para(2, "", a.Next)
	for _, add := range a.Additions {
		p.addition(add)
	}
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("write the explanation: %w", err)
	}
	return nil
}

type page struct {
	strings.Builder
	matrix.Terminal
}

var colours = map[string]string{"Allow": "32;1", "Deny": "31;1", "Unknown": "33;1"}

func (p *page) paint(verdict, s string) string {
	if !p.Colour || verdict == "" {
		return s
	}
	return "\x1b[" + colours[verdict] + "m" + s + "\x1b[0m"
}

func (p *page) strong(s string) string {
	if !p.Colour {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

func (p *page) side(s Side) {
	word := map[string]string{"Allow": "allowed", "Deny": "denied"}[s.Verdict]
	p.line(0, "")
	p.line(0, p.strong(printable(s.Title))+": "+p.paint(s.Verdict, or(word, "not known")))
	p.para(2, "", s.Text)
	p.yaml(s.Where, s.Lines)
}

func (p *page) addition(a Addition) {
	where := ""
	if a.Where != "" {
		where = " (" + printable(a.Where) + ")"
	}
	if a.New {
		p.line(2, printable("a new policy "+a.Policy+":"))
	} else {
		p.line(2, printable("to "+a.Field+" of "+a.Policy)+where+":")
	}
	p.yaml("", a.YAML)
}

func (p *page) yaml(where, lines string) {
	if where != "" {
		p.line(4, printable(where))
	}
	if lines == "" {
		return
	}
	for _, l := range strings.Split(lines, "\n") {
		p.line(4, "│ "+printable(l))
	}
}

func (p *page) line(indent int, s string) {
	if s != "" {
		p.WriteString(strings.Repeat(" ", indent) + s)
	}
	p.WriteByte('\n')
}

// para wraps a paragraph, in the colour of a verdict; "" for none.
func (p *page) para(indent int, verdict, s string) {
	line := ""
	for _, word := range strings.Fields(printable(s)) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > p.Columns-indent {
			p.line(indent, p.paint(verdict, line))
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	p.line(indent, p.paint(verdict, line))
}

// printable is s without what a terminal would take for more than text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
