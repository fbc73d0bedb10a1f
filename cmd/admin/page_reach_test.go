package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/cmd/admin"
)

// full opens the page with all of its parts in use.
func full(t *testing.T, browser context.Context) *tab {
	source := many(300)
	source.routes = append(typical().routes, source.routes...)
	source.busy = true
	long := strings.Repeat("long-", 30) + "name.example"
	source.routes[1].Host = long
	source.routes[1].Backends[0].Service = long
	source.certificates[0].Name = long
	for i := range 20 {
		source.problems = append(source.problems, admin.Problem{Kind: "tag", Subject: long, Reason: fmt.Sprint("reason ", i)})
	}
	p := see(t, browser, source)
	p.until(`!document.querySelector("#problems").hidden`)
	p.until(`document.querySelector("#routes-body .errors").innerText === "20.0 %"`)
	p.tabTo("explain-url")
	p.enter("a.example/" + strings.Repeat("long", 40))
	p.press(kb.Enter)
	p.until(`document.querySelector("#explain-details table") !== null`)
	return p
}

func fits(t *testing.T, browser context.Context) {
	p := full(t, browser)
	for _, width := range []int64{320, 360, 959, 961, 1000, 1280, 2560} {
		p.size(width, 700)
		p.until(fmt.Sprintf(`innerWidth === %d`, width))
		assert.Equal(t, width, value[int64](p, `document.documentElement.scrollWidth`), "the page does not scroll sideways")
		assert.Empty(t, value[[]string](p, `(() => {
			const unseen = (e) => e !== null && (getComputedStyle(e).clipPath !== "none" || unseen(e.parentElement));
			return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(".skip, svg") && !unseen(e)
				&& e.getBoundingClientRect().right > innerWidth + 1)
				.map((e) => e.outerHTML.slice(0, 100));
		})()`), "nothing is cut off at a width of %d", width)
	}
}

// contrasts gives the texts and marks whose contrast is below what WCAG 2.2 asks for (1.4.3 and 1.4.11), as it computes it.
const contrasts = `(() => {
	const parse = (text) => text.match(/[\d.]+/g).map(Number);
	const light = (text) => {
		const [r, g, b] = parse(text).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ratio = (a, b) => {
		const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
		return (high + 0.05) / (low + 0.05);
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const back = getComputedStyle(e).backgroundColor, alpha = parse(back)[3] ?? 1;
			if (alpha === 1) return back;
			if (alpha > 0) throw new Error("a background that lets through: " + back);
		}
		throw new Error("no background");
	};
	const seen = [], low = [];
	const check = (what, front, back, least) => {
		seen.push(what);
		if (!(ratio(front, back) >= least)) low.push(what + ": " + front + " on " + back + " is " + ratio(front, back).toFixed(2));
	};
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; node = texts.nextNode();) {
		const e = node.parentElement;
		if (!node.data.trim() || e.closest("noscript, title, svg") || !e.checkVisibility()) continue;
		if (getComputedStyle(e).opacity !== "1") throw new Error("text that lets through");
		check(node.data.trim().slice(0, 40), getComputedStyle(e).color, behind(e), 4.5);
	}
	for (const input of document.querySelectorAll("input")) {
		check("placeholder", getComputedStyle(input, "::placeholder").color, behind(input), 4.5);
		check("border", getComputedStyle(input).borderTopColor, behind(input.parentElement), 3);
	}
	for (const bar of document.querySelectorAll("svg.lifetime")) {
		const fill = (part) => getComputedStyle(bar.querySelector(part)).fill;
		check("bar", fill(".gone"), fill(".whole"), 3);
	}
	for (const mark of document.querySelectorAll("svg .renewal")) {
		check("mark", getComputedStyle(mark).stroke, getComputedStyle(mark.previousSibling).stroke, 3);
	}
	return {seen, low: [...new Set(low)], back: behind(document.body)};
})()`

func canBeRead(t *testing.T, browser context.Context) {
	p := full(t, browser)
	backs := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			return chromedp.Void{}, err
		})
		p.until(fmt.Sprintf(`matchMedia("(prefers-color-scheme: %s)").matches`, scheme))
		found := value[struct {
			Seen, Low []string
			Back      string
		}](p, contrasts)
		assert.Greater(t, len(found.Seen), 300)
		for _, want := range []string{"bar", "mark", "placeholder", "ejected", "due", "unmatched", "Explain", "live", "20.0 %"} {
			assert.Contains(t, found.Seen, want)
		}
		assert.Empty(t, found.Low, scheme)
		backs[found.Back] = true
	}
	assert.Len(t, backs, 2, "dark is another palette")
}

