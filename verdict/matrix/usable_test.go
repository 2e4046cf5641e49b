package matrix

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tightrope-dev/tightrope/verdict"
)

// state is what a person, by eye or by ear, gets told.
type state struct {
	Cell, Role, Row, Column, Expanded string // of the active descendant
	Rows, Columns                     string
	Status, Panel, Focus              string
	Box                               bool // the mark of the active cell lies inside the grid
	Nothing                           bool
}

const readState = `(() => {
	const $ = id => document.getElementById(id), grid = $('grid'), cell = $(grid.getAttribute('aria-activedescendant')), get = (e, a) => e.getAttribute(a) || '';
	const b = cell.getBoundingClientRect(), g = grid.getBoundingClientRect();
	return {Cell: get(cell, 'aria-label'), Role: get(cell, 'role'), Column: get(cell, 'aria-colindex'), Expanded: get(cell, 'aria-expanded'), Row: get($('row'), 'aria-rowindex'),
		Rows: get(grid, 'aria-rowcount'), Columns: get(grid, 'aria-colcount'), Status: $('status').textContent, Panel: $('panel').hidden ? '' : $('panel').innerText,
		Focus: document.activeElement.id, Nothing: !$('empty').hidden,
		Box: b.width > 5 && b.left >= g.left && b.right <= g.right && b.top >= g.top && b.bottom <= g.bottom && getComputedStyle(cell).boxShadow !== 'none'};
})()`

func (b *browser) state(t testing.TB) state {
	t.Helper()
	return ask[state](t, b, readState)
}

func (b *browser) quiet(t testing.TB) {
	t.Helper()
	if did := b.done(); len(did) > 0 {
		t.Errorf("the page %q", did)
	}
}

// Everything a mouse does, keys do: the story of somebody who looks up why web
// cannot scrape the api.
func TestThePageIsUsableByKeyboard(t *testing.T) {
	b := openBrowser(t)
	b.open(t, small(t), "three workloads", 1280, 800)
	b.press(t, "/")
	if s := b.state(t); s.Focus != "from" {
		t.Fatalf("/ leads to %q", s.Focus)
	}
	b.press(t, kb.Escape)
	s := b.state(t)
	if s.Focus != "grid" || s.Rows != "6" || s.Columns != "6" || s.Role != "gridcell" || !s.Box {
		t.Fatalf("Escape leads to %+v", s)
	}
	b.press(t, kb.End, kb.PageDown, kb.Home, kb.ArrowRight) // the last row, apps/web; the column of ai/api
	s = b.state(t)
	if !strings.HasPrefix(s.Cell, "apps/web → ai/api: 8080/TCP may connect, 9090/TCP denied") || s.Status != s.Cell || s.Row != "6" || s.Column != "3" {
		t.Fatalf("moved to %+v", s)
	}
	b.press(t, kb.Enter)
	s = b.state(t)
	for _, want := range []string{"apps/web → ai/api", "deployment, 2 pods → statefulset, 1 pod", "8080/TCP may connect", "ai/api ingress[0]",
		"9090/TCP denied", "ai/api ingress: no rule allows 9090/TCP from apps/web", "not isolated", "tightrope explain --from deployment/apps/web --to statefulset/ai/api --port 9090/TCP"} {
		if !strings.Contains(s.Panel, want) {
			t.Errorf("the explanation does not say %q: %s", want, s.Panel)
		}
	}
	if s.Focus != "panel" {
		t.Errorf("Enter leads to %q", s.Focus)
	}
	b.press(t, kb.Escape)
	if s = b.state(t); s.Panel != "" || s.Focus != "grid" {
		t.Errorf("Escape leads to %q, with the panel %q", s.Focus, s.Panel)
	}
	b.press(t, kb.ArrowLeft, kb.ArrowLeft, kb.Enter) // the row's own name: whom it reaches
	if s = b.state(t); s.Role != "rowheader" || !strings.Contains(s.Panel, "Reaches") || !strings.Contains(s.Panel, "ai/api 8080/TCP") || strings.Contains(s.Panel, "9090") {
		t.Errorf("a name leads to %+v", s)
	}
	b.quiet(t)
}

