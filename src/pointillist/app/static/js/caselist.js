/** The images: thousands of rows, of which only those in sight exist. */

import { api } from "./api.js";
import { byId, clockText, fill, h, icon } from "./dom.js";

const ROW = 60;
const SPARE = 4;
const FILTERS = [["all", "All"], ["open", "Unmarked"], ["suggested", "Suggested"]];

export class CaseList {
  #rows = new Map(); // id → element
  #shown = [];
  #versions = new Map();

  constructor(state, open) {
    Object.assign(this, { state, open });
    this.#build();
    this.scroller.addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(this.scroller);
    state.on(["cases", "filter", "search", "suggestions"], () => this.#choose());
    state.on(["caseId"], () => this.#follow());
  }

  /** The id of the next image without marks, after the open one and then from the start. */
  nextUnmarked() {
    const cases = this.#ranked();
    const at = cases.findIndex((one) => one.id === this.state.get("caseId"));
    const from = this.state.get("suggestions") ? 0 : at + 1;
    const order = [...cases.slice(from), ...cases.slice(0, from)];
    return order.find((one) => !one.marked && !one.done && one.id !== this.state.get("caseId"))?.id ?? null;
  }

  /** The image before or after in the list. */
  neighbour(step) {
    const at = this.#shown.findIndex((one) => one.id === this.state.get("caseId"));
    return this.#shown[at + step]?.id ?? null;
  }

  /** Its marks changed: the thumbnail is another. */
  renew(id, version) {
    this.#versions.set(id, version);
    const image = this.#rows.get(id)?.querySelector("img");
    if (image?.getAttribute("src")) image.src = api.thumbnail(id, version);
  }

  #build() {
    const search = h("input", { type: "search", id: "search", placeholder: "Find an image", "aria-label": "Find an image", oninput: () => this.state.set({ search: search.value.trim().toLowerCase() }) });
    this.tabs = h("div", { class: "segments", role: "group", "aria-label": "Which images" }, FILTERS.map(([name, label]) =>
      h("button", { type: "button", dataset: { filter: name }, onclick: () => this.state.set({ filter: name }) }, label)));
    this.progress = h("div", { class: "progress" });
    this.inner = h("div", { class: "rows" });
    this.scroller = h("div", { class: "scroller", role: "listbox", tabindex: "0", "aria-label": "Images", onkeydown: (event) => this.#keys(event) }, this.inner);
    this.none = h("p", { class: "quiet none", hidden: true }, "No image fits.");
    fill(byId("cases"), h("div", { class: "case-head" }, search, this.tabs), this.scroller, this.none, this.progress);
  }

  #ranked() {
    const cases = this.state.get("cases") ?? [];
    const ranks = this.#ranks();
    if (!ranks) return cases;
    const known = new Map(cases.map((one) => [one.id, one]));
    return ranks.cases.map(({ id }) => known.get(id)).filter(Boolean);
  }

  /** The suggestions, where the list shows them. */
  #ranks() {
    return this.state.get("filter") === "suggested" ? this.state.get("suggestions") : null;
  }

  #choose() {
    const { state } = this;
    const filter = state.get("filter");
    const search = state.get("search");
    const suggested = Boolean(state.get("suggestions"));
    this.#shown = this.#ranked().filter((one) => one.id.toLowerCase().includes(search) && (filter !== "open" || (!one.marked && !one.done) || one.id === state.get("caseId")));
    for (const button of this.tabs.children) {
      button.setAttribute("aria-pressed", button.dataset.filter === filter);
      if (button.dataset.filter === "suggested") button.hidden = !suggested;
    }
    this.inner.style.height = `${this.#shown.length * ROW}px`;
    this.none.hidden = this.#shown.length > 0;
    this.#drawProgress();
    this.#draw();
  }

