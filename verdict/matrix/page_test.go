package matrix

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
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "folder to leave pictures of the page in; empty for none")

// browser is one headless Chromium and what it did that it should not.
type browser struct {
	context.Context
	mu  sync.Mutex
	did []string
}

// openBrowser starts Chromium, which ends with the test.
func openBrowser(t testing.TB) *browser {
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
	ctx, cancelTime := context.WithTimeout(ctx, 5*time.Minute)
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
	_, hearScript := chromedp.Call(b.Context, runtime.Enable, cdp.Empty{})
	return []error{hearNetwork, hearLog, hearScript, chromedp.Listen(b.Context, b.note)}
}

func (b *browser) note(event any) {
	var what string
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type != network.ResourceTypeDocument || !strings.HasPrefix(e.Request.URL, "file://") {
			what = "requested " + e.Request.URL
		}
	case *runtime.EventExceptionThrown:
		what = "threw " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			what += " " + x.Description
		}
	case *runtime.EventConsoleAPICalled:
		what = "wrote to the console"
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

func (b *browser) open(t testing.TB, q Query, title string, width, height int64) {
	t.Helper()
	var doc bytes.Buffer
	if err := WriteHTML(t.Context(), &doc, q, Page{Title: title, Origin: "from manifests"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "matrix.html")
	if err := os.WriteFile(file, doc.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", title, doc.Len())
	address := url.URL{Scheme: "file", Path: file}
	if err := chromedp.Do(b.Context, chromedp.EmulateViewport(width, height), chromedp.Navigate(address.String())); err != nil {
		t.Fatal(err)
	}
	if ready := ask[bool](t, b, `new Promise(done => { const look = () => document.documentElement.dataset.ready ? done(true) : setTimeout(look, 20); look(); setTimeout(() => done(false), 20000); })`); !ready {
		t.Fatalf("the page is not ready: %v", b.done())
	}
}

func ask[T any](t testing.TB, b *browser, script string) T {
	t.Helper()
	got, err := chromedp.Run(b.Context, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return got
}

func (b *browser) press(t testing.TB, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if err := chromedp.Do(b.Context, chromedp.KeyEvent(k)); err != nil {
			t.Fatal(err)
		}
	}
}

func picture(t testing.TB, b *browser, name string) {
	if *screenshots == "" {
		return
	}
	ask[bool](t, b, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
	png, err := chromedp.Run(b.Context, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, "matrix-"+name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
