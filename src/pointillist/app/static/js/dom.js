/** Elements without templates: `h("button", { class: "x", onclick: f }, "text")`. */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {object} [properties] attributes, `on…` handlers, `dataset` @param {...any} children */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("aria-")) element.setAttribute(name, String(value));
    else if (value === false) continue;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An icon of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon; its label is what a screen reader says, its key stands in the tooltip. */
export function iconButton(name, label, key, onclick, properties = {}) {
  const title = key ? `${label} (${key})` : label;
  return h("button", { type: "button", class: "icon-button", title, "aria-label": label, onclick, ...properties }, icon(name));
}

export function byId(id) {
  return document.getElementById(id);
}

/** Tell a screen reader without showing anything. */
export function say(text) {
  byId("said").textContent = text;
}

/** Put new children into an element and keep the focus on the control with the same `data-focus`. */
export function fill(element, ...children) {
  const held = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (held !== undefined) element.querySelector(`[data-focus="${CSS.escape(held)}"]`)?.focus();
}

/** "1:05" of 65 seconds. */
export function clockText(seconds) {
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes % 60)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
