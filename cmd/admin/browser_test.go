package admin_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is for one thing that a browser is waited for.
const patience = 60 * time.Second

// findChromium gives the browser of CHROMIUM_BIN, else the one on PATH.
func findChromium(t *testing.T) string {
	for _, name := range []string{os.Getenv("CHROMIUM_BIN"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("the tests of the page need Chromium, and there is none: make chromium")
	return ""
}

// startBrowser starts a browser without a window or a past, which ends with the test.
func startBrowser(t *testing.T) context.Context {
	// chromedp makes the directory of the profile, and removes it when the browser and all of its children have ended.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findChromium(t)), chromedp.Flag("headless", "new"),
		chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.Flag("no-sandbox", true)) // root can have none
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end) // and waits
	browser, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	require.NoError(t, chromedp.Do(browser), "start the browser")
	return browser
}

// A tab is a page in the browser, and what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	troubles []string // errors and warnings of the console, exceptions, violations of the content security policy
	forgiven []string // parts of those that the test makes itself
}

// open shows what is at a URL of origin in a new tab. At the end of the test nothing may have gone wrong in it, and
// nothing may have been asked for elsewhere.
func open(t *testing.T, browser context.Context, origin string) *tab {
	ctx, end := chromedp.NewContext(browser)
	t.Cleanup(end)
	p := &tab{t: t, ctx: ctx}
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		for _, enable := range []cdp.Command[cdp.Empty, cdp.Empty]{log.Enable, runtime.Enable} {
			if _, err := cdp.Call(ctx, target, enable, cdp.Empty{}); err != nil {
				return chromedp.Void{}, err
			}
		}
		if _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); err != nil {
			return chromedp.Void{}, err
		}
		_, err := cdp.Call(ctx, target, emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: "en-US"})
		return chromedp.Void{}, err
	})
	require.NoError(t, chromedp.Listen(ctx, p.hear))
	p.size(1280, 900)
	p.do(chromedp.Navigate(origin + "/"))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Empty(t, slices.DeleteFunc(p.troubles, p.isForgiven))
		assert.NotEmpty(t, p.requests)
		for _, url := range p.requests {
			assert.True(t, strings.HasPrefix(url, origin+"/"), "asked for %s", url)
		}
	})
	p.until(`document.querySelector("#connection").textContent === "live"`)
	return p
}

func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, event.Request.URL)
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, event.URL)
	case *log.EventEntryAdded:
		p.troubles = append(p.troubles, fmt.Sprintf("%s: %s (%s)", event.Entry.Level, event.Entry.Text, event.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		p.troubles = append(p.troubles, fmt.Sprintf("console.%s: %s", event.Type, event.Args[0].Value))
	case *runtime.EventExceptionThrown:
		p.troubles = append(p.troubles, event.ExceptionDetails.Text+": "+event.ExceptionDetails.Exception.Description)
	}
}

// forgive has the test pass with the troubles that it makes itself: those with this part.
func (p *tab) forgive(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgiven = append(p.forgiven, part)
}

func (p *tab) isForgiven(trouble string) bool {
	return slices.ContainsFunc(p.forgiven, func(part string) bool { return strings.Contains(trouble, part) })
}

func (p *tab) do(action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	run(p, action)
}

func run[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	// The tab's first action makes the tab, which lives as long as the context of that action: it gets one without an end.
	require.NoError(p.t, chromedp.Do(p.ctx))
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	value, err := chromedp.Run(ctx, action)
	require.NoError(p.t, err)
	return value
}

// size sets the width and height of the window, in CSS pixels.
func (p *tab) size(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

// value evaluates JavaScript.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression))
}

// until waits until JavaScript is true.
func (p *tab) until(condition string) {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	// chromedp.Poll makes a function of a text, which the content security policy forbids.
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise((done) => {
		const look = () => (`+condition+`) ? done(true) : setTimeout(look, 20);
		look();
	})`, chromedp.EvalAwaitPromise))
	if err != nil {
		shown := value[string](p, `document.body.innerText`)
		require.NoError(p.t, err, "until %s\nThe page shows:\n%s", condition, shown)
	}
}

// enter has the focused element take a text at once, as from a clipboard.
func (p *tab) enter(text string) {
	p.t.Helper()
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, input.InsertText, input.InsertTextParams{Text: text})
		return chromedp.Void{}, err
	})
}

// press presses one key after the other, as kb has them.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// tabTo presses Tab until the element with that id has the focus.
func (p *tab) tabTo(id string) {
	p.t.Helper()
	for range 60 {
		if p.focused() == id {
			return
		}
		p.press(kb.Tab)
	}
	require.Fail(p.t, "Tab does not lead to "+id)
}

// focused gives the id of the element that has the focus, or its text where it has none.
func (p *tab) focused() string {
	p.t.Helper()
	return value[string](p, `document.activeElement.id || document.activeElement.textContent`)
}

// text gives what a person reads in an element.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return value[string](p, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}
