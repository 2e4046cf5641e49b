package report

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	dialog "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "folder to leave pictures of the page in; empty for none")

// browser is one headless Chromium and what it did.
type browser struct {
	context.Context
	mu  sync.Mutex
	did []string // requests beyond the page itself, dialogs, policy violations
}

// openBrowser starts Chromium, which ends with the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium on PATH (Debian: apt-get install chromium): the page is not looked at")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(program),
		chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir())) // only our own pages are opened; a sandbox needs rights a test may lack
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	ctx, cancelTime := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // waits for the browser to end
			t.Errorf("stop %s: %v", program, err)
		}
		cancelTime()
		cancel()
		cancelAlloc()
	})
	b := &browser{Context: ctx}
	if err := errors.Join(b.start()...); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return b
}

// start opens a tab and listens to all that happens in it.
func (b *browser) start() []error {
	open := chromedp.Do(b.Context)
	if open != nil {
		return []error{open}
	}
	_, hearNetwork := chromedp.Call(b.Context, network.Enable, network.EnableParams{})
	_, hearLog := chromedp.Call(b.Context, log.Enable, cdp.Empty{})
	return []error{hearNetwork, hearLog, chromedp.Listen(b.Context, b.note)}
}

func (b *browser) note(event any) {
	var what string
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type != network.ResourceTypeDocument || !strings.HasPrefix(e.Request.URL, "file://") {
			what = "requested " + e.Request.URL
		}
	case *dialog.EventJavascriptDialogOpening:
		what = "opened a dialog: " + e.Message
		go chromedp.Call(b.Context, dialog.HandleJavaScriptDialog, dialog.HandleJavaScriptDialogParams{Accept: true}) // ends with the browser
	case *log.EventEntryAdded:
		what = "logged " + e.Entry.Text
	}
	if what != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.did = append(b.did, what)
	}
}

// done returns what the browser did since the last call.
func (b *browser) done() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	did := b.did
	b.did = nil
	return did
}

// look is what one page shows at one width.
type look struct {
	Title, Text   string
	Width         int    // of everything, scrolled or not
	Paper         string // the colour behind it: the style sheet applies
	IDs           []string
	Scripts       int
	Headlines     int
	Hidden, Shown int // rows of the list of paths, with the filter on
}

const lookAround = `(async () => {
	await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
	const all = s => [...document.querySelectorAll(s)], style = getComputedStyle(document.body);
	const found = {Title: document.title, Text: document.body.innerText, Width: document.documentElement.scrollWidth,
		Paper: style.backgroundColor, IDs: all('[id]').map(e => e.id),
		Scripts: all('script, img, link, iframe, object, [style], [onerror]').length, Headlines: all('h1').length};
	const filter = document.querySelector('#wrong');
	if (filter) filter.click();
	const rows = all('#paths tbody tr');
	found.Shown = rows.filter(r => r.offsetParent !== null).length;
	found.Hidden = rows.length - found.Shown;
	if (filter) filter.click();
	return found;
})()`

func (b *browser) open(t *testing.T, file string, width int64) look {
	t.Helper()
	address := url.URL{Scheme: "file", Path: file}
	err := chromedp.Do(b.Context, chromedp.EmulateViewport(width, 900), chromedp.Navigate(address.String()))
	if err != nil {
		t.Fatalf("open %s: %v", file, err)
	}
	seen, err := chromedp.Run(b.Context, chromedp.Evaluate[look](lookAround, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("open %s: %v", file, err)
	}
	return seen
}

func TestPageRunsNothingAndFitsAPhone(t *testing.T) {
	b := openBrowser(t)
	checkBrowserNotices(t, b)
	dir := t.TempDir()
	for name, r := range reports() {
		var doc bytes.Buffer
		if err := WriteHTML(&doc, r); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name+".html")
		if err := os.WriteFile(file, doc.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int64{1280, 390} {
			seen := b.open(t, file, width)
			if did := b.done(); len(did) > 0 {
				t.Errorf("%s at %d: the page %q", name, width, did)
			}
			if seen.Width > int(width) {
				t.Errorf("%s at %d: %d wide", name, width, seen.Width)
			}
			checkLook(t, name, r, seen)
			picture(t, b, name, width)
		}
	}
}

// The control: without escaping and policy the same name does run, does ask the
// network, and this browser does notice. Else the test proves nothing.
func checkBrowserNotices(t *testing.T, b *browser) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bare.html")
	if err := os.WriteFile(file, []byte("<!doctype html><title>bare</title><body>"+hostileText), 0o600); err != nil {
		t.Fatal(err)
	}
	seen, did := b.open(t, file, 390), strings.Join(b.done(), "\n")
	if seen.Title != "owned" || !strings.Contains(did, "requested http://evil.example/x") {
		t.Fatalf("a bare hostile page goes unnoticed: title %q, did %q", seen.Title, did)
	}
}

func checkLook(t *testing.T, name string, r *Report, seen look) {
	t.Helper()
	text := strings.Join(strings.Fields(seen.Text), " ")
	if !strings.Contains(text, Sentence(r)) || seen.Headlines != 1 {
		t.Errorf("%s: the sentence does not show: %.300s", name, text)
	}
	if name == "hostile" && strings.Count(text, "<script>document.title='owned'</script>") < 10 {
		t.Errorf("%s: the name does not show as text", name)
	}
	if strings.Contains(seen.Title, "owned") && name != "hostile" || seen.Title == "owned" || seen.Scripts != 0 {
		t.Errorf("%s: title %q, %d elements that could act", name, seen.Title, seen.Scripts)
	}
	if seen.Paper == "rgba(0, 0, 0, 0)" {
		t.Errorf("%s: the style sheet does not apply; its hash in the policy is wrong", name)
	}
	if slices.Sort(seen.IDs); len(slices.Compact(slices.Clone(seen.IDs))) != len(seen.IDs) {
		t.Errorf("%s: two elements have the same id: %q", name, seen.IDs)
	}
	hold := 0
	for _, p := range r.Paths {
		if p.Finding == Holds {
			hold++
		}
	}
	if seen.Hidden != hold || seen.Shown != len(r.Paths)-hold {
		t.Errorf("%s: the filter hides %d of %d rows, want %d", name, seen.Hidden, seen.Hidden+seen.Shown, hold)
	}
	for _, n := range r.NotTested {
		if !strings.Contains(text, Sanitize(n.What)) {
			t.Errorf("%s does not show that %q was not tested", name, n.What)
		}
	}
}

func picture(t *testing.T, b *browser, name string, width int64) {
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(b.Context, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(*screenshots, "report-"+name+map[int64]string{1280: "-1280.png", 390: "-390.png"}[width])
	if err := os.WriteFile(file, png, 0o644); err != nil {
		t.Fatal(err)
	}
}
