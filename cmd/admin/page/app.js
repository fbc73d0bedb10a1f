// The page of the admin address. It asks for one page of each list, asks again when the server says that something has
// changed, and writes the rates of the hosts that can be seen into the rows that are there.

const pageSize = 100;

const element = (id) => document.getElementById(id);

// make builds an element. Text is always text: nothing that a service says can become markup.
function make(name, attributes = {}, ...children) {
  const made = name === "svg" || attributes.svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key !== "svg") made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new Error(body.error ?? `${answer.status} ${answer.statusText}`);
  return body;
}

const number = (value) => value.toLocaleString();

function moment(text) {
  return text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "–";
}

function duration(seconds) {
  if (!seconds) return "–";
  return seconds < 1 ? `${Number((seconds * 1000).toPrecision(3))} ms` : `${Number(seconds.toPrecision(3))} s`;
}

// A List shows one page of what a path of the API gives, with a search and buttons for the other pages.
class List {
  constructor(name, noun, row) {
    Object.assign(this, { name, noun, row, offset: 0, asked: 0 });
    const search = element(`${name}-search`);
    search.form.addEventListener("submit", (event) => event.preventDefault());
    search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => { this.offset = 0; this.load(); }, 150);
    });
    this.search = search;
  }

  async load() {
    const asked = ++this.asked;
    const query = new URLSearchParams({ search: this.search.value.trim(), offset: this.offset, limit: pageSize });
    const part = await ask(`api/${this.name}?${query}`);
    if (asked !== this.asked) return; // a later one is under way
    if (part.matched > 0 && this.offset >= part.matched) {
      this.offset = Math.floor((part.matched - 1) / pageSize) * pageSize;
      return this.load();
    }
    this.show(part);
  }

  show(part) {
    const all = part[this.name];
    element(`${this.name}-count`).textContent =
      part.matched === part.total ? number(part.total) : `${number(part.matched)} of ${number(part.total)}`;
    const columns = element(`${this.name}-body`).closest("table").querySelectorAll("thead th").length;
    const none = make("tr", {}, make("td", { colspan: columns, class: "none" }, `No ${this.noun}.`));
    element(`${this.name}-body`).replaceChildren(...(all.length ? all.map(this.row) : [none]));
    this.pages(part);
    this.shown?.(all);
  }

  pages(part) {
    const pages = element(`${this.name}-pages`);
    const focused = pages.contains(document.activeElement) ? document.activeElement.textContent : "";
    pages.replaceChildren();
    if (part.matched <= pageSize) return;
    const button = (text, to) => {
      const made = make("button", { type: "button" }, text);
      made.disabled = to < 0 || to >= part.matched;
      made.addEventListener("click", () => { this.offset = to; this.load(); });
      return made;
    };
    pages.append(button("Previous", this.offset - pageSize),
      make("span", {}, `${number(this.offset + 1)} to ${number(Math.min(this.offset + pageSize, part.matched))}`),
      button("Next", this.offset + pageSize));
    // The buttons are new ones; who used the keyboard goes on where they were.
    [...pages.querySelectorAll("button:enabled")].find((b) => b.textContent === focused)?.focus();
  }
}

function backend(b) {
  const where = [b.node, b.site].filter(Boolean).join(", ");
  return make("li", {},
    make("span", { class: `state ${b.state}` }, b.state), ` ${b.service} `,
    make("span", { class: "where" }, where ? `${b.url} on ${where}` : b.url),
    b.ejected_until ? make("span", { class: "where" }, ` until ${moment(b.ejected_until)}`) : "");
}

const routes = new List("routes", "routes", (route) => {
  const row = make("tr", { "data-host": route.host },
    make("th", { scope: "row" }, route.host + route.path),
    make("td", { class: "number", "data-label": "Priority" }, String(route.priority)),
    make("td", { "data-label": "Backends" }, make("ul", {}, ...route.backends.map(backend))));
  for (const [key, label] of [["rate", "Requests/s"], ["errors", "Errors"], ["p50", "p50"], ["p99", "p99"]]) {
    row.append(make("td", { class: `number ${key}`, "data-label": label }, "–"));
  }
  return row;
});

