package matrix

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
)

// WriteDiffJSON writes what changes between two sets: {"changes":[…]}, by
// workload, and the totals. Unlike the list, the totals are never bounded.
func WriteDiffJSON(w io.Writer, c compare.Changes) error {
	doc := jsonChanges{Changes: []jsonChange{}, Opened: c.Opened, Closed: c.Closed, BecameUnknown: c.BecameUnknown, BecameKnown: c.BecameKnown,
		LeftOff: c.LeftOff, OnlyBefore: append([]string{}, c.OnlyBefore...), OnlyAfter: append([]string{}, c.OnlyAfter...)}
	for _, x := range c.List {
		doc.Changes = append(doc.Changes, jsonChange{
			x.From, x.To, portOf(x), string(x.Protocol), x.Kind().String(), x.Before.String(), x.After.String(), x.BeforeRule, x.AfterRule, x.Pairs,
			jsonSample{jsonEndOf(endOf(x.ExampleFrom)), jsonEndOf(endOf(x.ExampleTo))},
		})
	}
	out := bufio.NewWriter(w)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("write the changes: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the changes: %w", err)
	}
	return nil
}

type jsonChanges struct {
	Changes       []jsonChange `json:"changes"`
	Opened        int          `json:"opened"`
	Closed        int          `json:"closed"`
	BecameUnknown int          `json:"becameUnknown"`
	BecameKnown   int          `json:"becameKnown"`
	LeftOff       int          `json:"leftOff"`
	OnlyBefore    []string     `json:"onlyBefore"`
	OnlyAfter     []string     `json:"onlyAfter"`
}

type jsonChange struct {
	From       string     `json:"from"` // workload, or address
	To         string     `json:"to"`
	Port       string     `json:"port"` // 80, 1024-65535, or * for every port that nothing mentions
	Protocol   string     `json:"protocol"`
	Change     string     `json:"change"`
	Before     string     `json:"before"`
	After      string     `json:"after"`
	BeforeRule string     `json:"beforeRule"`
	AfterRule  string     `json:"afterRule"`
	Pairs      int        `json:"pairs"`
	Sample     jsonSample `json:"sample"`
}

func endOf(e verdict.End) End { return End{Pod: e.Pod, IP: e.IP} }

func portOf(x compare.Change) string {
	switch {
	case x.OtherPort:
		return "*"
	case x.LastPort > x.Port:
		return fmt.Sprintf("%d-%d", x.Port, x.LastPort)
	}
	return strconv.Itoa(int(x.Port))
}

// WriteDiffText tells what changes, worst first: what closes, then what opens,
// then what is not known any more, each with the rule before and after.
func WriteDiffText(w io.Writer, c compare.Changes, t Terminal) error {
	if t.Columns == 0 {
		t.Columns = 100
	}
	d := &drawing{Terminal: t, out: bufio.NewWriter(w)}
	for _, kind := range []compare.Kind{compare.Closed, compare.Opened, compare.BecameUnknown, compare.BecameKnown} {
		d.changes(kind, c.List)
	}
	d.only("Only in the first set, so nothing is said about them: ", c.OnlyBefore)
	d.only("Only in the second set, so nothing is said about them: ", c.OnlyAfter)
	if c.LeftOff > 0 {
		d.line("%s not listed.", plural(c.LeftOff, "more is", "more are"))
	}
	if c.Changed() == 0 {
		d.line("No connection changes.")
	} else {
		d.line("%s closed, %s opened%s%s, counted in pairs of pods and ports.", thousands(c.Closed), thousands(c.Opened), some(c.BecameUnknown, ", %s became unknown"), some(c.BecameKnown, ", %s became known"))
	}
	if err := d.out.Flush(); err != nil {
		return fmt.Errorf("write the changes: %w", err)
	}
	return nil
}

func (d *drawing) changes(kind compare.Kind, list []compare.Change) {
	sign := map[compare.Kind]string{compare.Closed: "✕", compare.Opened: "■", compare.BecameUnknown: "?", compare.BecameKnown: "·"}[kind]
	head := strings.ToUpper(kind.String()[:1]) + kind.String()[1:]
	for _, x := range list {
		if x.Kind() != kind {
			continue
		}
		if head != "" {
			d.line("%s", d.strong(head))
			head = ""
		}
		pairs := ""
		if x.Pairs > 1 {
			pairs = fmt.Sprintf("  (%d pairs)", x.Pairs)
		}
		d.line("  %s %s → %s %s/%s%s", sign, printable(x.From), printable(x.To), portOf(x), x.Protocol, pairs)
		d.wrap("      before: ", 14, printable(x.BeforeRule))
		d.wrap("      after:  ", 14, printable(x.AfterRule))
	}
	if head == "" {
		d.line("")
	}
}

func (d *drawing) only(lead string, pods []string) {
	const most = 20
	if len(pods) == 0 {
		return
	}
	text := printable(strings.Join(pods[:min(most, len(pods))], ", "))
	if len(pods) > most {
		text += fmt.Sprintf(" and %d more", len(pods)-most)
	}
	d.wrap("", 0, lead+text+".")
	d.line("")
}
