/** The open case: loads it, applies what is done to it, and hands that to the outbox. */

import { api } from "./api.js";
import { History } from "./history.js";
import { newId } from "./ids.js";
import { Marks } from "./marks.js";
import { planeOf } from "./plane.js";

const EMPTY = { kind: null };

export class Editor {
  marks = null;
  history = null;
  #loading = null;

  /** @param {object} state @param {object} outbox @param {(slices: Set<number>) => void} changed */
  constructor(state, outbox, changed) {
    this.state = state;
    this.outbox = outbox;
    this.changed = changed;
  }

  get id() {
    return this.state.get("caseId");
  }

  /** Open a case; a second call while one is loading wins. Returns false then. */
  async open(id) {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    let meta;
    try {
      meta = await api.case(id, { signal: loading.signal });
    } catch (error) {
      if (error.name === "AbortError") return false;
      throw error;
    }
    if (this.#loading !== loading) return false;
    const axis = meta.shape.length === 3 ? meta.slice_axis : "-";
    const plane = planeOf(meta, axis);
    this.#load(id, meta, plane);
    const key = `undo ${this.outbox.dataset} ${id}`;
    this.history = new History(key, (ops) => this.submit(ops), () => this.state.set({ history: {} }));
    this.state.set({ caseId: id, meta, plane, done: meta.done, seconds: meta.seconds ?? 0, history: {} });
    return true;
  }

  /** Ask the server again what the case holds: after it was away, or where another tab's operations do not fit. */
  async refresh() {
    if (!this.id) return;
    const id = this.id;
    const meta = await api.case(id);
    if (id !== this.id) return;
    this.#load(id, meta, this.state.get("plane"));
    this.state.set({ meta, done: meta.done });
    this.changed(new Set(this.marks.slices()));
  }

  /** Operations that another tab made, or our own coming back. */
  receive({ case: id, ops }) {
    if (id !== this.id || !this.marks) return;
    if (!this.marks.apply(ops)) this.refresh().catch(() => {});
    this.#follow(ops);
  }

  submit(ops) {
    this.marks.apply(ops);
    this.#follow(ops);
    this.outbox.add(this.id, ops);
  }

  /** @param {{class: number | null, points: number[][], width: number}[]} drawn */
  draw(drawn) {
    const { author } = this.state.get("dataset");
    const slice = this.state.get("meta").shape.length === 3 ? [this.state.get("slice")] : [];
    const strokes = drawn.map((one) => ({
      id: newId("s"),
      class: one.class,
      points: one.points.map(([row, column]) => [round(row), round(column), ...slice]),
      width_px: one.width,
      time: new Date().toISOString(),
      author: author ?? null,
    }));
    this.history.perform({ kind: "draw", strokes });
  }

  setDone(value) {
    if (value !== this.state.get("done")) this.history.perform({ kind: "done", value });
  }

  undo() {
    return this.history?.undo() ?? EMPTY;
  }

  redo() {
    return this.history?.redo() ?? EMPTY;
  }

  spend(seconds) {
    if (this.id) this.submit([{ op: "spent", id: newId("o"), seconds }]);
  }

  #load(id, meta, plane) {
    this.marks = new Marks([plane.height, plane.width], this.changed);
    this.marks.load(meta.strokes);
    const waiting = this.outbox.waiting(id);
    this.marks.apply(waiting);
    this.#follow(waiting);
  }

  #follow(ops) {
    for (const op of ops) if (op.op === "done") this.state.set({ done: op.value });
  }
}

const round = (value) => Math.round(value * 100) / 100;
