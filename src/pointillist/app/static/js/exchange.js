/** Marks in from other programs, with a look before they are taken, and marks out. */

import { api } from "./api.js";
import { byId, fill, h, icon } from "./dom.js";

const FORMATS = [["qupath", "QuPath (GeoJSON)"], ["imagej", "ImageJ (ROI)"], ["napari", "napari (CSV)"], ["labels", "Label images"], ["nrrd", "3D Slicer (NRRD)"]];

export function exchange(state, { done }) {
  const file = h("input", { type: "file", multiple: true, hidden: true, onchange: () => ask(state, [...file.files], done) });
  const item = (label, properties) => h(properties.href ? "a" : "button", { class: "item", ...properties }, label);
  const menu = h("div", { class: "menu", id: "marks-menu", popover: "auto", "aria-label": "Marks in and out" },
    item("Bring marks in…", { type: "button", onclick: () => {
      menu.hidePopover();
      file.value = "";
      file.click();
    } }),
    h("p", { class: "quiet" }, "Take marks out"),
    FORMATS.map(([name, label]) => item(label, { href: api.exportUrl(name), download: "" })));
  const button = h("button", { type: "button", class: "icon-button", title: "Marks in and out", "aria-label": "Marks in and out", popovertarget: "marks-menu" }, icon("export"));
  fill(byId("file-menu"), button, menu, file);
}

/** Show where the marks would lie; take them only then. */
async function ask(state, files, done) {
  if (!files.length) return;
  const body = h("div", { class: "import" }, h("p", { class: "quiet" }, "Reading…"));
  const take = h("button", { type: "button", class: "primary", disabled: true }, "Bring in");
  const dialog = h("dialog", { class: "sheet", "aria-labelledby": "import-title", onclose: () => dialog.remove() },
    h("h2", { id: "import-title" }, "Do these marks lie where they should?"), body,
    h("div", { class: "buttons" }, h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Cancel"), take));
  document.body.append(dialog);
  dialog.showModal();
  const send = (dryRun) => {
    const form = new FormData();
    for (const one of files) form.append("file", one, one.name);
    const query = { dry_run: dryRun };
    if (files.length === 1 && state.get("dataset").cases.length === 1) query.case = state.get("caseId");
    return api.importMarks(form, query);
  };
  const fail = (error) => fill(body, h("p", { class: "problem", role: "alert" }, [error.detail?.what ?? error.message, error.detail?.where, error.detail?.todo].filter(Boolean).join(". ")));
  take.addEventListener("click", async () => {
    take.disabled = true;
    try {
      await send(false);
      dialog.close();
      done();
    } catch (error) {
      fail(error);
    }
  });
  try {
    const found = await send(true);
    const cases = found.cases ?? [];
    fill(body, cases.length ? cases.map((one) =>
      h("figure", {}, one.thumbnail ? h("img", { src: one.thumbnail.startsWith("data:") || one.thumbnail.startsWith("/") ? one.thumbnail : `data:image/png;base64,${one.thumbnail}`, alt: `Marks on ${one.id}` }) : null,
        h("figcaption", {}, `${one.id}: ${one.strokes ?? 0} strokes${one.areas ? `, ${one.areas} areas` : ""}`))) : h("p", {}, "There are no marks in these files."));
    take.disabled = !cases.length;
  } catch (error) {
    fail(error);
  }
}
