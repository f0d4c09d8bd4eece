/** The slices of a volume: a slider with a tick where there are marks. */

import { byId, fill, h, iconButton } from "./dom.js";

export function sliceBar(state, editor, go) {
  const element = byId("slices");
  const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Slice", oninput: () => go(Number(slider.value)) });
  const ticks = h("canvas", { class: "ticks", "aria-hidden": "true" });
  const output = h("output");
  fill(element, iconButton("prev", "Slice before", "↓", () => go(state.get("slice") - 1)), h("div", { class: "track" }, slider, ticks), iconButton("forward", "Slice after", "↑", () => go(state.get("slice") + 1)), output);
  state.on(["plane", "slice"], () => {
    const plane = state.get("plane");
    element.hidden = !plane || plane.slices < 2;
    if (element.hidden) return;
    slider.max = plane.slices - 1;
    slider.value = state.get("slice");
    slider.setAttribute("aria-valuetext", `slice ${state.get("slice") + 1} of ${plane.slices}`);
    output.textContent = `${state.get("slice") + 1} / ${plane.slices}`;
  });
  const draw = () => {
    const plane = state.get("plane");
    if (!plane || plane.slices < 2 || !editor.marks) return;
    const ratio = devicePixelRatio;
    const { clientWidth, clientHeight } = ticks;
    [ticks.width, ticks.height] = [clientWidth * ratio, clientHeight * ratio];
    const context = ticks.getContext("2d");
    context.fillStyle = getComputedStyle(ticks).color;
    const room = ticks.width - 14 * ratio; // the thumb's middle runs from half its width to the other half
    const width = Math.max(Math.min(room / plane.slices - ratio, 4 * ratio), 1.5 * ratio);
    for (const slice of new Set([...editor.marks.slices(), ...baseSlices(state.get("meta"))])) {
      context.fillRect(7 * ratio + (room * slice) / (plane.slices - 1) - width / 2, 0, width, ticks.height);
    }
  };
  state.on(["inkVersion", "plane", "caseId", "theme"], draw);
  new ResizeObserver(draw).observe(ticks);
}

/** Slices with marks that came as pixels, where the server says so. */
function baseSlices(meta) {
  return Array.isArray(meta?.base_slices) ? meta.base_slices : [];
}
