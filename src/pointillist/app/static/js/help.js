/** The help card: every key at a glance. */

import { h, iconButton } from "./dom.js";

const KEYS = [
  ["Marking", [["1 – 9", "class"], ["P", "point"], ["S", "scribble"], ["I", "in/out pair"], ["E", "eraser"], ["[  ]", "narrower, wider"], ["Z", "undo"], ["Shift Z", "redo"], ["F", "finished with this image"]]],
  ["Moving", [["N", "next unmarked image"], ["PgUp  PgDn", "image before, after"], ["↑  ↓", "slice"], ["+  −", "zoom"], ["0", "whole image"], ["Space drag", "move the image"], ["L", "the other planes"]]],
  ["Looking", [["W", "contrast, by dragging"], ["A", "automatic contrast"], ["M", "marks on, off"], ["O", "overlay on, off"], ["J", "next suggested place"]]],
  ["Without a mouse", [["K", "cursor on the image"], ["← ↑ ↓ →", "move it; Shift: ten pixels"], ["Enter", "mark; a scribble begins and ends"], ["Esc", "leave"]]],
];
const PEN = "Pen: draws, its eraser end erases. Fingers: one draws, two move and zoom; once a pen was used, one finger moves. Wheel: slices of a volume, zoom on an image; with Ctrl always zoom.";

export function showHelp() {
  if (document.querySelector("dialog[open]")) return;
  const card = h("dialog", { class: "sheet help", "aria-labelledby": "help-title", onclose: () => card.remove(), onclick: (event) => event.target === card && card.close() },
    h("div", { class: "head" }, h("h2", { id: "help-title" }, "Keys"), iconButton("close", "Close", "Esc", () => card.close())),
    h("div", { class: "key-groups" }, KEYS.map(([title, keys]) =>
      h("section", {}, h("h3", {}, title), h("dl", {}, keys.flatMap(([key, what]) => [h("dt", {}, key.split("  ").map((one) => h("kbd", {}, one))), h("dd", {}, what)]))))),
    h("p", { class: "quiet" }, PEN));
  document.body.append(card);
  card.showModal();
}
