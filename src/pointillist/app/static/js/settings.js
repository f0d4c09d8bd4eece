/** A method's settings as form fields, from `pointillist methods --json`. */

import { h } from "./dom.js";

/** @param {object | object[] | undefined} settings @returns {HTMLElement[] | null} */
export function settingsForm(settings) {
  const list = Array.isArray(settings) ? settings : Object.entries(settings ?? {}).map(([name, rest]) => ({ name, ...rest }));
  if (!list.length) return null;
  return list.map((setting) => h("label", { class: "setting", title: setting.text ?? setting.description }, h("span", {}, setting.name), field(setting)));
}

function field({ name, default: preset, type, choices, bounds, lo, hi, minimum, maximum }) {
  const common = { dataset: { setting: name, default: String(preset ?? "") }, "aria-label": name };
  if (choices) {
    const select = h("select", common, choices.map((choice) => h("option", { value: choice }, String(choice))));
    select.value = preset;
    return select;
  }
  if (typeof preset === "boolean") return h("input", { ...common, type: "checkbox", checked: preset });
  if (typeof preset === "number" || type === "int" || type === "float") {
    return h("input", { ...common, type: "number", step: "any", value: preset ?? "", min: lo ?? minimum ?? bounds?.[0], max: hi ?? maximum ?? bounds?.[1] });
  }
  return h("input", { ...common, type: "text", value: preset ?? "" });
}
