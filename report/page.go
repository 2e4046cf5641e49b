package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

// pagePolicy lets the page use its own style sheet and nothing else: no script,
// no image, no font, no request, no form.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

var pageHTML = template.Must(template.New("page").Funcs(template.FuncMap{
	"clean": Sanitize,
	"short": func(n int, s string) string { return shorten(Sanitize(s), n) },
}).Parse(pageTemplate))

// page is what the template shows. Text from outside in it is not sanitized
// yet, but for Rest, Details and Unmet: the template does that, and html/template escapes.
type page struct {
	Policy              string
	Style               template.CSS
	Title               string
	Mark                mark
	Rest                string // of the sentence, after the result's word
	Details             string // lines of the message after the first
	Unmet               string // why the run did not end as expected; empty where it did
	Facts               [][2]string
	Figures             []figure
	Cuts                []event
	Leaks               []event
	MoreCuts, MoreLeaks table // those beyond maxCards
	Timeline            timeline
	Matrix              matrix
	TooLarge            bool // for a matrix
	Key                 string
	Coverage            coverageBar
	Hidden              table // what was not tested
	Paths               table
	Tables              []table
	Version             string
}

// figure is one number of the strip under the sentence.
type figure struct {
	Name, Value, Unit string
	Tone              tone
	Link              string // to the section that explains it
}

// event is a cut or a leak as a card.
type event struct {
	Name, Path, Where, Rule, Target, Broken, Total string
	Phase, Cause, Outcome, At                      string
	Mark                                           mark
	Bar                                            []segment
}

// segment is one latency in the bar, in per cent of the known total.
type segment struct {
	latency
	Value    string
	X, Width string // empty where the point was not reached
}

type coverageBar struct {
	Text, Width string
	Full        bool
}

// WriteHTML writes report.html: one page that loads nothing, runs nothing, and
// can be read by eye, by keyboard, by screen reader and on paper.
func WriteHTML(w io.Writer, r *Report) error {
	var b bytes.Buffer
	if err := pageHTML.Execute(&b, pageOf(r)); err != nil {
		return fmt.Errorf("report of run %q: render report.html: %w", Sanitize(r.Run), err)
	}
	return emit(w, "report.html", b.Bytes())
}

func pageOf(r *Report) page {
	m := resultMark(r.Result)
	p := page{
		Policy: pagePolicy, Style: template.CSS(pageStyle),
		Title: joined(" · ", m.Word, shorten(Sanitize(orElse(r.Scenario, r.Rollout)), 60), "Tightrope"),
		Mark:  m, Rest: strings.TrimPrefix(Sentence(r), m.Word+": "), Details: strings.Join(details(r), "\n"),
		Facts: facts(r)[1:], Figures: figuresOf(r), // the result is the headline
		Cuts: eventsOf(r, r.Cuts, mark{"✕", "cut", bad}), Leaks: eventsOf(r, r.Leaks, mark{"!", "leak", warn}),
		Timeline: timelineOf(r), Key: matrixKey,
		Coverage: coverageBar{coverage(r.Coverage), cent(float64(percent(r.Coverage))), percent(r.Coverage) == 100},
		MoreCuts: rest(cutsTable(r)), MoreLeaks: rest(leaksTable(r)),
		Hidden: notTestedTable(r), Paths: pathsTable(r),
		Tables:  []table{predictedTable(r), exposuresTable(r), accessTable(r), policiesTable(r)},
		Version: SchemaVersion,
	}
	if len(r.Approvals) > 0 {
		p.Tables = append([]table{approvalsTable(r)}, p.Tables...)
	}
	if ok, why := r.Verdict(); !ok && r.Expected != "" {
		p.Unmet = why
	}
	var small bool
	if p.Matrix, small = matrixOf(r); !small {
		p.TooLarge = len(r.Paths) > 0
	}
	return p
}

func figuresOf(r *Report) []figure {
	paths := pathsOf(r)
	hold, all := holding(paths), len(paths)
	holds := figure{"Paths that hold", fmt.Sprint(hold), fmt.Sprintf("of %d", all), good, "paths"}
	if hold < all || all == 0 {
		holds.Tone = warn
	}
	proved := figure{"Cells proved", fmt.Sprint(r.Coverage.Proved), fmt.Sprintf("of %d", r.Coverage.Required), good, "coverage"}
	if percent(r.Coverage) < 100 {
		proved.Tone = neutral
	}
	list := []figure{holds, proved}
	if len(r.Cuts) > 0 && r.Cuts[0].Latencies.Restore != nil {
		value, unit, _ := strings.Cut(millis(r.Cuts[0].Latencies.Restore), " ")
		list = append(list, figure{"Decision → baseline back", value, unit, "", "cuts"})
	}
	lasted, unit, _ := strings.Cut(between(r.Started, r.Ended), " ")
	return append(list,
		figure{"Policies", fmt.Sprint(len(r.Policies)), "", "", "policies"},
		figure{"Run lasted", lasted, unit, "", "timeline"},
		figure{"Not tested", fmt.Sprint(len(r.NotTested)), "see why", "", "not-tested"})
}

// maxCards is how many cuts, and how many leaks, are shown as cards; the rest
// are rows of a table.
const maxCards = 10

func rest(t table) table {
	t.Rows = t.Rows[min(len(t.Rows), maxCards):]
	return t
}

func eventsOf(r *Report, list []Cut, m mark) []event {
	var all []event
	x := indexOf(r)
	for _, c := range list[:min(len(list), maxCards)] {
		e := event{Name: x.eventName(c), Path: joined(" by ", c.Path, c.Via), Rule: c.Rule, Target: c.Target, Mark: m,
			Phase: c.Phase, Cause: c.Cause, Outcome: c.Outcome, At: clockUTC(c.At), Broken: c.Latencies.Broken}
		if row, ok := x.row(c); ok {
			e.Where = endToEnd(row)
		}
		e.Bar, e.Total = barOf(c.Latencies)
		all = append(all, e)
	}
	return all
}

// barOf lays the known latencies end to end. Each that is known keeps at least
// one per cent, so that a decision of a millisecond can still be seen.
func barOf(l Latencies) ([]segment, string) {
	const least = 1.0
	total, known := l.total(), 0
	for _, x := range l.list() {
		if x.Millis != nil {
			known++
		}
	}
	var bar []segment
	at, room := 0.0, 100-least*float64(known)
	for _, x := range l.list() {
		s := segment{latency: x, Value: millis(x.Millis)}
		if x.Millis != nil {
			width := least
			if total > 0 {
				width += room * max(0, *x.Millis) / total
			}
			s.X, s.Width = cent(at), cent(width)
			at += width
		}
		bar = append(bar, s)
	}
	if known == 0 {
		return bar, ""
	}
	return bar, millis(&total)
}
