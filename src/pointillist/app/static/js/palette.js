/** The classes: which one the next mark gets, and their names. */

import { api } from "./api.js";
import { byId, fill, h, iconButton } from "./dom.js";
import { swatch } from "./symbols.js";
import { roving } from "./toolbar.js";

/** Okabe and Ito's colours, told apart by people who see red and green alike. */
const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];

export function classesOf(state) {
  return (state.get("dataset")?.classes ?? []).filter((one) => !one.ignore);
}

export function palette(state, editor) {
  const element = byId("palette");
  const list = h("div", { class: "classes", role: "radiogroup", "aria-label": "Class of the next mark" });
  const head = h("div", { class: "head" }, h("h2", {}, "Classes"), iconButton("edit", "Name classes", null, () => askForClasses(state)));
  fill(element, head, list);
  let counts = [];
  const build = () => {
    const buttons = classesOf(state).map(({ name, colour }, index) =>
      h("button", {
        type: "button", class: "class", role: "radio", "data-focus": `class ${index}`,
        "aria-keyshortcuts": index < 9 ? String(index + 1) : undefined,
        onclick: () => state.set({ class: index }),
      }, swatch(index, colour), h("span", { class: "name" }, name), h("span", { class: "count" }),
        index < 9 ? h("kbd", { "aria-hidden": "true" }, String(index + 1)) : null));
    counts = buttons.map((button) => button.querySelector(".count"));
    list.onkeydown = roving(buttons);
    fill(list, buttons);
    choose();
    count();
  };
  const choose = () => {
    [...list.children].forEach((button, index) => {
      button.setAttribute("aria-checked", index === state.get("class"));
      button.tabIndex = index === state.get("class") ? 0 : -1;
    });
  };
  const count = () => {
    const marks = editor.marks?.counts();
    counts.forEach((element, index) => {
      const number = marks?.get(index) ?? 0;
      element.textContent = number || "";
      element.title = number ? `${number} marks on this image` : "";
    });
  };
  state.on(["dataset"], build);
  state.on(["class"], choose);
  state.on(["inkVersion", "caseId"], count);
}

/** A dialog to name, add and colour the classes. */
export function askForClasses(state, { first = false } = {}) {
  const rows = h("div", { class: "class-rows" });
  const problem = h("p", { class: "problem", role: "alert" });
  const known = classesOf(state);
  const add = ({ name, colour }, index, { isNew }) => {
    const row = h("div", { class: "class-row" }, h("input", { type: "color", value: colour, "aria-label": `Colour of class ${index + 1}` }),
      h("input", { type: "text", value: name, maxlength: 60, required: true, spellcheck: "false", "aria-label": `Name of class ${index + 1}`, placeholder: "Name, such as tumour" }),
      isNew ? iconButton("close", "Leave this class out", null, () => row.remove()) : h("span", { class: "note" }, index === 0 ? "everything else" : ""));
    rows.append(row);
    return row;
  };
  known.forEach((one, index) => add(one, index, { isNew: false }));
  const more = () => {
    const index = rows.children.length;
    add({ name: "", colour: COLOURS[(index - 1) % COLOURS.length] }, index, { isNew: true }).querySelector("[type=text]").focus();
  };
  const save = async (event) => {
    event.preventDefault();
    const classes = [...rows.children].map((row) => ({
      name: row.querySelector("[type=text]").value.trim(),
      colour: row.querySelector("[type=color]").value,
    }));
    try {
      const answer = await api.setClasses(classes);
      const dataset = state.get("dataset");
      state.set({ dataset: { ...dataset, ...(answer?.classes ? answer : { classes }), fresh: false } });
      dialog.close();
    } catch (error) {
      problem.textContent = [error.detail?.what ?? error.message, error.detail?.todo].filter(Boolean).join(": ");
    }
  };
  const dialog = h("dialog", { class: "sheet", "aria-labelledby": "classes-title", onclose: () => dialog.remove() },
    h("form", { onsubmit: save },
      h("h2", { id: "classes-title" }, first ? "What do you want to find in these images?" : "Classes"),
      h("p", { class: "quiet" }, first ? "One class for each kind of thing. You can change the names later." : "Names and colours. A class with marks stays."),
      rows,
      h("button", { type: "button", class: "link", onclick: more }, "+ Add a class"),
      problem,
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, first ? "Later" : "Cancel"),
        h("button", { type: "submit", class: "primary" }, first ? "Start" : "Save"))));
  document.body.append(dialog);
  dialog.showModal();
  const field = rows.children[first ? 1 : 0]?.querySelector("[type=text]");
  field?.focus();
  field?.select();
}
