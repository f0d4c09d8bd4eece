/** A small line chart of values over steps, as SVG. */

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [248, 84, 34, 14];
const INKS = ["var(--line-1)", "var(--line-2)", "var(--line-3)", "var(--line-4)"];

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {string} title @param {[string, number[][]][]} series name and [step, value] pairs */
export function chart(title, series) {
  const drawn = series.map(([name, values]) => [name, values.filter(([, value]) => Number.isFinite(value))]).filter(([, values]) => values.length > 1);
  if (!drawn.length) return null;
  const all = drawn.flatMap(([, values]) => values);
  const [firstStep, lastStep] = extent(all.map(([step]) => step));
  const [least, most] = extent(all.map(([, value]) => value));
  const x = (step) => LEFT + ((step - firstStep) / Math.max(lastStep - firstStep, 1)) * (WIDTH - LEFT - 2);
  const y = (value) => 4 + (1 - (value - least) / Math.max(most - least, 1e-9)) * (HEIGHT - BOTTOM - 6);
  const lines = drawn.map(([, values], i) =>
    svg("polyline", { points: thinOut(values).map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" "), stroke: INKS[i % INKS.length], class: `line dash-${i % 4}` }));
  const text = (value, atX, atY, anchor) => svg("text", { x: atX, y: atY, "text-anchor": anchor }, short(value));
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": describe(title, drawn) },
    svg("path", { d: `M${LEFT} 2V${HEIGHT - BOTTOM}H${WIDTH}`, class: "axis" }), ...lines,
    text(most, LEFT - 3, 10, "end"), text(least, LEFT - 3, HEIGHT - BOTTOM, "end"), text(lastStep, WIDTH, HEIGHT - 2, "end"));
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.append(title);
  drawn.forEach(([name, values], i) => {
    const label = document.createElement("span");
    label.className = `legend legend-${i % 4}`;
    label.textContent = `${name} ${short(values.at(-1)[1])}`;
    caption.append(label);
  });
  figure.append(caption, picture);
  return figure;
}

const extent = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
const short = (value) => {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return Math.abs(value) < 0.1 ? value.toPrecision(1) : String(Number(value.toPrecision(3)));
};
const thinOut = (values) => values.filter((_, i) => i % Math.ceil(values.length / 240) === 0 || i === values.length - 1);
const describe = (title, drawn) => `${title}: ${drawn.map(([name, values]) => `${name} from ${short(values[0][1])} to ${short(values.at(-1)[1])}`).join(", ")}`;
