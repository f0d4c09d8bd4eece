/** Training from the page: start, watch, stop, look, train on. */

import { api } from "./api.js";
import { chart } from "./chart.js";
import { byId, clockText, fill, h, iconButton } from "./dom.js";
import { settingsForm } from "./settings.js";

const LIVE_MS = 3000;
const MOST_CHARTS = 2; // of losses, before the rest is asked for
const PREFERRED = ["auto", "dmpls", "pce"];
const STAGES = { preparing: "preparing", predicting: "predicting" };
const STATES = { running: "running", stopped: "stopped", done: "finished", failed: "failed" };

export class Runs {
  #methods = null;
  #open = null; // the run whose charts are shown
  #details = new Map();

  /** @param {object} state @param {(error: Error) => void} tell @param {() => Promise<void>} saved when the server has what was drawn */
  constructor(state, tell, saved) {
    Object.assign(this, { state, tell, saved });
    this.list = h("div", { class: "run-list" });
    this.form = h("form", { class: "train", onsubmit: (event) => this.#start(event) });
    fill(byId("runs"), h("div", { class: "head" }, h("h2", {}, "Train")), this.form, this.list);
    byId("runs").hidden = true;
    state.on(["runs", "overlay", "suggestions"], () => this.#draw());
  }

  /** Ask for methods and runs; without them there is no panel. */
  async load() {
    try {
      const [methods, runs] = await Promise.all([this.#methods ?? api.methods(), api.runs()]);
      if (!this.#methods) this.#buildForm(methods);
      this.state.set({ runs });
      const predicted = runs.filter((run) => run.predicted);
      const asked = predicted.find((run) => run.id === this.state.get("dataset").run); // on the command line
      const first = asked ?? predicted.at(-1);
      if (!this.state.get("overlay").run && first) this.show(first.id, { shown: first === asked });
      byId("runs").hidden = false;
    } catch (error) {
      if (error.status !== 404 && !error.away) this.tell(error);
    }
  }

  /** A run has news. */
  receive(news) {
    const runs = this.state.get("runs") ?? [];
    const known = runs.findIndex((run) => run.id === news.id);
    if (news.deleted) this.state.set({ runs: runs.filter((run) => run.id !== news.id) });
    else if (known < 0) this.state.set({ runs: [...runs, news] });
    else this.state.set({ runs: runs.with(known, { ...runs[known], ...news }) });
    const before = runs[known];
    if (news.predicted && before && !before.predicted) {
      this.show(news.id, { shown: true });
      if (this.state.get("suggestions")) this.#rank(news.id);
    }
    if (this.#open === news.id) this.#watch();
  }

  show(id, { shown }) {
    const overlay = this.state.get("overlay");
    const version = (overlay.version ?? 0) + 1;
    this.state.set({ overlay: { ...overlay, run: id, other: overlay.other === id ? null : overlay.other, what: overlay.what === "difference" ? "classes" : overlay.what, shown, version } });
  }

  #buildForm(methods) {
    this.#methods = methods;
    const names = Object.keys(methods).sort((one, other) => (other === "auto") - (one === "auto"));
    const select = h("select", { name: "method", "aria-label": "Method" }, names.map((name) => h("option", { value: name }, name === "auto" ? "auto: chooses for you" : name)));
    select.value = PREFERRED.find((name) => name in methods) ?? names[0];
    const settings = h("div", { class: "settings" });
    const more = h("details", {}, h("summary", {}, "Settings"), settings);
    const adapt = () => {
      const form = settingsForm(methods[select.value].settings);
      select.title = methods[select.value].summary ?? "";
      more.hidden = !form;
      fill(settings, form ?? []);
    };
    select.addEventListener("change", adapt);
    adapt();
    const minutes = h("input", { type: "number", name: "minutes", min: 0.1, max: 10000, step: "any", value: "2", "aria-label": "Minutes" });
    fill(this.form,
      h("div", { class: "train-row" }, select, h("label", { class: "minutes" }, minutes, " min"), h("button", { type: "submit", class: "primary" }, "Train")),
      more);
  }

  async #start(event) {
    event.preventDefault();
    const wish = { method: this.form.elements.method.value, minutes: Number(this.form.elements.minutes.value), settings: {} };
    for (const field of this.form.querySelectorAll("[data-setting]")) {
      const value = field.type === "checkbox" ? field.checked : field.value === "" ? null : field.type === "number" ? Number(field.value) : field.value;
      if (value !== null && String(value) !== field.dataset.default) wish.settings[field.dataset.setting] = value;
    }
    await this.#begin(wish);
  }

  /** Start training with every stroke drawn so far; once, however often the button is pressed. */
  async #begin(wish) {
    if (this.beginning) return;
    this.beginning = true;
    await this.saved();
    await this.#act(() => api.startRun(wish));
    this.list.firstChild?.scrollIntoView({ block: "nearest" }); // how it goes must not lie below the window
    this.beginning = false;
  }

  async #act(work) {
    try {
      const run = await work();
      if (run?.id) this.receive(run);
      await this.load();
    } catch (error) {
      this.tell(error);
    }
  }

  #draw() {
    const runs = [...(this.state.get("runs") ?? [])].reverse();
    fill(this.list, runs.map((run) => this.#card(run)));
  }

  #card(run) {
    const overlay = this.state.get("overlay");
    const ready = run.predicted;
    const share = run.steps ? Math.min((run.step ?? 0) / run.steps, 1) : 0;
    const bar = h("div", { class: "bar", role: "progressbar", "aria-label": `Progress of ${run.id}`, "aria-valuenow": Math.round(share * 100) }, h("div"));
    bar.firstChild.style.width = `${share * 100}%`;
    const left = Number.isFinite(run.seconds_left) ? `${clockText(run.seconds_left)} left` : STAGES[run.stage] ?? STATES[run.state] ?? run.state;
    const isOpen = this.#open === run.id;
    const chip = (label, click, rest = {}) => h("button", { type: "button", class: "chip", onclick: click, "data-focus": `${label} ${run.id}`, ...rest }, label);
    return h("div", { class: `run ${run.state}` },
      h("div", { class: "run-head" },
        h("button", { type: "button", class: "link name", "aria-expanded": isOpen, "data-focus": run.id, onclick: () => this.#toggle(run.id) }, run.id),
        h("span", { class: "quiet" }, left),
        run.state === "running" ? iconButton("stop", `Stop ${run.id}`, null, () => this.#act(() => api.stopRun(run.id))) : null,
        run.state === "stopped" ? iconButton("play", `Resume ${run.id}`, null, () => this.#act(() => api.resumeRun(run.id))) : null,
        run.state !== "running" ? iconButton("trash", `Delete ${run.id}`, null, () => this.#delete(run.id)) : null),
      run.state === "running" || run.state === "stopped" ? bar : null,
      run.error ? h("p", { class: "problem" }, run.error) : null,
      ready ? h("div", { class: "chips" },
        chip("Show", () => this.show(run.id, { shown: !(overlay.run === run.id && overlay.shown) }), { "aria-pressed": overlay.run === run.id && overlay.shown }),
        overlay.run && overlay.run !== run.id ? chip("Compare", () => this.#compare(run.id), { "aria-pressed": overlay.other === run.id }) : null,
        run.state !== "running" ? chip("Train on", () => this.#continue(run)) : null,
        chip("Suggest", () => this.#suggest(run.id), { "aria-pressed": this.state.get("suggestions")?.run === run.id })) : null,
      run.state === "done" && !ready ? h("div", { class: "chips" }, chip("Predict", () => this.#act(() => api.resumeRun(run.id)))) : null,
      isOpen ? h("p", { class: "quiet" }, aboutOf(run)) : null,
      isOpen ? this.#charts(run) : null);
  }

  #charts(run) {
    const { losses, validation } = { ...run, ...this.#details.get(run.id) };
    const series = Array.isArray(losses) ? [["loss", losses]] : Object.entries(losses ?? {});
    const charts = series.map((one) => chart("Loss", [one])).filter(Boolean);
    const held = chart("Validation", [["marks held out", validation ?? []]]);
    const more = charts.slice(MOST_CHARTS);
    return h("div", { class: "charts" }, charts.length ? charts.slice(0, MOST_CHARTS) : h("p", { class: "quiet" }, "No values yet."), held,
      more.length ? h("details", { open: this.more, ontoggle: (event) => (this.more = event.target.open) }, h("summary", {}, `${more.length} more losses`), more) : null);
  }

  #toggle(id) {
    this.#open = this.#open === id ? null : id;
    this.#draw();
    if (this.#open) this.#watch();
  }

  /** Charts of the open run, again while it runs. */
  async #watch() {
    clearTimeout(this.watching);
    const id = this.#open;
    if (!id) return;
    const detail = await api.run(id).catch(() => null);
    if (id !== this.#open || !detail) return;
    this.#details.set(id, detail);
    this.#draw();
    if (detail.state === "running") this.watching = setTimeout(() => this.#watch(), LIVE_MS);
  }

  #compare(id) {
    const overlay = this.state.get("overlay");
    const chosen = overlay.other !== id;
    this.state.set({ overlay: { ...overlay, other: chosen ? id : null, what: chosen ? "difference" : "classes", shown: true } });
    const { run } = this.state.get("suggestions") ?? {};
    if (run) this.#rank(run);
  }

  #continue(run) {
    const minutes = Number(this.form.elements.minutes.value);
    return this.#begin({ method: run.method ?? "auto", settings: run.settings ?? {}, minutes, init: run.id });
  }

  #suggest(id) {
    if (this.state.get("suggestions")?.run !== id) return this.#rank(id);
    return this.state.set({ suggestions: null, filter: "all" });
  }

  /** Where to click next by one run, or by the two that are compared. */
  async #rank(id) {
    const { run, other } = this.state.get("overlay");
    const pair = other ? [run, other] : [];
    try {
      const found = await api.suggestions(id, pair.includes(id) ? pair.find((one) => one !== id) : null);
      const scores = new Map(found.cases.map((one) => [one.id, one.score]));
      this.state.set({ suggestions: { ...found, run: id, scores }, filter: "suggested" });
    } catch (error) {
      this.tell(error);
    }
  }

  async #delete(id) {
    if (!confirm(`Delete the run ${id} with its weights and predictions?`)) return;
    const overlay = this.state.get("overlay");
    if (overlay.run === id) this.state.set({ overlay: { ...overlay, run: null, shown: false } });
    if (overlay.other === id) this.state.set({ overlay: { ...this.state.get("overlay"), other: null, what: "classes" } });
    await this.#act(async () => {
      await api.deleteRun(id);
      this.receive({ id, deleted: true });
    });
  }
}

const aboutOf = (run) => [run.method, run.init && `goes on from ${run.init}`].filter(Boolean).join(", ");
