// The box that explains a URL.

import { ask, element, make, name, state } from "./dom.js";

const backend = (b) => `${b.service} at ${b.url}`;

const items = (all) => make("ul", {}, ...all.map((one) => make("li", {}, one)));

function facts(d) {
  const list = make("dl");
  const fact = (title, what) => { if (what) list.append(make("dt", {}, title), make("dd", {}, what)); };
  fact("Location", d.location);
  fact("Matched", d.matched);
  fact(d.backends?.length > 1 ? "Backends, in turn" : "Backend", d.backends?.length && items(d.backends.map(backend)));
  fact("Headers set", d.headers?.length && items(d.headers));
  fact("Compression", d.compression);
  if (d.certificate) fact("Certificate", make("span", {}, `${d.certificate.name} `, state(d.certificate.state)));
  return list;
}

function rules(d) {
  if (!d.rules?.length) return "";
  return make("table", {}, make("caption", {}, "Rules, in the order in which they are considered"),
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, "Rule"), make("th", { scope: "col", class: "number" }, "Priority"),
      ...["Backend", "Outcome", "Why"].map((title) => make("th", { scope: "col" }, title)))),
    make("tbody", {}, ...d.rules.map((r) => make("tr", {},
      make("th", { scope: "row" }, ...name(r.host + r.path)),
      make("td", { class: "number", "data-label": "Priority" }, String(r.priority)),
      make("td", { "data-label": "Backend" }, backend(r.backend)),
      make("td", { "data-label": "Outcome" }, state(r.outcome)),
      make("td", { "data-label": "Why" }, r.reason)))));
}

let asked = 0;
element("explain-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const mine = ++asked, url = element("explain-url").value.trim();
  let outcome, details = [];
  try {
    const d = await ask(`api/explain?${new URLSearchParams({ url })}`);
    [outcome, details] = [[state(d.outcome), d.reason ? `: ${d.reason}` : ""], [facts(d), rules(d)]];
  } catch (error) {
    outcome = [make("span", { class: "bad" }, error instanceof TypeError ? "no connection to Tricot" : error.message)];
  }
  if (mine !== asked) return; // another one has been asked since
  // Only the outcome is a live region: who listens does not want all of the table read to them.
  element("explain-outcome").replaceChildren(...outcome);
  element("explain-details").replaceChildren(...details);
});
