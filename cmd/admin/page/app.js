// The page of the admin address. It asks for one page of each list, asks again when the server says that something has
// changed, and writes the rates of the hosts that can be seen into the rows that are there.

import { ask, clock, count, draw, duration, element, make, moment, name, number, say, state, write } from "./dom.js";
import { List } from "./list.js";
import "./explain.js";

const fewProblems = 10, mostProblems = 200;
const retryAfter = 2_000, refreshAfter = 60_000; // milliseconds

// Routes, with the traffic of a host in the row of its first one.

function backend(b) {
  const where = [b.node, b.site].filter(Boolean).join(", ");
  const until = b.ejected_until ? `, until ${clock(b.ejected_until)}` : "";
  return make("li", {}, state(b.state), ` ${b.service} `,
    make("span", { class: "quiet" }, (where ? `${b.url} on ${where}` : b.url) + until));
}

const measures = [["rate", "Requests/s"], ["errors", "Errors"], ["p50", "p50"], ["p99", "p99"]];

const routes = new List("routes", {
  attempt,
  stamp: (route, before) => route.host === before?.host,
  row(route, again) {
    const row = make("tr", {},
      make("th", { scope: "row" }, ...name(route.host + route.path)),
      make("td", { class: "number", "data-label": "Priority" }, String(route.priority)),
      route.backends?.length
        ? make("td", { class: "wide", "data-label": "Backends" }, make("ul", {}, ...route.backends.map(backend)))
        : make("td", { class: "quiet", "data-label": "Backends" }, "none"));
    if (again) {
      row.append(make("td", { colspan: measures.length, class: "empty" }));
    } else {
      row.dataset.host = route.host;
      row.append(...measures.map(([key, label]) => make("td", { class: `number ${key}`, "data-label": label }, "–")));
    }
    return row;
  },
  shown(all) {
    const hosts = [...new Set(all.map((route) => route.host))];
    if (hosts.join() !== shownHosts.join()) listen(hosts);
    showTraffic();
  },
});

let traffic = new Map(); // the last rates, by host

function showTraffic() {
  for (const row of element("routes-body").rows) {
    if (row.dataset.host === undefined) continue;
    const rate = traffic.get(row.dataset.host), busy = rate?.requests_per_second > 0;
    // The server gives the upper bound of the histogram's bucket, and 0 for what is above all bounds.
    const quantile = (seconds) => !busy ? "–" : seconds > 0 ? `≤ ${duration(seconds)}` : "off scale";
    const put = (key, text) => {
      const cell = row.querySelector(`.${key}`);
      write(cell, text);
      cell.classList.toggle("none", text === "–");
      return cell;
    };
    put("rate", rate ? rate.requests_per_second.toFixed(1) : "–");
    put("errors", busy ? `${(rate.error_share * 100).toFixed(1)} %` : "–").classList.toggle("bad", busy && rate.error_share >= 0.01);
    put("p50", quantile(rate?.p50_seconds));
    put("p99", quantile(rate?.p99_seconds));
  }
}

// Certificates.

// share gives how much of the lifetime is over at a moment, from 0 to 1; null where either is not known.
function share(certificate, at) {
  const [from, to] = [certificate.from, certificate.to].map(Date.parse);
  const part = (at - from) / (to - from);
  return Number.isFinite(part) ? Math.min(Math.max(part, 0), 1) : null;
}

function fact(label, text) {
  return make("td", { class: text ? "" : "none", "data-label": label }, text || "–");
}

