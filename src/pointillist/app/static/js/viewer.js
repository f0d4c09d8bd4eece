/**
 * The image: OpenSeadragon shows tiles, pans and zooms; this says where a pixel is on the screen and swaps planes without
 * a flicker. Pixel centres are whole numbers; OpenSeadragon counts from the corner of the first pixel, half a pixel before.
 */

import { lastLevel } from "./plane.js";
import { TileCache } from "./tilecache.js";
import { PlaneSource } from "./tilesource.js";

const { Point, Viewer: SeaDragon } = window.OpenSeadragon;
const CRISP_ABOVE = 8; // screen pixels per image pixel from which pixels are shown as squares
const MARGIN = 60; // around what is well in sight

export class Viewer {
  cache = new TileCache();
  plane = null;
  standIn = null;
  #layers = new Map(); // name → {item, pending, key, opacity}
  #frame = null;
  #whole = true; // the whole image is in view and stays so when the window changes

  /** @param {HTMLElement} element @param {() => void} drawn called in every frame that draws */
  constructor(element, drawn) {
    silenceStyleTag();
    this.element = element;
    this.drawn = drawn;
    this.osd = new SeaDragon({
      element,
      drawer: "canvas",
      mouseNavEnabled: false,
      showNavigationControl: false,
      tabIndex: "",
      animationTime: 0.18,
      springStiffness: 9,
      blendTime: 0,
      immediateRender: false,
      imageLoaderLimit: 6,
      visibilityRatio: 0.3,
      minZoomImageRatio: 0.4,
      maxZoomPixelRatio: 64,
      smoothTileEdgesMinZoom: Infinity,
      imageSmoothingEnabled: true,
      opacity: 1,
      preserveImageSizeOnResize: false,
      maxImageCacheCount: 300,
    });
    this.osd.addHandler("update-viewport", () => this.#afterDraw());
    this.osd.addHandler("resize", () => (this.#whole ? this.home() : this.redraw()));
  }

  /** Show a plane; `keepView` when it has the same shape as the one before. */
  show(plane, key, url, { keepView, filter }) {
    const turned = plane.turned;
    const isNew = !keepView || !this.plane;
    this.plane = plane;
    if (isNew) {
      this.#clear();
      this.#whole = true;
      this.osd.viewport.setRotation(turned ? 270 : 0, true);
      this.osd.viewport.setFlip(turned);
    }
    const shown = this.#put("image", key, url, 1, isNew, filter);
    const ready = !isNew && lastLevel(plane) === 0 && !this.#layers.get("overlay")?.item && this.cache.ready(url(0, 0, 0));
    if (ready) this.#standIn(ready, shown);
    return shown;
  }

  /** The plane that OpenSeadragon is about to show, drawn in the very next frame: it needs some frames to get there. */
  drawStandIn(context, ratio) {
    if (!this.standIn) return;
    const { a, b, c, d, e, f } = this.affine();
    context.setTransform(a * ratio, b * ratio, c * ratio, d * ratio, e * ratio, f * ratio);
    context.imageSmoothingEnabled = this.#isSmooth();
    context.drawImage(this.standIn, 0, 0, this.plane.width, this.plane.height);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  #standIn(bitmap, until) {
    this.standIn = bitmap;
    until.then(() => {
      if (this.standIn === bitmap) this.standIn = null;
      this.redraw();
    });
    this.redraw();
  }

  #isSmooth() {
    const scale = this.scale();
    return scale < CRISP_ABOVE && (scale < 1 || lastLevel(this.plane) === 0);
  }

  /** Put a layer over the image, or take it away with `url` null. */
  layer(name, key, url, opacity) {
    if (!url) return this.#drop(name);
    return this.#put(name, key, url, opacity, false);
  }

  setOpacity(name, opacity) {
    const layer = this.#layers.get(name);
    if (!layer) return;
    layer.opacity = opacity;
    layer.item?.setOpacity(opacity);
    this.redraw();
  }

  /** Screen position from pixel corners: x' = a·x + c·y + e, y' = b·x + d·y + f, in CSS pixels of the element. */
  affine() {
    const { viewport } = this.osd;
    const at = (x, y) => {
      const point = viewport.pixelFromPoint(new Point(x / this.plane.width, (y * this.plane.aspect) / this.plane.width), true);
      if (viewport.getFlip()) point.x = viewport.getContainerSize().x - point.x;
      return point;
    };
    const [origin, right, down] = [at(0, 0), at(1, 0), at(0, 1)];
    return {
      a: right.x - origin.x, b: right.y - origin.y,
      c: down.x - origin.x, d: down.y - origin.y,
      e: origin.x, f: origin.y,
    };
  }

  /** Screen pixels per image pixel (the shorter side of a pixel that is not square). */
  scale() {
    const { a, b, c, d } = this.affine();
    return Math.min(Math.hypot(a, b), Math.hypot(c, d));
  }

  /** Row and column at pixel centres of a place in the window. */
  toImage(clientX, clientY) {
    const box = this.element.getBoundingClientRect();
    const { a, b, c, d, e, f } = this.affine();
    const [x, y] = [clientX - box.left - e, clientY - box.top - f];
    const determinant = a * d - b * c;
    return { row: (a * y - b * x) / determinant - 0.5, column: (d * x - c * y) / determinant - 0.5 };
  }

  /** Where a pixel's centre is in the window. */
  toClient(row, column) {
    const box = this.element.getBoundingClientRect();
    const { a, b, c, d, e, f } = this.affine();
    const [x, y] = [column + 0.5, row + 0.5];
    return { x: box.left + a * x + c * y + e, y: box.top + b * x + d * y + f };
  }

  holds({ row, column }) {
    return row >= -0.5 && column >= -0.5 && row <= this.plane.height - 0.5 && column <= this.plane.width - 0.5;
  }

  panBy(dx, dy) {
    this.#whole = false;
    const { a, b, c, d } = this.affine();
    const determinant = a * d - b * c;
    const x = (d * dx - c * dy) / determinant;
    const y = (a * dy - b * dx) / determinant;
    const { width, aspect } = this.plane;
    this.osd.viewport.panBy(new Point(-x / width, (-y * aspect) / width), true);
    this.osd.viewport.applyConstraints(true);
  }

  zoomBy(factor, clientX, clientY, immediately = false) {
    this.#whole = false;
    const { width, aspect } = this.plane;
    const box = this.element.getBoundingClientRect();
    const centre = this.toImage(clientX ?? box.left + box.width / 2, clientY ?? box.top + box.height / 2);
    const about = new Point((centre.column + 0.5) / width, ((centre.row + 0.5) * aspect) / width);
    this.osd.viewport.zoomBy(factor, about, immediately);
    this.osd.viewport.applyConstraints(immediately);
  }

  home() {
    this.#whole = true;
    this.osd.viewport.goHome(true);
    this.redraw();
  }

  /** Bring a pixel well into sight, moving the view no more than that takes. */
  reveal(row, column) {
    const { x, y } = this.toClient(row, column);
    const box = this.element.getBoundingClientRect();
    const move = (at, first, last) => Math.max(first + MARGIN - at, 0) + Math.min(last - MARGIN - at, 0);
    const [dx, dy] = [move(x, box.left, box.right), move(y, box.top, box.bottom)];
    if (dx || dy) this.panBy(dx, dy);
  }

  /** Draw what lies over the image once more in the next frame. */
  redraw() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      if (this.plane) this.drawn();
    });
  }

  #afterDraw() {
    if (!this.plane || !this.osd.world.getItemCount()) return;
    this.osd.drawer.setImageSmoothingEnabled(this.#isSmooth());
    this.drawn();
  }

  /** Load a plane behind the one that is there, and take its place when all of it is in. */
  #put(name, key, url, opacity, fit, filter) {
    const layer = this.#layers.get(name) ?? { item: null, added: null, pending: null, key: null };
    this.#layers.set(name, layer);
    layer.opacity = opacity;
    if (layer.key === key) {
      layer.item?.setOpacity(opacity);
      return Promise.resolve(false);
    }
    layer.key = key;
    layer.pending?.();
    return new Promise((resolve) => {
      let cancelled = false;
      layer.pending = () => {
        cancelled = true;
        if (layer.added) this.osd.world.removeItem(layer.added);
        layer.added = layer.pending = null;
        resolve(false);
      };
      this.osd.addTiledImage({
        tileSource: new PlaneSource(this.plane, url, this.cache, filter),
        opacity: layer.opacity,
        preload: true,
        success: ({ item }) => {
          if (cancelled) return this.osd.world.removeItem(item);
          this.osd.world.setItemIndex(item, this.#indexOf(name));
          layer.added = item;
          if (fit) this.osd.viewport.goHome(true);
          return whenLoaded(item, () => {
            if (cancelled) return;
            if (layer.item) this.osd.world.removeItem(layer.item);
            layer.item = item;
            layer.added = layer.pending = null;
            this.redraw();
            resolve(true);
          });
        },
      });
    });
  }

  #drop(name) {
    const layer = this.#layers.get(name);
    if (!layer) return Promise.resolve(false);
    layer.pending?.();
    if (layer.item) this.osd.world.removeItem(layer.item);
    this.#layers.delete(name);
    return Promise.resolve(true);
  }

  #clear() {
    for (const name of [...this.#layers.keys()]) this.#drop(name);
    this.osd.world.removeAll();
  }

  /** The image lies below every layer; a new one right above the one it replaces. */
  #indexOf(name) {
    const order = ["image", "overlay", "difference"];
    let index = 0;
    for (const lower of order) {
      const { added, item: shown } = this.#layers.get(lower) ?? {};
      const item = added ?? shown;
      if (item) index = this.osd.world.getIndexOfItem(item) + 1;
      if (lower === name) break;
    }
    return index;
  }
}

function whenLoaded(item, then) {
  if (item.getFullyLoaded()) then();
  else item.addOnceHandler("fully-loaded-change", then);
}

/**
 * OpenSeadragon adds an inline style for phones unless it finds one, which the page's security policy would refuse. It
 * finds this element, which is of no namespace that has styles.
 */
function silenceStyleTag() {
  const style = document.createElementNS("urn:pointillist", "style");
  style.setAttribute("data-openseadragon-mobile-css", "true");
  document.head.append(style);
}