func TestNamespacesOpenAndClose(t *testing.T) {
	b := openBrowser(t)
	b.open(t, small(t), "three workloads", 1280, 800)
	ask[bool](t, b, `document.getElementById('grid').focus(), true`)
	b.press(t, kb.ArrowLeft)
	if s := b.state(t); s.Role != "rowheader" || s.Expanded != "true" || s.Rows != "6" {
		t.Fatalf("the first name is %+v", s)
	}
	b.press(t, kb.Enter)
	if s := b.state(t); s.Expanded != "false" || s.Rows != "5" || !strings.Contains(s.Cell, "namespace ai, closed") {
		t.Errorf("Enter leads to %+v", s)
	}
	b.press(t, " ")
	if s := b.state(t); s.Expanded != "true" || s.Rows != "6" {
		t.Errorf("a blank leads to %+v", s)
	}
	b.quiet(t)
}

func TestSearchAndFiltersNarrowTheGrid(t *testing.T) {
	b := openBrowser(t)
	b.open(t, platform(4, 8), "four teams", 1280, 800)
	counts := func() string { s := b.state(t); return s.Rows + " × " + s.Columns }
	whole := counts()
	if whole != "37 × 37" {
		t.Fatalf("the whole is %s", whole)
	}
	b.press(t, "/")
	ask[bool](t, b, `document.activeElement.value = '', true`) // DevTools types a key that was prevented too
	b.press(t, strings.Split("ai-models web", "")...)
	if got := counts(); got != "3 × 37" {
		t.Errorf("searched sources: %s", got)
	}
	b.press(t, kb.Tab)
	b.press(t, strings.Split("auth/db", "")...)
	if got := counts(); got != "3 × 3" {
		t.Errorf("searched targets: %s", got)
	}
	b.press(t, "x")
	if s := b.state(t); !s.Nothing {
		t.Errorf("nothing matches, and it shows %+v", s)
	}
	ask[bool](t, b, `document.getElementById('reset').click(), true`)
	if got := counts(); got != whole {
		t.Errorf("reset: %s", got)
	}
	pick := func(port string) {
		ask[bool](t, b, `(() => { const p = document.getElementById('port'); p.value = [...p.options].find(o => o.text === '`+port+`').value; p.dispatchEvent(new Event('input', {bubbles: true})); return true; })()`)
	}
	pick("5432/TCP")
	if got := counts(); got != "37 × 9" { // four databases in four namespaces
		t.Errorf("one port: %s", got)
	}
	ask[bool](t, b, `document.querySelector('[data-mask="2"]').click(), document.querySelector('[data-mask="4"]').click(), document.querySelector('[data-mask="8"]').click(), true`)
	if got := counts(); got != "13 × 9" { // api, and the database itself, of each team
		t.Errorf("one port, where it is allowed: %s", got)
	}
	if s := b.state(t); strings.Contains(s.Status, "9090") {
		t.Errorf("another port still shows: %s", s.Status)
	}
	b.quiet(t)
}

// A name is text wherever it shows, and the page asks nobody.
func TestHostileNamesAreText(t *testing.T) {
	const evil = `</script><script>document.title='owned'</script><img src=http://evil.example/x onerror=alert(1)>`
	pods := []verdict.Pod{{Namespace: evil, Name: evil + "\u202e\x1b[31m", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Ports: []verdict.Port{{Number: 80}}}}
	q := Query{Snapshot: verdict.Compile(verdict.World{}, pods), From: []End{{Pod: &pods[0], Workload: evil + "/" + evil + "\u202e\x1b[31m"}}}
	q.To = q.From
	b := openBrowser(t)
	b.open(t, q, evil, 1280, 800)
	ask[bool](t, b, `document.getElementById('grid').focus(), true`)
	b.press(t, kb.ArrowRight, kb.ArrowDown, kb.Enter)
	s := b.state(t)
	if !strings.Contains(s.Panel, evil) {
		t.Errorf("the name does not show as text: %s", s.Panel)
	}
	if title := ask[string](t, b, `document.title`); title == "owned" || strings.ContainsAny(s.Panel+s.Status+s.Cell, "\u202e\x1b") {
		t.Errorf("title %q, status %q", title, s.Status)
	}
	if n := ask[int](t, b, `document.querySelectorAll('img, iframe, link, object, script:not([type])').length`); n != 1 {
		t.Errorf("%d elements that could act, want only the page's own script", n)
	}
	b.quiet(t)
	// The control: this browser does notice what such a name does where it is not text.
	ask[bool](t, b, `new Promise(done => { const i = new Image(); i.onerror = () => done(true); i.src = 'http://evil.example/x'; })`)
	if did := strings.Join(b.done(), " "); !strings.Contains(did, "evil.example") {
		t.Errorf("a request goes unnoticed: %q", did)
	}
}