function lifetime(certificate) {
  if (!certificate.from || !certificate.to) return "–";
  const [from, to, renewal] = [certificate.from, certificate.to, certificate.renewal_due].map((t) => new Date(t).getTime());
  const share = (at) => Math.min(Math.max((at - from) / (to - from), 0), 1) * 100;
  const gone = share(Date.now());
  const text = `${Math.round(gone)} % of the lifetime gone, renewal at ${Math.round(share(renewal))} %, on ${moment(certificate.renewal_due)}`;
  return make("svg", { class: "lifetime", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": text },
    make("title", { svg: true }, text),
    make("rect", { svg: true, class: "whole", width: 100, height: 10 }),
    make("rect", { svg: true, class: certificate.state === "valid" ? "gone" : "gone late", width: gone, height: 10 }),
    make("line", { svg: true, class: "renewal", x1: share(renewal), x2: share(renewal), y1: 0, y2: 10, "vector-effect": "non-scaling-stroke" }));
}

const stateNames = { selfsigned: "self-signed" };

const certificates = new List("certificates", "certificates", (c) => {
  const state = make("td", { "data-label": "State" }, make("span", { class: `state ${c.state}` }, stateNames[c.state] ?? c.state));
  if (c.problem) state.append(make("div", { class: "problem" }, c.problem));
  if (c.next_try) state.append(make("div", { class: "where" }, `next try ${moment(c.next_try)}`));
  return make("tr", {},
    make("th", { scope: "row" }, c.name), state,
    make("td", { "data-label": "Lifetime" }, lifetime(c)),
    make("td", { "data-label": "Valid until" }, moment(c.to)),
    make("td", { "data-label": "Issuer" }, c.issuer ?? "–"));
});

async function loadProblems() {
  const part = await ask("api/problems?limit=200");
  element("problems").hidden = part.total === 0;
  element("problems-count").textContent = number(part.total);
  element("problems-list").replaceChildren(...part.problems.map((p) =>
    make("li", {}, make("strong", {}, `${p.kind} ${p.subject}`), `: ${p.reason}`)));
}

async function loadStatus() {
  const s = await ask("api/status");
  const place = [s.node && `node ${s.node}`, s.site && `site ${s.site}`].filter(Boolean).join(", ");
  element("instance").textContent = [s.version, place, s.unready ? `not ready: ${s.unready}` : "ready",
    `since ${moment(s.started)}`].filter(Boolean).join(" · ");
  document.title = s.node ? `Tricot on ${s.node}` : "Tricot";
}

// listen follows the events. The rates are only for the hosts of the rows that are there.
let events;
function listen(hosts) {
  events?.close();
  events = new EventSource(`api/events?${new URLSearchParams({ hosts: hosts.join(",") })}`);
  const connection = element("connection");
  events.addEventListener("open", () => { connection.textContent = "live"; connection.className = ""; });
  events.addEventListener("error", () => { connection.textContent = "no connection to Tricot: trying again"; connection.className = "lost"; });
  events.addEventListener("changed", (event) => changed(JSON.parse(event.data).revision));
  events.addEventListener("traffic", (event) => traffic(JSON.parse(event.data)));
}

let revision;
function changed(now) {
  if (now === revision) return;
  revision = now;
  load();
}

function traffic(rates) {
  const byHost = new Map(rates.map((rate) => [rate.host, rate]));
  for (const row of element("routes-body").rows) {
    const rate = byHost.get(row.dataset.host);
    if (!rate) continue;
    const write = (key, text) => {
      const cell = row.querySelector(`.${key}`);
      if (cell.textContent !== text) cell.textContent = text;
    };
    write("rate", rate.requests_per_second.toFixed(1));
    write("errors", rate.requests_per_second > 0 ? `${(rate.error_share * 100).toFixed(1)} %` : "–");
    write("p50", duration(rate.p50_seconds));
    write("p99", duration(rate.p99_seconds));
  }
}

let shownHosts;
routes.shown = (all) => {
  const hosts = [...new Set(all.map((route) => route.host))];
  if (hosts.join() === shownHosts) return;
  shownHosts = hosts.join();
  listen(hosts);
};

function load() {
  for (const loading of [loadStatus(), loadProblems(), routes.load(), certificates.load()]) {
    loading.catch((error) => {
      element("connection").textContent = error.message;
      element("connection").className = "lost";
    });
  }
}

// explained shows the decision on a request.
function explained(d) {
  const facts = make("dl");
  const fact = (name, ...what) => facts.append(make("dt", {}, name), make("dd", {}, ...what));
  fact("Outcome", make("span", { class: `state ${d.outcome}` }, d.outcome), ` ${d.reason ?? ""}`);
  if (d.location) fact("Location", d.location);
  if (d.matched) fact("Matched", d.matched);
  if (d.backends?.length) fact("Backends", make("ul", { class: "plain" }, ...d.backends.map((b) => make("li", {}, `${b.service} at ${b.url}`))));
  if (d.headers?.length) fact("Headers set", d.headers.join("; "));
  if (d.compression) fact("Compression", d.compression);
  if (d.certificate) fact("Certificate", `${d.certificate.name}: ${stateNames[d.certificate.state] ?? d.certificate.state}`);
  if (!d.rules?.length) return [facts];
  return [facts, make("div", { class: "scroll", role: "region", "aria-label": "Rules considered", tabindex: "0" }, make("table", {},
    make("thead", {}, make("tr", {}, ...["Rule", "Priority", "Backend", "Outcome", "Why"].map((h) => make("th", { scope: "col" }, h)))),
    make("tbody", {}, ...d.rules.map((r) => make("tr", {},
      make("th", { scope: "row" }, r.host + r.path),
      make("td", { class: "number", "data-label": "Priority" }, String(r.priority)),
      make("td", { "data-label": "Backend" }, `${r.backend.service} at ${r.backend.url}`),
      make("td", { "data-label": "Outcome" }, make("span", { class: `state ${r.outcome}` }, r.outcome)),
      make("td", { "data-label": "Why" }, r.reason))))))];
}

element("explain-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const result = element("explain-result");
  try {
    result.replaceChildren(...explained(await ask(`api/explain?${new URLSearchParams({ url: element("explain-url").value.trim() })}`)));
  } catch (error) {
    result.replaceChildren(make("p", { class: "problem", role: "alert" }, error.message));
  }
});

load();
listen([]);
