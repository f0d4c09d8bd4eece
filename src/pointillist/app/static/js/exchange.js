/** Marks in from other programs, with a look before they are taken; marks and segmentations out. */

import { api } from "./api.js";
import { byId, fill, h, icon } from "./dom.js";

const KEPT_MS = 60000; // a browser may ask where to put it first
const NAPARI = ["napari", "napari (CSV)"];
const MARKS = {
  picture: [["qupath", "QuPath (GeoJSON)"], ["imagej", "ImageJ (ROI)"], NAPARI, ["labels", "Label images"]],
  volume: [["labels", "ITK-SNAP (NIfTI)"], ["nrrd", "3D Slicer (NRRD)"], NAPARI],
};
const FOUND = {
  picture: [["png", "PNG"], ["tiff", "TIFF"], ["geojson", "QuPath (GeoJSON)"]],
  volume: [["nifti", "NIfTI"]],
};

/** @param {object} state @param {{done: () => void, tell: (error: Error) => void}} on marks came in; something failed */
export function exchange(state, { done, tell }) {
  const file = h("input", { type: "file", multiple: true, hidden: true, onchange: () => ask(state, [...file.files], done) });
  const item = (label, run) => h("button", { type: "button", class: "item", onclick: () => {
    menu.hidePopover();
    run();
  } }, label);
  const menu = h("div", { class: "menu", id: "marks-menu", popover: "auto", "aria-label": "Marks in and out" });
  const out = (kinds, address) => kinds.map(([name, label]) => item(label, () => save(address(name)).catch(tell)));
  state.on(["overlay", "dataset"], () => {
    const kind = state.get("dataset").kind === "volume" ? "volume" : "picture";
    const { run } = state.get("overlay");
    fill(menu, item("Bring marks in…", () => {
      file.value = "";
      file.click();
    }), h("p", { class: "quiet" }, "Take marks out"), out(MARKS[kind], api.exportUrl),
    run ? [h("p", { class: "quiet" }, `Segmentations of ${run}`), ...out(FOUND[kind], (name) => api.segmentationsUrl(run, name))] : null);
  });
  const button = h("button", { type: "button", class: "icon-button", title: "Marks in and out", "aria-label": "Marks in and out", popovertarget: "marks-menu" }, icon("export"));
  fill(byId("file-menu"), button, menu, file);
}

/** Fetched first, so that what is wrong is said in the page and not by a download that fails. */
async function save(address) {
  const { name, blob } = await api.archive(address);
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), KEPT_MS);
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