func TestThePageFitsAPhoneAndPaper(t *testing.T) {
	b := openBrowser(t)
	b.open(t, platform(4, 8), "four teams", 390, 800)
	if wide := ask[int](t, b, `document.documentElement.scrollWidth`); wide > 390 {
		t.Errorf("%d wide", wide)
	}
	paper := ask[string](t, b, `(window.dispatchEvent(new Event('beforeprint')), document.getElementById('print').textContent)`)
	for _, want := range []string{"To ai-gateway", "8080/TCP: from ", "nobody"} {
		if !strings.Contains(paper, want) {
			t.Errorf("paper lacks %q: %.400s", want, paper)
		}
	}
	b.quiet(t)
}

func TestWhatIsTooLargeForAPageIsRefused(t *testing.T) {
	q := small(t)
	for i := range maxCells / 10 {
		q.From = append(q.From, End{IP: netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})})
	}
	for range 6 {
		q.Ports = append(q.Ports, Port{Number: int32(len(q.Ports) + 1), Protocol: "TCP"})
	}
	if _, err := q.pack(t.Context()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

// scheme is what the browser says that its user prefers.
func (b *browser) scheme(t testing.TB, name string) {
	t.Helper()
	if _, err := chromedp.Call(b.Context, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	}); err != nil {
		t.Fatal(err)
	}
}

// The canvas takes its colours from the style sheet once; it has to notice when
// they change under an open page.
func TestTheCanvasFollowsTheColourScheme(t *testing.T) {
	b := openBrowser(t)
	b.scheme(t, "light")
	b.open(t, small(t), "three workloads", 1280, 800)
	// corner is how bright the canvas is, once it is as asked, or after 300 frames.
	corner := func(asked string) float64 {
		return ask[float64](t, b, `(async () => {
			const one = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
			for (let frame = 0, bright; ; frame++) {
				await new Promise(done => requestAnimationFrame(done));
				one.drawImage(document.getElementById('canvas'), 3, 3, 1, 1, 0, 0, 1, 1);
				bright = one.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((sum, c) => sum + c) / 3;
				if (frame === 300 || bright `+asked+`) return bright;
			}
		})()`)
	}
	light := corner("> 200")
	b.scheme(t, "dark")
	dark := corner("< 60")
	if light < 200 || dark > 60 {
		t.Errorf("the canvas is %.0f of 255 in light and %.0f in dark", light, dark)
	}
	b.quiet(t)
}

// The pictures are for people: go test -run Pictures -screenshots DIR.
func TestPictures(t *testing.T) {
	if *screenshots == "" {
		t.Skip("no -screenshots: no pictures")
	}
	b := openBrowser(t)
	b.open(t, platform(4, 8), "four teams", 1440, 900)
	picture(t, b, "32")
	b.open(t, platform(25, 20), "500 workloads", 1440, 900)
	picture(t, b, "500")
	ask[bool](t, b, `document.getElementById('expand').click(), document.getElementById('grid').focus(), true`)
	b.press(t, kb.ArrowDown, kb.ArrowDown, kb.ArrowRight, kb.ArrowRight, kb.Enter)
	picture(t, b, "500-open")
	b.scheme(t, "dark")
	picture(t, b, "500-dark")
	b.open(t, platform(4, 8), "four teams", 390, 844)
	picture(t, b, "phone-dark")
	b.quiet(t)
}

// BenchmarkPage500 is how long a page of 500 workloads takes to be made, to be
// ready in the browser, and to be scrolled by one frame with everything open.
func BenchmarkPage500(b *testing.B) {
	q := platform(25, 20)
	tab := openBrowser(b)
	for b.Loop() {
		start := time.Now()
		tab.open(b, q, "500 workloads", 1440, 900)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/made-and-ready")
		ready := ask[float64](b, tab, `performance.now()`)
		frame := ask[float64](b, tab, `(async () => {
			document.getElementById('expand').click();
			const grid = document.getElementById('grid'), frame = () => new Promise(done => requestAnimationFrame(done));
			await frame();
			const start = performance.now(), n = 60;
			for (let i = 0; i < n; i++) { grid.scrollTop += 37; grid.scrollLeft += 41; await frame(); }
			return (performance.now() - start) / n;
		})()`)
		b.ReportMetric(ready, "ms/ready")
		b.ReportMetric(frame, "ms/frame")
		if s := tab.state(b); s.Rows != "526" {
			b.Fatal(fmt.Sprint("rows: ", s.Rows))
		}
	}
}
