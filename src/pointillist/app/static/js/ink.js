/**
 * The strokes over the image. They are drawn into tiles as large as the screen shows them; panning only moves tiles, new
 * ones are made at the edges, and a new zoom shows the old tiles until the new ones are there.
 */

import { cover } from "./raster.js";
import { sprite } from "./symbols.js";

const SIDE = 256; // device pixels
const BUDGET_MS = 7; // per frame, so that panning stays smooth
const MARGIN = 1; // tiles kept ready around the view
const THINNEST = 2; // device pixels of a line seen from afar
const MOST_TILES = 400;

export class Ink {
  #tiles = new Map();
  #old = null; // the tiles of the zoom before, until the new ones are complete
  #linear = null;
  #pool = [];

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{affine: () => object, marks: () => object[], size: () => number[], colour: (n: number) => string,
   *   base: (context, box, scale) => boolean, ratio: () => number, under: (context, ratio) => void, more: () => void}} source
   *   `under` draws what lies below the strokes; `more` asks for another frame
   */
  constructor(canvas, source) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.source = source;
    this.opacity = 0.85;
    this.symbols = true;
  }

  /** Forget what is drawn: another slice, other colours. */
  reset() {
    this.#recycle(this.#tiles);
    this.#tiles = new Map();
    if (this.#old) this.#recycle(this.#old.tiles);
    this.#old = null;
    this.source.more();
  }

  /** Draw again where something changed: a box in pixel corners, or everything shown, keeping the old until then. */
  touch(box) {
    if (!this.#linear) return;
    const reach = 12 * this.source.ratio();
    const corners = [[box.left, box.top], [box.right, box.top], [box.left, box.bottom], [box.right, box.bottom]].map(
      ([x, y]) => project(this.#linear, x, y),
    );
    const within = (axis, pick) => Math.floor((pick(...corners.map((corner) => corner[axis])) + (pick === Math.min ? -reach : reach)) / SIDE);
    const [left, right] = [within(0, Math.min), within(0, Math.max)];
    const [top, bottom] = [within(1, Math.min), within(1, Math.max)];
    for (const tile of this.#tiles.values()) {
      if (tile.i >= left && tile.i <= right && tile.j >= top && tile.j <= bottom) tile.stale = true;
    }
    this.source.more();
  }

  touchAll() {
    for (const tile of this.#tiles.values()) tile.stale = true;
    this.source.more();
  }

  /** Put the tiles of the view on the canvas. Returns false if some are still to be made. */
  draw() {
    const { canvas, context } = this;
    const ratio = this.source.ratio();
    const view = this.source.affine();
    this.#follow(view, ratio);
    const [shiftX, shiftY] = [Math.round(view.e * ratio), Math.round(view.f * ratio)];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.source.under(context, ratio);
    context.globalAlpha = this.opacity;
    const complete = this.#make(shiftX, shiftY);
    if (this.#old && !complete) this.#drawOld(view, ratio);
    else {
      if (this.#old) this.#recycle(this.#old.tiles);
      this.#old = null;
    }
    for (const tile of this.#tiles.values()) {
      const [x, y] = [tile.i * SIDE + shiftX, tile.j * SIDE + shiftY];
      if (tile.ink && x < canvas.width && y < canvas.height && x > -SIDE && y > -SIDE) context.drawImage(tile.canvas, x, y);
    }
    context.globalAlpha = 1;
    return complete;
  }

  /** A new zoom or turn begins new tiles. */
  #follow(view, ratio) {
    const linear = { a: view.a * ratio, b: view.b * ratio, c: view.c * ratio, d: view.d * ratio };
    if (this.#linear && sameLinear(linear, this.#linear)) return;
    const complete = this.#linear && this.#tiles.size && [...this.#tiles.values()].some((tile) => tile.ink);
    if (complete && !this.#old) this.#old = { linear: this.#linear, tiles: this.#tiles };
    else this.#recycle(this.#tiles);
    this.#tiles = new Map();
    this.#linear = linear;
  }

  /** Make missing and stale tiles, those in sight first, as long as the frame's time lasts. */
  #make(shiftX, shiftY) {
    const range = (shift, length) => [Math.floor(-shift / SIDE) - MARGIN, Math.floor((length - 1 - shift) / SIDE) + MARGIN];
    const [left, right] = range(shiftX, this.canvas.width);
    const [top, bottom] = range(shiftY, this.canvas.height);
    const wanted = [];
    for (let j = top; j <= bottom; j += 1) {
      for (let i = left; i <= right; i += 1) {
        const tile = this.#tiles.get(`${i},${j}`);
        if (tile && !tile.stale) continue;
        const edge = i === left || i === right || j === top || j === bottom;
        wanted.push({ i, j, tile, edge });
      }
    }
    wanted.sort((one, other) => one.edge - other.edge);
    const end = performance.now() + BUDGET_MS;
    let missing = false;
    for (const { i, j, tile, edge } of wanted) {
      if (performance.now() > end) {
        missing ||= !edge;
        this.source.more();
        break;
      }
      this.#render(tile ?? this.#newTile(i, j));
    }
    if (this.#tiles.size > MOST_TILES) this.#forgetFar(left, right, top, bottom);
    return !missing;
  }

  #newTile(i, j) {
    const tile = { i, j, canvas: null, stale: true, ink: false };
    this.#tiles.set(`${i},${j}`, tile);
    return tile;
  }

  #render(tile) {
    const { a, b, c, d } = this.#linear;
    const [x, y] = [tile.i * SIDE, tile.j * SIDE];
    const reach = 12 * this.source.ratio();
    const box = unproject(this.#linear, x - reach, y - reach, x + SIDE + reach, y + SIDE + reach);
    const marks = this.source.marks().filter((mark) => !mark.removed && overlaps(mark, box));
    tile.stale = false;
    const hasBase = this.source.base(null, box);
    tile.ink = marks.length > 0 || hasBase;
    if (!tile.ink) return;
    tile.canvas ??= this.#pool.pop() ?? newCanvas();
    const context = tile.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, SIDE, SIDE);
    context.setTransform(a, b, c, d, -x, -y);
    if (hasBase) this.source.base(context, box, Math.hypot(a, b));
    const scale = Math.min(Math.hypot(a, b), Math.hypot(c, d));
    paintMarks(context, marks, scale, this.source);
    if (this.symbols) this.#paintSymbols(context, marks, x, y);
  }

  #paintSymbols(context, marks, x, y) {
    const ratio = this.source.ratio();
    const taken = new Set();
    context.setTransform(1, 0, 0, 1, 0, 0);
    for (const mark of marks) {
      if (mark.class === null) continue;
      const [row, column] = mark.points[0];
      const [px, py] = project(this.#linear, column + 0.5, row + 0.5);
      // a crowd shows one symbol a class and place, at the same places whichever tile is drawn
      const place = `${mark.class} ${Math.round(px / (9 * ratio))} ${Math.round(py / (9 * ratio))}`;
      if (taken.has(place)) continue;
      taken.add(place);
      const image = sprite(mark.class, this.source.colour(mark.class), ratio);
      context.drawImage(image, Math.round(px - x - image.width / 2), Math.round(py - y - image.height / 2));
    }
  }

  #drawOld(view, ratio) {
    const { linear, tiles } = this.#old;
    const { context } = this;
    const determinant = linear.a * linear.d - linear.b * linear.c;
    const [va, vb, vc, vd] = [view.a, view.b, view.c, view.d].map((value) => value * ratio);
    context.save();
    context.setTransform(
      (va * linear.d - vc * linear.b) / determinant,
      (vb * linear.d - vd * linear.b) / determinant,
      (vc * linear.a - va * linear.c) / determinant,
      (vd * linear.a - vb * linear.c) / determinant,
      view.e * ratio,
      view.f * ratio,
    );
    for (const tile of tiles.values()) if (tile.ink) context.drawImage(tile.canvas, tile.i * SIDE, tile.j * SIDE);
    context.restore();
  }

  #recycle(tiles) {
    for (const tile of tiles.values()) if (tile.canvas && this.#pool.length < 60) this.#pool.push(tile.canvas);
  }

  #forgetFar(left, right, top, bottom) {
    for (const [key, tile] of this.#tiles) {
      if (tile.i >= left && tile.i <= right && tile.j >= top && tile.j <= bottom) continue;
      if (tile.canvas && this.#pool.length < 60) this.#pool.push(tile.canvas);
      this.#tiles.delete(key);
    }
  }
}

/** Marks in drawing order, in pixel corners; neighbours in the order that look the same are filled at once. */
function paintMarks(context, marks, scale, source) {
  context.lineCap = context.lineJoin = "round";
  let open = null;
  const flush = () => {
    if (!open) return;
    context.globalCompositeOperation = open.class === null ? "destination-out" : "source-over";
    const style = open.class === null ? "#000" : source.colour(open.class);
    if (open.width) {
      context.strokeStyle = style;
      context.lineWidth = open.width;
      context.stroke(open.path);
    } else {
      context.fillStyle = style;
      context.fill(open.path);
    }
    open = null;
  };
  for (const mark of marks) {
    const width = mark.width * scale < THINNEST || scale < 1 ? Math.max(mark.width, THINNEST / scale) : 0;
    if (!open || open.class !== mark.class || open.width !== width) {
      flush();
      open = { class: mark.class, width, path: new Path2D() };
    }
    open.path.addPath(width ? lineOf(mark) : pathOf(mark, source.size()));
  }
  flush();
  context.globalCompositeOperation = "source-over";
}

/** The very pixels of a mark as a path. */
export function pathOf(mark, size) {
  if (mark.path) return mark.path;
  const path = new Path2D();
  cover(mark.points, mark.width, size).forEach((row, first, last) => path.rect(first, row, last - first + 1, 1));
  mark.path = path;
  return path;
}

/** Its middle line, for a view from afar. */
function lineOf(mark) {
  if (mark.line) return mark.line;
  const path = new Path2D();
  mark.points.forEach(([row, column], i) => path[i ? "lineTo" : "moveTo"](column + 0.5, row + 0.5));
  if (mark.points.length === 1) path.lineTo(mark.points[0][1] + 0.5, mark.points[0][0] + 0.5);
  mark.line = path;
  return path;
}

function newCanvas() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  return canvas;
}

const project = ({ a, b, c, d }, x, y) => [a * x + c * y, b * x + d * y];

function unproject({ a, b, c, d }, left, top, right, bottom) {
  const determinant = a * d - b * c;
  const corners = [[left, top], [right, top], [left, bottom], [right, bottom]];
  const xs = corners.map(([x, y]) => (d * x - c * y) / determinant);
  const ys = corners.map(([x, y]) => (a * y - b * x) / determinant);
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

function overlaps(mark, box) {
  return mark.left <= box.right && mark.right >= box.left && mark.top <= box.bottom && mark.bottom >= box.top;
}

/** Equal but for rounding, so that panning does not begin new tiles. */
function sameLinear(one, other) {
  const size = Math.abs(one.a) + Math.abs(one.b);
  return ["a", "b", "c", "d"].every((name) => Math.abs(one[name] - other[name]) < size * 1e-7);
}
