/** What lies over the ink: the stroke being drawn, the brush, the keyboard's cursor and the places suggested. */

import { sprite } from "./symbols.js";

export class Front {
  constructor(context, { state, viewer, tools, colour, ratio }) {
    Object.assign(this, { context, state, viewer, tools, colour, ratio });
    this.hover = null;
    this.cursor = null;
    this.places = [];
  }

  draw() {
    const view = this.viewer.affine();
    const ratio = this.ratio();
    const { context } = this;
    const matrix = [view.a, view.b, view.c, view.d, view.e, view.f].map((value) => value * ratio);
    if (this.tools.live) this.#drawLive(matrix);
    for (const place of this.places) this.#drawPlace(matrix, place, ratio);
    if (this.cursor) this.#drawCursor(matrix, ratio);
    if (this.hover || this.cursor) this.#drawBrush(matrix, this.cursor ?? this.hover, ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  #drawLive(matrix) {
    const { context } = this;
    const { live } = this.tools;
    context.setTransform(...matrix);
    context.globalCompositeOperation = live.class === null ? "destination-out" : "source-over";
    context.fillStyle = live.class === null ? "#000" : this.colour(live.class);
    context.globalAlpha = live.class === null ? 1 : 0.9;
    context.fill(live.path);
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    if (live.class === null) return;
    const [x, y] = place(matrix, live.points[0][1] + 0.5, live.points[0][0] + 0.5);
    const image = sprite(live.class, this.colour(live.class), this.ratio());
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(image, Math.round(x - image.width / 2), Math.round(y - image.height / 2));
  }

  /** A ring as wide as the brush, so that what it will cover is seen beforehand. */
  #drawBrush(matrix, at, ratio) {
    const { width } = this.tools;
    if (!width) return;
    const { context } = this;
    const next = this.tools.nextClass();
    const reach = Math.max(width / 2, 0.5);
    context.setTransform(...matrix);
    const ring = new Path2D();
    ring.arc(at.column + 0.5, at.row + 0.5, reach, 0, 2 * Math.PI);
    context.setTransform(1, 0, 0, 1, 0, 0);
    const scale = Math.hypot(matrix[0], matrix[1]);
    if (reach * scale < 3 * ratio) return;
    const onScreen = new Path2D();
    onScreen.addPath(ring, new DOMMatrix(matrix));
    context.lineWidth = 3 * ratio;
    context.strokeStyle = "rgba(0, 0, 0, 0.5)";
    context.stroke(onScreen);
    context.lineWidth = 1.5 * ratio;
    context.strokeStyle = next === null ? "#ffffff" : this.colour(next);
    if (next === null) context.setLineDash([4 * ratio, 3 * ratio]);
    context.stroke(onScreen);
    context.setLineDash([]);
  }

  #drawCursor(matrix, ratio) {
    const { context } = this;
    const [x, y] = place(matrix, this.cursor.column + 0.5, this.cursor.row + 0.5);
    context.setTransform(1, 0, 0, 1, 0, 0);
    for (const [style, width] of [["rgba(0, 0, 0, 0.7)", 4], ["#ffffff", 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = width * ratio;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + dx * 6 * ratio, y + dy * 6 * ratio);
        context.lineTo(x + dx * 18 * ratio, y + dy * 18 * ratio);
      }
      context.stroke();
    }
  }

  #drawPlace(matrix, suggested, ratio) {
    if (suggested.slice !== undefined && suggested.slice !== null && suggested.slice !== this.state.get("slice")) return;
    const { context } = this;
    const [x, y] = place(matrix, (suggested.col ?? suggested.column) + 0.5, suggested.row + 0.5);
    const radius = (suggested.current ? 20 : 14) * ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.setLineDash([5 * ratio, 4 * ratio]);
    for (const [style, width] of [["rgba(0, 0, 0, 0.65)", 4], ["#ffffff", suggested.current ? 2.2 : 1.6]]) {
      context.strokeStyle = style;
      context.lineWidth = width * ratio;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
  }
}

const place = ([a, b, c, d, e, f], x, y) => [a * x + c * y + e, b * x + d * y + f];
