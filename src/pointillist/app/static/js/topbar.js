/** Names and buttons along the top, and the zoom buttons on the image. */

import { byId, clockText, fill, h, iconButton } from "./dom.js";

export function topBar(state, does) {
  const done = h("button", { type: "button", class: "done-button", "aria-keyshortcuts": "F", title: "Finished with this image (F)", onclick: does.toggleDone }, "Finished");
  const next = h("button", { type: "button", class: "primary", "aria-keyshortcuts": "N", title: "Next unmarked image (N)", onclick: does.nextUnmarked }, "Next unmarked");
  const planes = iconButton("planes", "The other planes", "L", does.togglePlanes);
  document.querySelector("#top .actions").append(done, next, h("span", { class: "group" }, planes, iconButton("theme", "Dark or light", null, does.toggleTheme), iconButton("help", "Keys", "?", does.help)));

  fill(byId("zoom"), iconButton("minus", "Zoom out", "−", () => does.zoom(1 / 1.4)), h("span", { id: "zoom-level" }), iconButton("plus", "Zoom in", "+", () => does.zoom(1.4)), iconButton("fit", "Whole image", "0", does.home));

  state.on(["dataset"], () => (byId("dataset-name").textContent = state.get("dataset")?.name ?? "Pointillist"));
  state.on(["caseId"], () => {
    byId("case-name").textContent = state.get("caseId") ?? "";
    byId("viewer").setAttribute("aria-label", `Image ${state.get("caseId") ?? ""}`);
  });
  state.on(["caseId", "seconds"], () => {
    const seconds = state.get("seconds");
    byId("case-note").textContent = state.get("caseId") && seconds ? clockText(seconds) : "";
    byId("case-note").title = "Time spent on this image";
  });
  state.on(["done"], () => done.setAttribute("aria-pressed", state.get("done")));
  state.on(["plane", "planesShown"], () => {
    planes.hidden = (state.get("plane")?.slices ?? 1) < 2;
    planes.setAttribute("aria-pressed", state.get("planesShown"));
  });
}
