/** How the image is shown: contrast, marks, channel, prediction over it. */

import { byId, fill, h } from "./dom.js";

const WHAT = [["classes", "Prediction"], ["uncertainty", "Uncertainty"], ["difference", "Difference"]];

export function lookPanel(state) {
  const slider = (label, name, title) => {
    const input = h("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": title, oninput: () => state.set({ [name]: input.value / 100 }) });
    state.on([name], () => (input.value = Math.round(state.get(name) * 100)));
    return h("label", { class: "row", title }, h("span", { class: "key" }, label), input, h("output"));
  };
  const channel = h("select", { "aria-label": "Channel", onchange: () => state.set({ channel: Number(channel.value) }) });
  const channels = h("label", { class: "row" }, h("span", { class: "key" }, "Channel"), channel);
  const marks = slider("Marks", "marksOpacity", "Opacity of the marks (M hides them)");
  fill(byId("look"), h("div", { class: "head" }, h("h2", {}, "View")), h("div", { id: "look-contrast" }), channels, marks, overlayRows(state, slider));
  state.on(["meta"], () => {
    const names = state.get("meta")?.channels ?? [];
    const list = Array.isArray(names) ? names : Array.from({ length: names }, (_, i) => `channel ${i + 1}`);
    channels.hidden = list.length < 2 || Boolean(state.get("meta")?.colour);
    fill(channel, list.map((name, i) => h("option", { value: i }, String(name))));
    if (state.get("channel") >= list.length) state.set({ channel: 0 });
    channel.value = state.get("channel");
  });
}

/** Which prediction lies over the image, and how strongly. */
function overlayRows(state, slider) {
  const kinds = h("div", { class: "segments", role: "group", "aria-label": "Overlay" }, WHAT.map(([what, label]) =>
    h("button", { type: "button", dataset: { what }, onclick: () => choose(what) }, label)));
  const opacity = slider("Overlay", "overlayOpacity", "Opacity of the overlay (O hides it)");
  const note = h("p", { class: "quiet" });
  const rows = h("div", { class: "overlay-rows" }, kinds, opacity, note);
  const choose = (what) => {
    const overlay = state.get("overlay");
    state.set({ overlay: { ...overlay, what, shown: !(overlay.shown && overlay.what === what) } });
  };
  state.on(["overlay"], () => {
    const overlay = state.get("overlay");
    rows.hidden = !overlay.run;
    for (const button of kinds.children) {
      button.setAttribute("aria-pressed", overlay.shown && overlay.what === button.dataset.what);
      button.disabled = button.dataset.what === "difference" && !overlay.other;
      button.title = button.disabled ? "Choose a second run to compare with" : "";
    }
    note.textContent = overlay.other ? `${overlay.run} against ${overlay.other}` : overlay.run ?? "";
  });
  return rows;
}