func worksByKeyboard(t *testing.T, browser context.Context) {
	p := full(t, browser)
	here := value[string](p, `location.href`)
	p.do(chromedp.Navigate(here))
	p.until(`document.querySelector("#routes-body").rows.length === 100 && !document.querySelector("#problems").hidden`)
	p.until(`document.querySelector("#certificates-body").rows.length > 0`)
	var order []string
	for range 30 {
		p.press(kb.Tab)
		at := p.focused()
		if value[bool](p, `document.activeElement === document.body`) || len(order) > 0 && at == order[0] {
			break
		}
		order = append(order, at)
		// In the order of the document, to be seen, and with a ring around it.
		ring := value[struct {
			Width   string
			Style   string
			Visible bool
		}](p, `(() => {
			const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
			return {Width: style.outlineWidth, Style: style.outlineStyle,
				Visible: e.checkVisibility() && box.width > 0 && box.left >= 0 && box.right <= innerWidth && box.bottom > 0 && box.top < innerHeight};
		})()`)
		assert.Equal(t, "3px solid", ring.Width+" "+ring.Style, at)
		assert.True(t, ring.Visible, "%s has the focus and cannot be seen", at)
	}
	assert.Equal(t, []string{"Skip to the routes", "problems-all", "explain-url", "Explain", "routes-search", "routes-previous", "routes-next",
		"certificates-search", "status", "services", "routes", "certificates", "problems", "settings", "pprof"}, order)

	p.do(chromedp.Navigate(here))
	p.until(`document.querySelector("#routes-body").rows.length === 100`)
	p.press(kb.Tab, kb.Enter)
	p.until(`document.activeElement.id === "routes"`)
	p.press(kb.Tab)
	assert.Equal(t, "routes-search", p.focused())
}

// A thing is what assistive technology is told of an element.
type thing struct {
	role, name string
	level      int
}

// things gives the accessibility tree in the order of the document.
func things(p *tab) []thing {
	p.t.Helper()
	tree := run(p, func(ctx context.Context, target *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, target, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	text := func(v *accessibility.Value) string {
		var s string
		if v != nil && len(v.Value) > 0 {
			require.NoError(p.t, json.Unmarshal([]byte(v.Value), &s))
		}
		return s
	}
	byID := map[accessibility.NodeID]*accessibility.Node{}
	for _, node := range tree.Nodes {
		byID[node.NodeID] = node
	}
	var all []thing
	var walk func(id accessibility.NodeID)
	walk = func(id accessibility.NodeID) {
		node := byID[id]
		if node == nil {
			return
		}
		if !node.Ignored {
			one := thing{role: text(node.Role), name: text(node.Name)}
			for _, property := range node.Properties {
				if property.Name == "level" {
					require.NoError(p.t, json.Unmarshal([]byte(property.Value.Value), &one.level))
				}
			}
			all = append(all, one)
		}
		for _, child := range node.ChildIDs {
			walk(child)
		}
	}
	walk(tree.Nodes[0].NodeID)
	return all
}

func isAccessible(t *testing.T, browser context.Context) {
	p := full(t, browser)
	for _, width := range []int64{1280, 360} {
		p.size(width, 900)
		p.until(fmt.Sprintf(`innerWidth === %d`, width))
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			named := map[string][]string{}
			level := 0
			for _, one := range things(p) {
				named[one.role] = append(named[one.role], one.name)
				switch one.role {
				case "button", "link", "textbox", "searchbox", "image", "img", "table", "region", "search", "navigation", "columnheader", "rowheader", "form":
					assert.NotEmpty(t, strings.TrimSpace(one.name), "a %s has no name", one.role)
				case "heading":
					assert.LessOrEqual(t, one.level, level+1, "the heading %q leaves out a level", one.name)
					level = one.level
				}
			}
			for _, landmark := range []string{"banner", "main", "contentinfo"} {
				assert.Len(t, named[landmark], 1, landmark)
			}
			assert.Equal(t, []string{"Tricot", "Problems 22", "Why does a request go where it goes?", "Routes 303", "Certificates 5"}, named["heading"])
			assert.Equal(t, []string{"Problems 22", "Why does a request go where it goes?", "Routes 303", "Certificates 5"}, named["region"])
			assert.Equal(t, []string{"Search the routes", "Search the certificates"}, named["search"])
			assert.Equal(t, []string{"Pages of the routes"}, named["navigation"])
			assert.Equal(t, []string{"URL"}, named["textbox"])
			assert.Equal(t, []string{"Search", "Search"}, named["searchbox"])
			assert.Equal(t, []string{"Rules, in the order in which they are considered", "Routes 303", "Certificates 5"}, named["table"])
			assert.Equal(t, []string{"Rule", "Priority", "Backend", "Outcome", "Why",
				"Host and path", "Priority", "Backends", "Requests/s", "Errors", "p50", "p99",
				"Name", "State", "Lifetime", "Renewal due", "Valid until", "Issuer"}, named["columnheader"])
			assert.Len(t, named["rowheader"], 2+100+5)
			assert.GreaterOrEqual(t, len(named["cell"]), 4*2+100*3+5*5)
			assert.Len(t, append(named["image"], named["img"]...), 4, "the bars of the certificates")
			assert.Len(t, named["status"], 3, "the connection, the outcome, and what was said")
		})
	}
}
