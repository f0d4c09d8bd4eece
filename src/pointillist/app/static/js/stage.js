/** The middle of the page: which plane is shown, with which layers, ink and brush over it. */

import { api } from "./api.js";
import { BaseTiles } from "./base.js";
import { byId, say } from "./dom.js";
import { Front } from "./front.js";
import { Ink } from "./ink.js";
import { classesOf } from "./palette.js";
import { lastLevel, lettersOf } from "./plane.js";
import { Tools } from "./tools.js";
import { Viewer } from "./viewer.js";
import { filterOf } from "./window.js";

const AHEAD = 3; // slices fetched before they are asked for

export class Stage {
  #slices = new Map(); // case → the slice last looked at

  constructor(state, editor, contrast) {
    Object.assign(this, { state, editor, contrast });
    this.canvas = byId("ink");
    const ratio = () => devicePixelRatio || 1;
    const colour = (index) => classesOf(state)[index]?.colour ?? "#999999";
    this.viewer = new Viewer(byId("osd"), () => this.#draw());
    this.base = new BaseTiles(this.viewer.cache, (box) => this.ink.touch(box));
    this.ink = new Ink(this.canvas, {
      affine: () => this.viewer.affine(),
      marks: () => this.editor.marks?.in(state.get("slice")) ?? [],
      size: () => this.editor.marks.size,
      base: (context, box, scale) => this.base.draw(context, box, scale),
      under: (context, scale) => this.viewer.drawStandIn(context, scale),
      more: () => this.viewer.redraw(),
      colour,
      ratio,
    });
    this.tools = new Tools(state, this.viewer, editor, { window: contrast });
    this.front = new Front(this.ink.context, { state, viewer: this.viewer, tools: this.tools, colour, ratio });
    new ResizeObserver(() => this.#resize()).observe(byId("viewer"));
    this.#resize();
    state.on(["window", "channel"], () => this.#show({ keepView: true }), { now: false });
    state.on(["overlay", "overlayOpacity"], () => this.#showOverlay(), { now: false });
    state.on(["dataset"], () => this.ink.reset(), { now: false });
    state.on(["tool", "widths", "class"], () => this.viewer.redraw(), { now: false });
    state.on(["marksOpacity"], () => {
      this.ink.opacity = state.get("marksOpacity");
      this.viewer.redraw();
    });
    state.on(["tool"], () => (byId("viewer").dataset.tool = state.get("tool")));
    state.on(["plane"], () => this.#letters());
  }

  /** Show the case that the editor has opened. */
  open(slice) {
    const { state } = this;
    const plane = state.get("plane");
    const id = state.get("caseId");
    const marked = this.editor.marks.slices().sort((a, b) => a - b);
    const first = slice ?? this.#slices.get(id) ?? marked[Math.floor(marked.length / 2)] ?? Math.floor(plane.slices / 2);
    this.note("");
    this.front.hover = null;
    this.tools.live = null;
    state.set({ slice: within(first, plane.slices) });
    this.contrast.open(state.get("meta"));
    this.#show({ keepView: false });
    this.inkChanged(new Set());
  }

  goTo(slice) {
    const plane = this.state.get("plane");
    const next = within(slice, plane?.slices ?? 1);
    if (!plane || next === this.state.get("slice")) return;
    const step = Math.sign(next - this.state.get("slice"));
    if (this.tools.live && !this.tools.live.ended) this.tools.cancel();
    this.state.set({ slice: next });
    this.#slices.set(this.state.get("caseId"), next);
    say(`Slice ${next + 1}`);
    this.#show({ keepView: true, step });
  }

  /** Strokes of some slices changed. */
  inkChanged(slices) {
    if (slices.has(this.state.get("slice"))) this.ink.touchAll();
    this.state.set({ inkVersion: this.state.get("inkVersion") + 1 });
  }

  hover(place) {
    this.front.hover = place;
    this.viewer.redraw();
    const inside = place && this.viewer.plane && this.viewer.holds(place);
    const whole = inside ? { row: Math.round(place.row), column: Math.round(place.column) } : null;
    const before = this.state.get("hover");
    if (before?.row === whole?.row && before?.column === whole?.column) return;
    this.state.set({ hover: whole });
    byId("readout").textContent = whole ? `row ${whole.row} · column ${whole.column}` : "";
  }

  /** The coarsest tile of the image, if it is here. */
  overview() {
    const { state } = this;
    return this.viewer.cache.ready(this.#imageUrl(state.get("slice"))(lastLevel(state.get("plane")), 0, 0));
  }

  /** A word in the place of the image, until one is open. */
  note(text) {
    const element = byId("note");
    [element.textContent, element.hidden] = [text, !text];
  }

  #imageUrl(slice) {
    const { state } = this;
    const window = state.get("window");
    const query = state.get("meta").colour ? {} : { lo: window.lo, hi: window.hi, channel: state.get("channel") };
    const axis = state.get("plane").axis;
    const id = state.get("caseId");
    return (level, x, y) => api.tile(id, axis, slice, level, x, y, query);
  }

  /** The image of the slice; its ink and layers change in the same frame as the image does. */
  async #show({ keepView, step = 1 }) {
    const { state, viewer } = this;
    const plane = state.get("plane");
    if (!plane) return;
    const slice = state.get("slice");
    const window = state.get("window");
    const id = state.get("caseId");
    const key = [id, slice, window?.lo, window?.hi, state.get("channel")].join(" ");
    performance.mark("slice asked");
    if (keepView === false) this.#showInk();
    const shown = viewer.show(plane, key, this.#imageUrl(slice), { keepView, filter: filterOf(state.get("meta"), window) });
    const wasReady = Boolean(viewer.standIn);
    if (keepView) this.#showInk();
    this.#showOverlay();
    if (!(await shown)) return;
    if (!wasReady) performance.mark("slice shown");
    this.#fetchAhead(slice, step);
  }

  #showInk() {
    const { state } = this;
    const slice = state.get("slice");
    const inkKey = `${state.get("caseId")} ${slice}`;
    if (inkKey === this.inkKey) return;
    this.inkKey = inkKey;
    const meta = state.get("meta");
    const plane = state.get("plane");
    this.base.open(plane, meta.base ? (level, x, y) => api.baseTile(state.get("caseId"), plane.axis, slice, level, x, y, meta.base_revision ?? 0) : null);
    this.ink.reset();
  }

  #showOverlay() {
    const { state, viewer } = this;
    const overlay = state.get("overlay");
    const plane = state.get("plane");
    if (!plane || !viewer.plane) return;
    const id = state.get("caseId");
    const slice = state.get("slice");
    const query = { what: overlay.what, v: overlay.version, ...(overlay.other ? { other: overlay.other } : {}) };
    const url = overlay.run && overlay.shown
      ? (level, x, y) => api.overlayTile(overlay.run, id, plane.axis, slice, level, x, y, query)
      : null;
    viewer.layer("overlay", [overlay.run, id, slice, JSON.stringify(query)].join(" "), url, state.get("overlayOpacity"));
  }

  /** Neighbouring slices, the ones ahead first, if a slice is a single tile. */
  #fetchAhead(slice, step) {
    const plane = this.state.get("plane");
    if (plane.slices < 2 || Math.max(plane.width, plane.height) > 1024) return;
    const order = [];
    for (let i = 1; i <= AHEAD; i += 1) order.push(slice + i * (step || 1));
    order.push(slice - (step || 1));
    for (const next of order) {
      if (next < 0 || next >= plane.slices) continue;
      const url = this.#imageUrl(next);
      for (let y = 0; y * 512 < plane.height; y += 1) {
        for (let x = 0; x * 512 < plane.width; x += 1) this.viewer.cache.load(url(0, x, y)).catch(() => {});
      }
    }
  }

  #draw() {
    if (!this.editor.marks) return;
    if (this.viewer.standIn) performance.mark("slice shown");
    if (this.ink.draw()) this.tools.settle();
    this.front.draw();
    this.#readZoom();
  }

  #readZoom() {
    const percent = Math.round(this.viewer.scale() * 100);
    if (percent === this.percent) return;
    this.percent = percent;
    byId("zoom-level").textContent = `${percent} %`;
  }

  #resize() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = byId("viewer");
    this.canvas.width = Math.max(Math.round(clientWidth * ratio), 1);
    this.canvas.height = Math.max(Math.round(clientHeight * ratio), 1);
    this.viewer.redraw();
  }

  #letters() {
    const plane = this.state.get("plane");
    const element = byId("letters");
    const names = plane?.turned ? lettersOf(plane.axis) : [];
    element.replaceChildren(...names.map((letter, i) => {
      const span = document.createElement("span");
      span.className = ["left", "right", "top", "bottom"][i];
      span.textContent = letter;
      return span;
    }));
  }
}

const within = (value, length) => Math.min(Math.max(value, 0), length - 1);
