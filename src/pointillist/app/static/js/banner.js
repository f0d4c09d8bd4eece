/** One line above the image for what the user must know: the server is away, the disk is full. */

import { byId, fill, h, icon, iconButton } from "./dom.js";

export class Banner {
  #problems = new Map();

  constructor() {
    this.element = byId("banner");
  }

  /** @param {string} name one problem of a kind at a time @param {{text: string, todo?: string, grave?: boolean, close?: boolean}} problem */
  show(name, problem) {
    this.#problems.set(name, problem);
    this.#draw();
  }

  clear(name) {
    if (this.#problems.delete(name)) this.#draw();
  }

  #draw() {
    const [name, problem] = [...this.#problems].sort(([, one], [, other]) => Boolean(other.grave) - Boolean(one.grave))[0] ?? [];
    this.element.hidden = !problem;
    if (!problem) return;
    this.element.className = problem.grave ? "grave" : "";
    fill(this.element, icon("warning"), h("span", { class: "text" }, h("strong", {}, sentence(problem.text)), problem.todo ? ` ${sentence(problem.todo)}` : ""), problem.close ? iconButton("close", "Close this message", null, () => this.clear(name)) : null);
  }
}

/** What the server says in passing, as a sentence of its own. */
function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.:;!?]$/.test(text) ? "" : "."}`;
}
