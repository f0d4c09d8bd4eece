/** A plane as OpenSeadragon's tile source. Its pixels may be higher than wide, its level 0 is the coarsest. */

import { TILE, lastLevel } from "./plane.js";

const { Point, Rect, TileSource } = window.OpenSeadragon;

export class PlaneSource extends TileSource {
  /**
   * @param {object} plane of plane.js @param {(level, x, y) => string} url level 0 = full size @param {object} cache
   * @param {string} filter for the contrast of colour images, "none" where the server has windowed
   */
  constructor(plane, url, cache, filter = "none") {
    const levels = lastLevel(plane);
    super({
      width: plane.width,
      height: plane.height * plane.aspect,
      tileSize: TILE,
      minLevel: 0,
      maxLevel: levels,
      ready: true,
    });
    Object.assign(this, { plane, url, cache, levels, filter });
  }

  getTileUrl(level, x, y) {
    return this.url(this.levels - level, x, y);
  }

  getTileHashKey(level, x, y, url) {
    return `${url} ${this.filter}`;
  }

  hasTransparency() {
    return true;
  }

  getNumTiles(level) {
    const size = this.#size(level);
    return new Point(Math.ceil(size.x / TILE), Math.ceil(size.y / TILE));
  }

  getTileAtPoint(level, point) {
    const tiles = this.getNumTiles(level);
    const within = (value, count) => Math.min(Math.max(Math.floor(value), 0), count - 1);
    const full = TILE * 2 ** (this.levels - level);
    return new Point(
      within((point.x * this.plane.width) / full, tiles.x),
      within((point.y * this.plane.width) / this.plane.aspect / full, tiles.y),
    );
  }

  getTileBounds(level, x, y, isSource) {
    const size = this.#size(level);
    const width = Math.min(TILE, size.x - x * TILE);
    const height = Math.min(TILE, size.y - y * TILE);
    if (isSource) return new Rect(0, 0, width, height);
    const full = 2 ** (this.levels - level);
    const right = Math.min((x * TILE + width) * full, this.plane.width);
    const bottom = Math.min((y * TILE + height) * full, this.plane.height);
    const [left, top] = [x * TILE * full, y * TILE * full];
    const scale = 1 / this.plane.width;
    return new Rect(left * scale, top * scale * this.plane.aspect, (right - left) * scale, (bottom - top) * scale * this.plane.aspect);
  }

  downloadTileStart(job) {
    const url = job.src;
    const ready = this.cache.ready(url);
    if (ready) {
      job.finish(asContext(ready, this.filter), null, "context2d");
      return;
    }
    this.cache.load(url).then(
      (bitmap) => job.finish(asContext(bitmap, this.filter), null, "context2d"),
      (error) => job.fail(error.message, null),
    );
  }

  downloadTileAbort() {
    // what was asked for comes into the cache, where it may be wanted again
  }

  #size(level) {
    const full = 2 ** (this.levels - level);
    return new Point(Math.ceil(this.plane.width / full), Math.ceil(this.plane.height / full));
  }
}

/** OpenSeadragon empties what it is given, so it gets a copy. */
function asContext(bitmap, filter) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d");
  if (filter !== "none") context.filter = filter;
  context.drawImage(bitmap, 0, 0);
  return context;
}
