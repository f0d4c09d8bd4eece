/** Every class has a shape besides its colour: the palette shows it, and every stroke begins with it. */

const SHAPES = ["cross", "circle", "triangle", "square", "diamond", "plus", "star", "drop", "hexagon"];

export function shapeOf(index) {
  return index === 0 ? SHAPES[0] : SHAPES[1 + ((index - 1) % (SHAPES.length - 1))];
}

const polygon = (corners, turn, radius = 1) =>
  Array.from({ length: corners }, (_, i) => {
    const angle = turn + (2 * Math.PI * i) / corners;
    return [Math.sin(angle) * radius, -Math.cos(angle) * radius];
  });

const OUTLINES = {
  triangle: polygon(3, 0, 1.15),
  square: polygon(4, Math.PI / 4, 1.12),
  diamond: polygon(4, 0, 1.2),
  hexagon: polygon(6, 0, 1.08),
  drop: polygon(3, Math.PI, 1.15),
  star: polygon(10, 0).map(([x, y], i) => (i % 2 ? [x * 0.5, y * 0.5] : [x * 1.2, y * 1.2])),
};

/** The shape as a path around (x, y); `hollow` is the share of a cross that stays open, so that its middle is seen. */
export function tracePath(path, shape, x, y, radius, hollow = 0) {
  if (shape === "circle") {
    path.moveTo(x + radius, y);
    path.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  if (shape === "cross" || shape === "plus") {
    const reach = shape === "cross" ? radius * 0.8 : radius;
    const ends = shape === "cross" ? [[1, 1], [1, -1]] : [[1, 0], [0, 1]];
    const gap = reach * hollow;
    for (const [dx, dy] of ends) {
      for (const side of [-1, 1]) {
        path.moveTo(x + side * dx * gap, y + side * dy * gap);
        path.lineTo(x + side * dx * reach, y + side * dy * reach);
      }
    }
    return;
  }
  OUTLINES[shape].forEach(([dx, dy], i) => path[i ? "lineTo" : "moveTo"](x + dx * radius, y + dy * radius));
  path.closePath();
}

const sprites = new Map();

/** The outline of a class's shape with a dark rim, as a small canvas. */
export function sprite(index, colour, ratio) {
  const key = `${shapeOf(index)} ${colour} ${ratio}`;
  const known = sprites.get(key);
  if (known) return known;
  const side = Math.ceil(22 * ratio);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const path = new Path2D();
  tracePath(path, shapeOf(index), side / 2, side / 2, 6.4 * ratio, 0.5);
  context.lineJoin = context.lineCap = "round";
  for (const [style, width] of [["rgba(0, 0, 0, 0.7)", 4], [colour, 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width * ratio;
    context.stroke(path);
  }
  sprites.set(key, canvas);
  return canvas;
}

/** The same as an SVG element for lists. */
export function swatch(index, colour) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "-10 -10 20 20");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  const steps = [];
  const recorder = {
    moveTo: (x, y) => steps.push(`M${x.toFixed(2)} ${y.toFixed(2)}`),
    lineTo: (x, y) => steps.push(`L${x.toFixed(2)} ${y.toFixed(2)}`),
    arc: (x, y, r) => steps.push(`A${r} ${r} 0 1 1 ${x - r} ${y}A${r} ${r} 0 1 1 ${x + r} ${y}`),
    closePath: () => steps.push("Z"),
  };
  tracePath(recorder, shapeOf(index), 0, 0, 6.2);
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", steps.join(""));
  path.setAttribute("stroke", colour);
  path.setAttribute("fill", ["cross", "plus"].includes(shapeOf(index)) ? "none" : colour);
  svg.append(path);
  return svg;
}
