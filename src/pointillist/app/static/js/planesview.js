/** The two other planes of a volume through the place under the cursor: to look, not to mark. */

import { api } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { TILE, lastLevel, lettersOf, planeOf } from "./plane.js";

const NAMES = ["Sagittal", "Coronal", "Axial"];
const LONGEST = 1024; // pixels asked for along a plane's longer side
const SIDE = 230; // of a picture on the screen, CSS pixels

export class PlanesView {
  #views = [];

  /** @param {object} cache of tiles @param {(slice: number) => void} go */
  constructor(state, cache, go) {
    Object.assign(this, { state, cache, go });
    this.element = byId("planes");
    state.on(["plane", "planesShown"], () => this.#build());
    state.on(["slice", "window", "channel", "caseId"], () => this.#load());
  }

  /** The cursor is at a place of the marked plane. */
  follow({ row, column }) {
    const plane = this.state.get("plane");
    this.at = { row: clamp(row, plane.height), column: clamp(column, plane.width) };
    if (!this.element.hidden) this.#load();
  }

  #build() {
    const plane = this.state.get("plane");
    this.element.hidden = !plane || plane.slices < 2 || !this.state.get("planesShown");
    this.at = plane ? { row: Math.floor(plane.height / 2), column: Math.floor(plane.width / 2) } : null;
    if (this.element.hidden) return;
    const meta = this.state.get("meta");
    this.#views = [0, 1, 2].filter((axis) => axis !== plane.axis).map((axis) => this.#newView(meta, axis));
    fill(this.element, this.#views.map((view) => view.figure));
    this.#load();
  }

  #newView(meta, axis) {
    const plane = planeOf(meta, axis);
    // turned: what counts rows runs across, what counts columns runs up
    const [across, up] = [plane.height * plane.aspect, plane.width];
    const zoom = SIDE / Math.max(across, up);
    const canvas = h("canvas", { width: Math.round(across * zoom * devicePixelRatio), height: Math.round(up * zoom * devicePixelRatio), onclick: (event) => this.#click(view, event) });
    canvas.style.width = `${across * zoom}px`;
    canvas.style.height = `${up * zoom}px`;
    const [left, , top] = lettersOf(axis);
    const figure = h("figure", {}, canvas, h("figcaption", {}, `${NAMES[axis]} `, h("span", { class: "quiet" }, `${left} ← · ${top} ↑`)));
    const view = { axis, plane, canvas, figure, level: 0, wanted: null };
    while (Math.max(plane.width, plane.height) / 2 ** view.level > LONGEST && view.level < lastLevel(plane)) view.level += 1;
    return view;
  }

  /** The voxel under the cursor by axis of the volume. */
  #voxel() {
    const axis = this.state.get("plane").axis;
    const [rows, columns] = [0, 1, 2].filter((one) => one !== axis);
    const voxel = [0, 0, 0];
    [voxel[axis], voxel[rows], voxel[columns]] = [this.state.get("slice"), this.at.row, this.at.column];
    return voxel;
  }

  #load() {
    if (this.element.hidden || !this.at || this.loading) return;
    this.loading = requestAnimationFrame(() => {
      this.loading = null;
      for (const view of this.#views) this.#fetch(view);
    });
  }

  async #fetch(view) {
    const window = this.state.get("window");
    const id = this.state.get("caseId");
    const index = this.#voxel()[view.axis];
    const key = JSON.stringify([id, index, window?.lo, window?.hi, this.state.get("channel")]);
    view.wanted = key;
    if (view.have === key) return this.#draw(view);
    if (view.busy) return undefined;
    view.busy = true;
    const full = TILE * 2 ** view.level;
    const jobs = [];
    for (let y = 0; y * full < view.plane.height; y += 1) {
      for (let x = 0; x * full < view.plane.width; x += 1) {
        const query = { lo: window.lo, hi: window.hi, channel: this.state.get("channel") };
        jobs.push(this.cache.load(api.tile(id, view.axis, index, view.level, x, y, query)).then((bitmap) => ({ x, y, bitmap })));
      }
    }
    view.tiles = await Promise.all(jobs).catch(() => null);
    view.busy = false;
    view.have = key;
    this.#draw(view);
    return view.wanted === key ? undefined : this.#fetch(view);
  }

  #draw({ axis, plane, canvas, tiles, level }) {
    if (!tiles) return;
    const context = canvas.getContext("2d");
    const [across, up] = [canvas.width / plane.height, canvas.height / plane.width];
    // (row, column) → (x, y) = (height − row, width − column)
    context.setTransform(0, -up, -across, 0, canvas.width, canvas.height);
    const full = TILE * 2 ** level;
    for (const { x, y, bitmap } of tiles) {
      const [right, bottom] = [Math.min((x + 1) * full, plane.width), Math.min((y + 1) * full, plane.height)];
      context.drawImage(bitmap, x * full, y * full, right - x * full, bottom - y * full);
    }
    const voxel = this.#voxel();
    const [rows, columns] = [0, 1, 2].filter((one) => one !== axis);
    const [px, py] = [canvas.width - (voxel[rows] + 0.5) * across, canvas.height - (voxel[columns] + 0.5) * up];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.strokeStyle = "rgba(86, 180, 233, 0.9)";
    context.lineWidth = devicePixelRatio;
    context.beginPath();
    context.moveTo(px, 0);
    context.lineTo(px, canvas.height);
    context.moveTo(0, py);
    context.lineTo(canvas.width, py);
    context.stroke();
  }

  #click({ axis, plane, canvas }, event) {
    const box = canvas.getBoundingClientRect();
    const place = [
      clamp((1 - (event.clientX - box.left) / box.width) * plane.height - 0.5, plane.height),
      clamp((1 - (event.clientY - box.top) / box.height) * plane.width - 0.5, plane.width),
    ];
    const voxel = this.#voxel();
    [0, 1, 2].filter((one) => one !== axis).forEach((one, i) => (voxel[one] = place[i]));
    const marked = this.state.get("plane").axis;
    const [rows, columns] = [0, 1, 2].filter((one) => one !== marked);
    this.at = { row: voxel[rows], column: voxel[columns] };
    this.go(voxel[marked]);
    this.#load();
  }
}

const clamp = (value, length) => Math.min(Math.max(Math.round(value), 0), length - 1);
