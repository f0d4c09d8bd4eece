/** What a press, a drag and a release do with each tool. */

import { Coverage, coverSegment } from "./raster.js";

const MOST_VERTICES = 5000; // a stroke that becomes longer is cut into two
const SHORTEST_STEP = 0.35; // image pixels between two vertices of a scribble
export const TOOLS = [
  { name: "point", key: "P", label: "Point", hint: "Click on what belongs to the class." },
  { name: "scribble", key: "S", label: "Scribble", hint: "Draw a line through it; no need to outline." },
  { name: "pair", key: "I", label: "In/out pair", hint: "Click inside, then outside." },
  { name: "eraser", key: "E", label: "Eraser", hint: "Wipe marks away." },
  { name: "pan", key: "H", label: "Move", hint: "Drag the image." },
  { name: "window", key: "W", label: "Contrast", hint: "Drag sideways for contrast, up and down for brightness." },
];
const WITH_WIDTH = ["point", "scribble", "pair", "eraser"];

export class Tools {
  live = null; // the stroke being drawn, and just drawn until the ink has it

  constructor(state, viewer, editor, { window: contrast }) {
    Object.assign(this, { state, viewer, editor, contrast });
  }

  get width() {
    return this.state.get("widths")[this.state.get("tool")] ?? null;
  }

  setWidth(width) {
    const tool = this.state.get("tool");
    if (!WITH_WIDTH.includes(tool)) return;
    const least = Math.max(Math.min(Math.round(width), 99), 1);
    this.state.set({ widths: { ...this.state.get("widths"), [tool]: least } });
  }

  /** The class that the next mark gets: null erases. */
  nextClass(erases = false) {
    const tool = this.state.get("tool");
    const chosen = this.state.get("class");
    if (erases || tool === "eraser") return null;
    if (tool === "pair") return this.state.get("pairOut") ? 0 : chosen || 1;
    return chosen;
  }

  begin(place, { eraser = false } = {}) {
    const tool = this.state.get("tool");
    if (tool === "window") {
      this.contrast.begin(place);
      return;
    }
    if (!this.editor.marks || !this.viewer.holds(place)) return;
    const single = (tool === "point" || tool === "pair") && !eraser;
    const width = eraser ? this.state.get("widths").eraser : this.width;
    const cls = this.nextClass(eraser);
    this.live = { class: cls, width, points: [], path: new Path2D(), single, ended: false };
    this.#extend(place);
  }

  move(places) {
    if (this.state.get("tool") === "window") {
      this.contrast.drag(places.at(-1));
      return;
    }
    if (!this.live || this.live.ended) return;
    for (const place of places) {
      if (this.live.points.length >= MOST_VERTICES) this.#cut();
      this.#extend(place);
    }
    this.viewer.redraw();
  }

  end() {
    if (this.state.get("tool") === "window") this.contrast.end();
    const { live } = this;
    if (!live || live.ended) return;
    live.ended = true;
    this.editor.draw([{ class: live.class, points: live.points, width: live.width }]);
    if (this.state.get("tool") === "pair" && live.class !== null) this.state.set({ pairOut: !this.state.get("pairOut") });
  }

  cancel() {
    this.live = null;
    this.contrast.end();
    this.viewer.redraw();
  }

  /** The ink has taken over what was just drawn. */
  settle() {
    if (this.live?.ended) this.live = null;
  }

  #extend(place) {
    const { live } = this;
    const size = this.editor.marks.size;
    const point = [within(place.row, size[0]), within(place.column, size[1])];
    const last = live.points.at(-1);
    if (live.single || !last) {
      live.points = [point];
      live.path = new Path2D();
      this.#cover(point, point, size);
    } else if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= Math.max(SHORTEST_STEP, 1.2 / this.viewer.scale())) {
      live.points.push(point);
      this.#cover(last, point, size);
    }
    this.viewer.redraw();
  }

  #cut() {
    const { live } = this;
    this.editor.draw([{ class: live.class, points: live.points, width: live.width }]);
    this.live = { ...live, points: [live.points.at(-1)] };
  }

  #cover(from, to, size) {
    const coverage = new Coverage(size);
    coverSegment(coverage, from, to, this.live.width, size);
    coverage.forEach((row, first, last) => this.live.path.rect(first, row, last - first + 1, 1));
  }
}

const within = (value, length) => Math.min(Math.max(value, -0.5), length - 0.5);
