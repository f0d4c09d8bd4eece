/** A method's settings as form fields, from `pointillist methods --json`. */

import { h } from "./dom.js";

/** @param {Record<string, object> | undefined} settings by name @returns {HTMLElement[] | null} */
export function settingsForm(settings) {
  const list = Object.values(settings ?? {});
  if (!list.length) return null;
  return list.map((setting) => h("label", { class: "setting", title: setting.text }, h("span", {}, setting.name), field(setting)));
}

function field({ name, default: preset, kind, choices, low, high }) {
  const common = { dataset: { setting: name, default: String(preset ?? "") }, "aria-label": name };
  if (choices?.length) {
    const select = h("select", common, choices.map((choice) => h("option", { value: choice }, String(choice))));
    select.value = preset;
    return select;
  }
  if (typeof preset === "boolean") return h("input", { ...common, type: "checkbox", checked: preset });
  if (kind === "int" || kind === "float") {
    return h("input", { ...common, type: "number", step: kind === "int" ? 1 : "any", value: preset ?? "", min: low, max: high });
  }
  return h("input", { ...common, type: "text", value: preset ?? "" });
}
