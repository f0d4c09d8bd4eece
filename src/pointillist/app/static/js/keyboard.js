/** Keys of the whole page. Fields and dialogs keep theirs. */

import { byId } from "./dom.js";

const TOOL_KEYS = { p: "point", s: "scribble", i: "pair", e: "eraser", h: "pan", w: "window" };
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @param {object} state @param {object} does what the keys do @param {object} cursor the keyboard's cursor */
export function keyboard(state, does, cursor) {
  const plain = {
    n: does.nextUnmarked, f: does.toggleDone, j: does.nextPlace, l: does.togglePlanes, m: does.toggleMarks,
    o: does.toggleOverlay, a: does.autoContrast, k: cursor.toggle, "?": does.help, 0: does.home,
    "+": () => does.zoom(1.4), "=": () => does.zoom(1.4), "-": () => does.zoom(1 / 1.4), "−": () => does.zoom(1 / 1.4),
    "[": () => does.widen(-1), "]": () => does.widen(1), y: does.redo,
    PageUp: () => does.neighbour(-1), PageDown: () => does.neighbour(1),
  };

  addEventListener("keydown", (event) => {
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") act(event, event.shiftKey ? does.redo : does.undo);
      if (key === "y") act(event, does.redo);
      return;
    }
    if (event.altKey) return;
    if (key === " " && !isControl(event.target)) act(event, () => does.space(true));
    else if (key === "z") act(event, event.shiftKey ? does.redo : does.undo);
    else if (cursor.active && cursorKey(event, key)) event.preventDefault();
    else if (key === "Escape") does.escape();
    else if (/^[1-9]$/.test(key)) act(event, () => does.chooseClass(Number(key) - 1));
    else if (TOOL_KEYS[key]) act(event, () => state.set({ tool: TOOL_KEYS[key], pairOut: false }));
    else if (plain[key]) act(event, plain[key]);
    else if ((key === "ArrowUp" || key === "ArrowDown") && !isControl(event.target)) act(event, () => does.slice(key === "ArrowUp" ? 1 : -1));
  });
  // who presses a button with the mouse goes on with the keys of the image, whatever keys the button itself has
  addEventListener("click", (event) => {
    if (event.detail && isControl(event.target) && !isTyping(event.target)) byId("viewer").focus({ preventScroll: true });
  });
  // the ring around the image is for those who came by Tab
  addEventListener("pointerdown", () => (document.documentElement.dataset.input = "pointer"), { capture: true });
  addEventListener("keydown", (event) => event.key === "Tab" && delete document.documentElement.dataset.input, { capture: true });
  addEventListener("keyup", (event) => event.key === " " && does.space(false));
  addEventListener("blur", () => does.space(false));

  function cursorKey(event, key) {
    const step = STEPS[key];
    if (step) cursor.move(...step.map((one) => one * (event.shiftKey ? 10 : 1)));
    else if (key === "Enter" && !isControl(event.target)) cursor.press();
    else if (key === "Escape") cursor.leave();
    else return false;
    return true;
  }
}

function act(event, run) {
  event.preventDefault();
  run();
}

const isTyping = (target) => target.closest?.("input:not([type=range], [type=checkbox]), select, textarea");
const isControl = (target) => target.closest?.("button, input, select, a, summary, [role=listbox], [role=radio]");
