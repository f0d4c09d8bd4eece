/** Marks that came as pixels, not as strokes: the server's tiles of them, drawn under the strokes. */

import { TILE, lastLevel } from "./plane.js";

export class BaseTiles {
  /** @param {object} cache of decoded tiles @param {(box: object) => void} arrived a box in pixel corners to draw again */
  constructor(cache, arrived) {
    this.cache = cache;
    this.arrived = arrived;
    this.url = null;
  }

  /** @param {object} plane @param {((level, x, y) => string) | null} url null: there is no base */
  open(plane, url) {
    this.plane = plane;
    this.url = url;
  }

  /** Draw what lies in the box. Without a context: only say whether there is anything to draw. */
  draw(context, box, scale = 1) {
    if (!this.url) return false;
    if (!context) return true;
    const level = Math.min(Math.max(Math.floor(-Math.log2(scale)), 0), lastLevel(this.plane));
    const full = TILE * 2 ** level;
    const last = { x: Math.ceil(this.plane.width / full) - 1, y: Math.ceil(this.plane.height / full) - 1 };
    context.imageSmoothingEnabled = false;
    for (let y = Math.max(Math.floor(box.top / full), 0); y <= Math.min(Math.floor(box.bottom / full), last.y); y += 1) {
      for (let x = Math.max(Math.floor(box.left / full), 0); x <= Math.min(Math.floor(box.right / full), last.x); x += 1) {
        this.#place(context, level, x, y, full);
      }
    }
    return true;
  }

  #place(context, level, x, y, full) {
    const url = this.url(level, x, y);
    const bitmap = this.cache.ready(url);
    const where = {
      left: x * full,
      top: y * full,
      right: Math.min((x + 1) * full, this.plane.width),
      bottom: Math.min((y + 1) * full, this.plane.height),
    };
    if (bitmap) {
      context.drawImage(bitmap, where.left, where.top, where.right - where.left, where.bottom - where.top);
      return;
    }
    const asked = this.url;
    this.cache.load(url).then(
      () => this.url === asked && this.arrived(where),
      () => {},
    );
  }
}
