import { ask, element, make, number, say, write } from "./dom.js";

const pageSize = 100;

// A List shows one page of what a path of the API gives, with a search and buttons for the other pages. Its options:
//
//	row      builds the row of one thing, which is kept for as long as the thing stays the same
//	stamp    gives what else its row depends on, from the thing and the one before it
//	shown    is told the things that are shown
//	attempt  takes the promises of loading, for who has an eye on failures
export class List {
  constructor(name, options) {
    Object.assign(this, { name, offset: 0, asked: 0, rows: new Map() }, options);
    this.body = element(`${name}-body`);
    this.search = element(`${name}-search`);
    this.search.form.addEventListener("submit", (event) => event.preventDefault());
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.move(0), 150);
    });
    this.previous = element(`${name}-previous`);
    this.next = element(`${name}-next`);
    this.previous.addEventListener("click", () => this.turn(this.previous, -pageSize));
    this.next.addEventListener("click", () => this.turn(this.next, pageSize));
  }

  // turn goes to another page, from its top on. A button that leads nowhere keeps the focus: it is not disabled, but
  // says that it is.
  turn(button, by) {
    if (button.ariaDisabled === "true") return;
    this.move(this.offset + by);
    const section = this.body.closest("section");
    if (section.getBoundingClientRect().top < 0) section.scrollIntoView();
  }

  // move shows another page because the user wants it, and says so.
  move(offset) {
    this.offset = Math.max(0, offset); // two clicks may come before the first answer
    this.attempt(this.load().then(() => say(`${this.name}: ${this.range}`)));
  }

  async load() {
    const asked = ++this.asked;
    const query = new URLSearchParams({ search: this.search.value.trim(), offset: this.offset, limit: pageSize });
    const part = await ask(`api/${this.name}?${query}`);
    if (asked !== this.asked) return; // a later one is under way
    if (part.matched > 0 && this.offset >= part.matched) { // the list has become shorter
      this.offset = Math.floor((part.matched - 1) / pageSize) * pageSize;
      return this.load();
    }
    this.show(part);
  }

  show(part) {
    const all = part[this.name], last = this.offset + all.length;
    write(element(`${this.name}-count`),
      part.matched === part.total ? number(part.total) : `${number(part.matched)} of ${number(part.total)}`);
    this.range = part.matched === 0 ? "none" : `${number(this.offset + 1)} to ${number(last)} of ${number(part.matched)}`;
    write(element(`${this.name}-range`), this.range);
    this.previous.ariaDisabled = String(this.offset === 0);
    this.next.ariaDisabled = String(last >= part.matched);
    const pages = element(`${this.name}-pages`), hide = part.matched <= pageSize;
    if (hide && pages.contains(document.activeElement)) this.search.focus({ preventScroll: true });
    pages.hidden = hide;
    this.place(all);
    this.shown?.(all);
  }

  // place has the rows of these things in the table, in their order, and touches none that was there already.
  place(all) {
    const rows = new Map();
    all.forEach((one, i) => {
      const stamp = this.stamp(one, all[i - 1]);
      const key = JSON.stringify([one, stamp]);
      rows.set(rows.has(key) ? `${key} ${i}` : key, this.rows.get(key) ?? this.row(one, stamp));
    });
    if (all.length === 0) {
      const columns = this.body.closest("table").tHead.rows[0].cells.length;
      rows.set("", this.rows.get("") ?? make("tr", {}, make("td", { colspan: columns, class: "quiet" }, `No ${this.name}.`)));
    }
    const wanted = new Set(rows.values());
    for (const row of [...this.body.rows]) {
      if (!wanted.has(row)) row.remove();
    }
    let there = this.body.firstElementChild;
    for (const row of wanted) {
      if (row === there) there = there.nextElementSibling;
      else this.body.insertBefore(row, there);
    }
    this.rows = rows;
  }
}
