/** The tools, their width, and undo and redo. */

import { byId, fill, h, icon, iconButton } from "./dom.js";
import { TOOLS } from "./tools.js";

export function toolbar(state, tools, editor) {
  const pick = (name) => state.set({ tool: name });
  const buttons = TOOLS.map(({ name, key, label }) =>
    h("button", {
      type: "button", class: "tool", role: "radio", title: `${label} (${key})`, "aria-label": label,
      "aria-keyshortcuts": key, dataset: { tool: name }, onclick: () => pick(name),
    }, icon(name)));
  const group = h("div", { class: "tools", role: "radiogroup", "aria-label": "Tool", onkeydown: roving(buttons) }, buttons);
  const hint = h("p", { class: "quiet", "aria-live": "polite" });
  const slider = h("input", { type: "range", min: 1, max: 40, step: 1, "aria-label": "Width in pixels", oninput: () => tools.setWidth(Number(slider.value)) });
  const output = h("output");
  const width = h("label", { class: "row" }, h("span", { class: "key" }, "Width"), slider, output);
  fill(byId("tools"), group, hint, width);
  state.on(["tool", "widths", "pairOut"], () => {
    const tool = state.get("tool");
    buttons.forEach((button) => {
      const chosen = button.dataset.tool === tool;
      button.setAttribute("aria-checked", chosen);
      button.tabIndex = chosen ? 0 : -1;
    });
    const about = TOOLS.find(({ name }) => name === tool);
    const pair = state.get("pairOut") ? "Now click outside: background." : "Click inside, then outside.";
    hint.textContent = tool === "pair" ? pair : about.hint;
    width.hidden = tools.width === null;
    if (width.hidden) return;
    slider.value = tools.width;
    output.textContent = `${tools.width} px`;
  });

  const undo = iconButton("undo", "Undo", "Z", () => editor.undo());
  const redo = iconButton("redo", "Redo", "Shift+Z", () => editor.redo());
  fill(byId("history"), undo, redo);
  state.on(["history", "caseId"], () => {
    undo.disabled = !editor.history?.canUndo;
    redo.disabled = !editor.history?.canRedo;
  });
}

/** Arrow keys move within a group of radio buttons. */
export function roving(buttons) {
  return (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = buttons.indexOf(document.activeElement);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
  };
}
