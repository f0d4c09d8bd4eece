/** What would make these marks better training labels, from the server's label health. */

import { api } from "./api.js";
import { byId, fill, h, icon } from "./dom.js";

const PAUSE_MS = 1500;
const MOST = 2; // the next ones come when these are done

export function hints(state, follow) {
  const element = byId("hints");
  const put = (list) => {
    element.hidden = !list.length;
    fill(element, list.slice(0, MOST).map(({ what, why, action }) =>
      h("div", { class: "hint" }, icon("bulb"),
        why ? h("details", { title: why }, h("summary", {}, what), h("p", {}, why)) : h("p", {}, what),
        action ? h("button", { type: "button", class: "chip", onclick: () => follow(action) }, "Show") : null)));
  };
  state.on(["meta"], () => put(state.get("meta")?.hints ?? []));
  let timer;
  state.on(["inkVersion"], () => {
    clearTimeout(timer);
    const id = state.get("caseId");
    timer = setTimeout(async () => {
      if (!id || id !== state.get("caseId")) return;
      const list = await api.hints(id).catch(() => null);
      if (list && id === state.get("caseId")) put(list);
    }, PAUSE_MS);
  }, { now: false });
}
