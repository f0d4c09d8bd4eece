/** The contrast window: from which value (black) to which value (white). */

import { byId, fill, h } from "./dom.js";

const CT = [
  ["Soft tissue", 40, 400],
  ["Lung", -600, 1500],
  ["Bone", 400, 1800],
  ["Brain", 40, 80],
];

const COLOUR = { lo: 0, hi: 255, min: 0, max: 255 };

export class Contrast {
  #start = null;

  /** @param {object} state @param {() => ImageBitmap | null} look the coarsest tile of the open image */
  constructor(state, look) {
    Object.assign(this, { state, look });
  }

  /** What a case opens with; a window that the user has set stays for images with the same values. */
  open(meta) {
    const known = this.state.get("window");
    const { lo, hi, min, max } = meta.colour || !meta.window ? COLOUR : meta.window;
    const stays = known?.chosen && known.min === min && known.max === max;
    this.state.set({ window: stays ? known : { lo, hi, min, max, auto: { lo, hi }, chosen: false } });
  }

  set(lo, hi) {
    const window = this.state.get("window");
    if (!window || !(hi > lo)) return;
    this.state.set({ window: { ...window, lo, hi, chosen: true } });
  }

  auto() {
    const window = this.state.get("window");
    const bitmap = this.state.get("meta")?.colour ? this.look() : null;
    const auto = bitmap ? brightest(bitmap) : window.auto;
    this.state.set({ window: { ...window, ...auto, chosen: false } });
  }

  begin(place) {
    this.#start = { ...this.state.get("window"), x: place.x, y: place.y };
  }

  drag(place) {
    if (!this.#start) return;
    const { lo, hi, min, max, x, y } = this.#start;
    const range = Math.max(max - min, 1e-6);
    const width = Math.max((hi - lo) * Math.exp((place.x - x) / 200), range / 2000);
    const level = (lo + hi) / 2 + ((place.y - y) / 400) * range;
    this.set(tidy(level - width / 2, range), tidy(level + width / 2, range));
  }

  end() {
    this.#start = null;
  }
}

/** A window up to the brightest of a colour image; a picture as bright as tissue stays as it is. */
function brightest(bitmap) {
  const canvas = new OffscreenCanvas(64, 64);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, 64, 64);
  const { data } = context.getImageData(0, 0, 64, 64);
  const values = data.filter((_, i) => i % 4 !== 3).sort();
  return { lo: 0, hi: Math.max(Math.min(Math.round(values[Math.floor(values.length * 0.998)] * 1.1), 255), 8) };
}

/** As many digits as the range is worth. */
const tidy = (value, range) => Number(value.toFixed(Math.max(0, 3 - Math.floor(Math.log10(range)))));

/** Two sliders and presets. */
export function contrastPanel(state, contrast) {
  const element = byId("look-contrast");
  const slider = (label, change) => {
    const input = h("input", { type: "range", oninput: () => change(Number(input.value)) });
    const output = h("output");
    return { input, output, row: h("label", { class: "row" }, h("span", { class: "key" }, label), input, output) };
  };
  const chip = (label, run) => h("button", { type: "button", class: "chip", onclick: run }, label);
  const black = slider("Black", (value) => contrast.set(Math.min(value, state.get("window").hi - stepOf(state.get("window"))), state.get("window").hi));
  const white = slider("White", (value) => contrast.set(state.get("window").lo, Math.max(value, state.get("window").lo + stepOf(state.get("window")))));
  const tissues = CT.map(([name, level, width]) => chip(name, () => contrast.set(level - width / 2, level + width / 2)));
  const full = () => contrast.set(state.get("window").min, state.get("window").max);
  fill(element, black.row, white.row, h("div", { class: "chips" }, chip("Auto", () => contrast.auto()), chip("Full range", full), tissues));
  state.on(["window", "meta"], () => {
    const window = state.get("window");
    element.hidden = !window;
    if (element.hidden) return;
    for (const chip of tissues) chip.hidden = !(window.min <= -500 && window.max >= 300);
    for (const [{ input, output }, value] of [[black, window.lo], [white, window.hi]]) {
      Object.assign(input, { min: window.min, max: window.max, step: stepOf(window), value });
      output.textContent = format(value);
    }
  });
}

/** The window as a filter of the browser for images in colour, which the server leaves as they are. */
export function filterOf(meta, { lo, hi }) {
  if (!meta.colour || (lo === 0 && hi === 255)) return "none";
  const range = (hi - lo) / 255;
  const contrast = 1 + (2 * lo) / (hi - lo);
  return `brightness(${1 / (range * contrast)}) contrast(${contrast})`;
}

const stepOf = ({ min, max }) => (max - min > 20 ? 1 : (max - min) / 200);

function format(value) {
  return Math.abs(value) >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(3);
}