function lifetime(certificate, gone) {
  const renewal = share(certificate, Date.parse(certificate.renewal_due));
  let text = `${gone} % of the lifetime gone`;
  if (renewal !== null) text += `, renewal at ${Math.round(renewal * 100)} %`;
  const bar = draw("svg", { class: `lifetime ${certificate.state}`, viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": text },
    draw("title", {}, text),
    draw("rect", { class: "whole", width: 100, height: 10 }),
    draw("rect", { class: "gone", width: gone, height: 10 }));
  if (renewal !== null) {
    const line = { x1: renewal * 100, x2: renewal * 100, y1: 0, y2: 10, "vector-effect": "non-scaling-stroke" };
    bar.append(draw("line", { class: "rim", ...line }), draw("line", { class: "renewal", ...line }));
  }
  return bar;
}

const certificates = new List("certificates", {
  attempt,
  stamp(certificate) {
    const gone = share(certificate, Date.now());
    return gone === null ? null : Math.round(gone * 100);
  },
  row(c, gone) {
    const cell = make("td", { "data-label": "State" }, state(c.state));
    if (c.problem) cell.append(make("div", { class: "bad" }, c.problem));
    if (c.next_try) cell.append(make("div", { class: "quiet" }, `next try ${moment(c.next_try)}`));
    return make("tr", {},
      make("th", { scope: "row" }, ...name(c.name)), cell,
      gone === null ? fact("Lifetime") : make("td", { class: "wide", "data-label": "Lifetime" }, lifetime(c, gone)),
      fact("Renewal due", moment(c.renewal_due)), fact("Valid until", moment(c.to)), fact("Issuer", c.issuer));
  },
});

// Problems: the worst few, and all of them for who asks.

let problems = { total: 0, problems: [] }, allProblems = false;

async function loadProblems() {
  const part = await ask(`api/problems?limit=${mostProblems}`);
  if (JSON.stringify(part) === JSON.stringify(problems)) return;
  if (part.total !== problems.total) say(part.total ? count(part.total, "problem", "problems") : "no problems");
  problems = part;
  showProblems();
}

function showProblems() {
  const { total, problems: known } = problems, button = element("problems-all");
  const shown = allProblems ? known : known.slice(0, fewProblems);
  write(element("problems-count"), number(total));
  element("problems-list").replaceChildren(...shown.map((p) =>
    make("li", {}, make("strong", {}, `${p.kind} ${p.subject}`), `: ${p.reason}`)));
  if (allProblems && total > known.length) {
    element("problems-list").append(make("li", {}, `${number(total - known.length)} more: see `, make("a", { href: "api/problems?limit=10000" }, "all as JSON")));
  }
  if (known.length <= fewProblems && document.activeElement === button) element("routes").focus({ preventScroll: true });
  button.hidden = known.length <= fewProblems;
  button.ariaExpanded = String(allProblems);
  write(button, allProblems ? "Show fewer" : `Show all ${number(total)}`);
  element("problems").hidden = total === 0;
}

element("problems-all").addEventListener("click", () => {
  allProblems = !allProblems;
  showProblems();
});

// This instance.

let unready = "";

async function loadStatus() {
  const s = await ask("api/status");
  write(element("instance"), [s.version, s.node && `node ${s.node}`, s.site && `site ${s.site}`,
    s.unready ? `not ready: ${s.unready}` : "ready", `since ${moment(s.started)}`].filter(Boolean).join(" · "));
  element("instance").classList.toggle("bad", Boolean(s.unready));
  if (unready !== (s.unready ?? "")) say(s.unready ? `not ready: ${s.unready}` : "ready");
  unready = s.unready ?? "";
  document.title = s.node ? `Tricot on ${s.node}` : "Tricot";
}

// The connection: events tell of changes, and a request that failed is tried again.

let events, shownHosts = [], revision, connected = false, failure = "", retry;

function showConnection() {
  const connection = element("connection"), trouble = failure || !connected;
  write(connection, failure || (connected ? "live" : "no connection to Tricot: trying again"));
  connection.classList.toggle("bad", Boolean(trouble));
}

// again tries what failed once more. A connection that was refused with an answer is one that browsers do not try again.
function again() {
  clearTimeout(retry);
  retry = setTimeout(() => events.readyState === EventSource.CLOSED ? listen(shownHosts) : load(), retryAfter);
}

// listen follows the events. The rates are only for the hosts of the rows that are there.
function listen(hosts) {
  shownHosts = hosts;
  events?.close();
  events = new EventSource(`api/events?${new URLSearchParams({ hosts: hosts.join(",") })}`);
  events.addEventListener("open", () => {
    connected = true;
    showConnection();
  });
  events.addEventListener("error", () => {
    connected = false;
    traffic = new Map();
    showTraffic();
    revision = undefined; // who answers next may be another process, whose revisions say nothing about this one's
    showConnection();
    if (events.readyState === EventSource.CLOSED) again();
  });
  events.addEventListener("changed", (event) => {
    const { revision: now } = JSON.parse(event.data);
    if (now !== revision) load();
    revision = now;
  });
  events.addEventListener("traffic", (event) => {
    traffic = new Map(JSON.parse(event.data).map((rate) => [rate.host, rate]));
    showTraffic();
  });
}

function load() {
  attempt(Promise.all([loadStatus(), loadProblems(), routes.load(), certificates.load()]).then(() => {
    failure = "";
    if (connected) showConnection();
  }));
}

function attempt(promise) {
  promise.catch((error) => {
    // Nobody answered: the events fail as well, and say so.
    failure = error instanceof TypeError ? "" : error.message;
    if (failure) showConnection();
    again();
  });
}

// The events begin with a change, which loads everything. What no event tells of is at most a minute old.
listen([]);
setInterval(load, refreshAfter);