  #drawProgress() {
    const cases = this.state.get("cases") ?? [];
    const marked = cases.filter((one) => one.marked || one.done).length;
    const seconds = cases.reduce((sum, one) => sum + (one.seconds ?? 0), 0);
    const bar = h("div", { class: "bar", role: "progressbar", "aria-label": "Images marked", "aria-valuemin": 0, "aria-valuemax": cases.length, "aria-valuenow": marked }, h("div"));
    bar.firstChild.style.width = `${cases.length ? (100 * marked) / cases.length : 0}%`;
    fill(this.progress, bar, h("span", {}, `${marked.toLocaleString("en")} of ${cases.length.toLocaleString("en")} marked`), h("span", { class: "quiet", title: "Time spent marking" }, seconds ? clockText(seconds) : ""));
  }

  #draw() {
    const first = Math.max(Math.floor(this.scroller.scrollTop / ROW) - SPARE, 0);
    const last = Math.min(Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW) + SPARE, this.#shown.length);
    const wanted = new Set();
    for (let i = first; i < last; i += 1) {
      const one = this.#shown[i];
      wanted.add(one.id);
      const known = this.#rows.get(one.id);
      const row = known ?? this.#newRow(one);
      if (row.one !== one || row.at !== i || row.ranks !== this.#ranks()) this.#updateRow(row, one, i);
      if (!known) this.inner.append(row);
    }
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    this.#mark();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.#thumbnails(), 60);
  }

  #newRow(one) {
    const row = h("div", { class: "case", role: "option", id: `case ${one.id}`, onclick: () => this.open(one.id) },
      h("img", { alt: "", width: 44, height: 44, decoding: "async" }), h("div", { class: "text" }, h("div", { class: "name" }), h("div", { class: "about" })), h("span", { class: "state" }));
    this.#rows.set(one.id, row);
    return row;
  }

  #updateRow(row, one, i) {
    const ranks = this.#ranks();
    Object.assign(row, { one, at: i, ranks });
    row.style.transform = `translateY(${i * ROW}px)`;
    row.setAttribute("aria-setsize", this.#shown.length);
    row.setAttribute("aria-posinset", i + 1);
    row.querySelector(".name").textContent = one.id;
    row.querySelector(".name").title = one.id;
    row.querySelector(".about").textContent = aboutOf(one, ranks?.scores.get(one.id));
    row.classList.toggle("broken", Boolean(one.error));
    const state = row.querySelector(".state");
    fill(state, one.error ? icon("warning") : one.done ? icon("check") : one.marked ? h("span", { class: "dot" }) : null);
    state.title = one.error ? one.error.what : one.done ? "Finished" : one.marked ? "Has marks" : "";
  }

  /** Ask for thumbnails only where scrolling has come to rest. */
  #thumbnails() {
    for (const [id, row] of this.#rows) {
      const image = row.querySelector("img");
      if (!image.getAttribute("src")) image.src = api.thumbnail(id, this.#versions.get(id) ?? 0);
    }
  }

  #mark() {
    const current = this.state.get("caseId");
    for (const [id, row] of this.#rows) row.setAttribute("aria-selected", id === current);
    if (current) this.scroller.setAttribute("aria-activedescendant", `case ${current}`);
  }

  #follow() {
    const at = this.#shown.findIndex((one) => one.id === this.state.get("caseId"));
    if (at >= 0) {
      const { scrollTop, clientHeight } = this.scroller;
      if (at * ROW < scrollTop) this.scroller.scrollTop = at * ROW;
      else if ((at + 1) * ROW > scrollTop + clientHeight) this.scroller.scrollTop = (at + 1) * ROW - clientHeight;
    }
    this.#draw();
  }

  #keys(event) {
    const page = Math.max(Math.floor(this.scroller.clientHeight / ROW), 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.#shown.length) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.#shown.findIndex((one) => one.id === this.state.get("caseId"));
    const next = this.#shown[Math.min(Math.max(at + step, 0), this.#shown.length - 1)];
    this.open(next.id);
  }
}

/** What fits into a line. */
function aboutOf(one, score) {
  if (one.error) return "cannot be read";
  const parts = [];
  if (score !== undefined) parts.push(`score ${score.toPrecision(2)}`);
  if (one.strokes) parts.push(`${one.strokes} mark${one.strokes === 1 ? "" : "s"}`);
  if (one.shape?.length === 3 && Number.isInteger(one.slice_axis)) {
    parts.push(`${one.marked_slices ? `${one.marked_slices}/` : ""}${one.shape.at(one.slice_axis)} slices`);
  } else if (one.marked && !one.strokes) parts.push("marked");
  if (one.seconds >= 1) parts.push(clockText(one.seconds));
  return parts.slice(0, 2).join(" · ");
}
