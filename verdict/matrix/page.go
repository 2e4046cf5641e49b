package matrix

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

//go:embed page/page.html.tmpl
var pageTemplate string

//go:embed page/page.css
var pageStyle string

// The script, in the order in which a browser reads it.
var (
	//go:embed page/model.js
	pageModel string
	//go:embed page/draw.js
	pageDraw string
	//go:embed page/panel.js
	pagePanel string
	//go:embed page/main.js
	pageMain string

	pageScript = pageModel + pageDraw + pagePanel + pageMain
)

// pagePolicy lets the page use its own style sheet and script and nothing else:
// no request, no image, no font, no form.
var pagePolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src '" + digest(pageStyle) + "'; script-src '" + digest(pageScript) + "'"

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var pageHTML = template.Must(template.New("page").Parse(pageTemplate))

// Page is what the page says around the matrix.
type Page struct {
	Title  string // what was read, for example the folder's name
	Origin string // one line: from where, by which program
}

// page is what the template shows. html/template escapes the text in it; Data is
// JSON with <, > and & escaped, in a block that is never run.
type page struct {
	Page
	Policy     string
	Style      template.CSS
	Script     template.JS
	Data       template.JS
	Sources    int
	Targets    int
	Namespaces int
	Figures    []figure
}

// figure is a number with its name. Those of outcomes add up to the connections.
type figure struct{ Mark, Name, Value, Tone string }

// WriteHTML writes one page that needs nothing else and asks the network for
// nothing: workloads in rows and columns, grouped by namespace, to search, to
// filter, to move in by keyboard, with both rules of every cell. The error is
// ErrTooLarge where the matrix has more than 4 million cells.
func WriteHTML(ctx context.Context, w io.Writer, q Query, about Page) error {
	p, err := q.pack(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(p.packed)
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	view := page{
		Page:   Page{Title: printable(about.Title), Origin: printable(about.Origin)},
		Policy: pagePolicy, Style: template.CSS(pageStyle), Script: template.JS(pageScript), Data: template.JS(data),
		Sources: len(p.From), Targets: len(p.To), Namespaces: len(p.Namespaces), Figures: p.figures(),
	}
	var b bytes.Buffer
	if err := pageHTML.Execute(&b, view); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func (p *packer) figures() []figure {
	warn := func(n int) string {
		if n > 0 {
			return "warn"
		}
		return "neutral"
	}
	total := 0
	for _, n := range p.counts {
		total += n
	}
	all := []figure{
		{"", "Connections, by workload and port", thousands(total), "neutral"},
		{"■", "Allowed", thousands(p.counts[Allow]), "good"},
		{"·", "Denied", thousands(p.counts[Deny]), "neutral"},
		{"≈", "Pods differ", thousands(p.counts[Mixed]), warn(p.counts[Mixed])},
		{"?", "Unknown", thousands(p.counts[Unknown]), warn(p.counts[Unknown])},
	}
	if p.portless > 0 {
		all = append(all, figure{"–", "Targets without a port", thousands(p.portless), "neutral"})
	}
	return all
}

// thousands groups digits, so that 241782 can be read.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
