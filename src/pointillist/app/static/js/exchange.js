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
    const counts = [["points", "points"], ["lines", "lines"], ["areas", "areas"], ["label_images", "label images"]]
      .filter(([key]) => found[key])
      .map(([key, label]) => `${found[key]} ${label}`);
    fill(body,
      h("p", { class: "wide" }, counts.length ? `${counts.join(", ")} on ${found.cases.length} image${found.cases.length === 1 ? "" : "s"}.` : "There are no new marks in these files."),
      found.notes.map((note) => h("p", { class: "wide quiet" }, note)),
      found.pictures.map((one) => h("figure", {}, h("img", { src: one.image, alt: `Marks on ${one.case}` }), h("figcaption", {}, one.case))));
    take.disabled = !counts.length;
  } catch (error) {
    fail(error);
  }
}
