/** Puts the parts together. */

import { api } from "./api.js";
import { Banner } from "./banner.js";
import { CaseList } from "./caselist.js";
import { startClock } from "./clock.js";
import { connection } from "./connection.js";
import { keyCursor } from "./cursor.js";
import { byId, say } from "./dom.js";
import { Editor } from "./editor.js";
import { exchange } from "./exchange.js";
import { showHelp } from "./help.js";
import { hints } from "./hints.js";
import { keyboard } from "./keyboard.js";
import { lookPanel } from "./look.js";
import { Outbox } from "./outbox.js";
import { askForClasses, classesOf, palette } from "./palette.js";
import { PlanesView } from "./planesview.js";
import { Pointer } from "./pointer.js";
import { Runs } from "./runs.js";
import { sliceBar } from "./slices.js";
import { Stage } from "./stage.js";
import { State } from "./state.js";
import { Suggestions } from "./suggestions.js";
import { startTheme } from "./theme.js";
import { toolbar } from "./toolbar.js";
import { topBar } from "./topbar.js";
import { Contrast, contrastPanel } from "./window.js";

const PATIENCE_MS = 700;

const state = new State({
  dataset: null, cases: [], caseId: null, meta: null, plane: null, slice: 0, channel: 0,
  tool: "scribble", class: 1, pairOut: false, widths: { point: 3, scribble: 3, pair: 3, eraser: 9 },
  window: null, marksOpacity: 0.85, overlayOpacity: 0.5, planesShown: false,
  overlay: { run: null, other: null, what: "classes", shown: false, version: 0 },
  filter: "all", search: "", suggestions: null, runs: [], history: {}, inkVersion: 0,
  waiting: 0, online: true, done: false, seconds: 0, theme: "dark", hover: null,
});

const banner = new Banner();
const tellError = (error) => banner.show("error", { text: error.detail?.what ?? error.message, todo: error.detail?.todo, close: true });

async function start() {
  const toggleTheme = startTheme(state);
  const dataset = await api.dataset();
  state.set({ dataset, cases: dataset.cases });
  document.title = `${dataset.name} · Pointillist`;

  const link = connection(state, banner);
  const outbox = new Outbox(dataset.id ?? dataset.name, api.ops, link.report);
  const editor = new Editor(state, outbox, (slices) => stage.inkChanged(slices));
  const contrast = new Contrast(state, () => stage.overview());
  const stage = new Stage(state, editor, contrast);
  const { viewer, tools, front } = stage;
  const clock = startClock(state, (seconds) => editor.spend(seconds));

  /** Open an image, at the slice asked for or the one last looked at. */
  async function open(id, slice) {
    if (id === state.get("caseId")) {
      if (slice !== undefined) stage.goTo(slice);
      return;
    }
    clock.report();
    const patience = setTimeout(() => stage.note(`Opening ${id}. A large image takes a while the first time.`), PATIENCE_MS);
    try {
      if (!(await editor.open(id))) return;
    } catch (error) {
      stage.note("");
      if (!error.away) tellError(error);
      return;
    } finally {
      clearTimeout(patience);
    }
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    stage.open(slice);
    say(`Image ${id}`);
  }

  const caseList = new CaseList(state, open);
  const runs = new Runs(state, tellError, () => outbox.drained());
  const suggestions = new Suggestions(state, front, ({ row, col, column, slice }) => {
    if (slice !== undefined && slice !== null) stage.goTo(slice);
    viewer.reveal(row, col ?? column);
  });
  const does = actions({ open, caseList, editor, stage, contrast, suggestions });
  const pointer = new Pointer(byId("viewer"), viewer, {
    tool: () => state.get("tool"),
    scrolls: () => (state.get("plane")?.slices ?? 1) > 1,
    begin: (place, rest) => tools.begin(place, rest),
    move: (places) => tools.move(places),
    end: () => tools.end(),
    cancel: () => tools.cancel(),
    hover: (place) => stage.hover(place),
    leave: () => stage.hover(null),
    scroll: (steps) => stage.goTo(state.get("slice") + steps),
  });
  does.space = (down) => {
    pointer.space = down;
    byId("viewer").classList.toggle("hand", down);
  };

  toolbar(state, tools, editor);
  palette(state, editor);
  lookPanel(state);
  contrastPanel(state, contrast);
  sliceBar(state, editor, (slice) => stage.goTo(slice));
  topBar(state, { ...does, toggleTheme });
  hints(state, (action) => {
    if (action.case) open(action.case, action.slice);
    else if (action.slice !== undefined) stage.goTo(action.slice);
    if (action.class !== undefined) state.set({ class: action.class });
  });
  exchange(state, { done: () => editor.refresh(), tell: tellError });
  keyboard(state, does, keyCursor(viewer, tools, front));
  const planes = new PlanesView(state, viewer.cache, (slice) => stage.goTo(slice));
  state.on(["hover"], () => state.get("hover") && planes.follow(state.get("hover")), { now: false });

  const left = await outbox.open();
  const asked = decodeURIComponent(location.hash.slice(1));
  const first = dataset.cases.find(({ id }) => id === asked) ?? dataset.cases.find((one) => !one.marked && !one.done) ?? dataset.cases[0];
  if (first) await open(first.id);
  else stage.note("There are no images in this dataset.");
  if (left.length) say(`${left.length} marks of an earlier visit are on their way to the server.`);
  if (dataset.fresh && first) askForClasses(state, { first: true });

  link.listen({
    ops: (news) => {
      editor.receive(news);
      caseList.renew(news.case, news.revision);
    },
    case: (summary) => {
      if (summary.notice) banner.show("notice", { text: summary.notice, close: true });
      if (summary.reload && summary.id === state.get("caseId")) editor.refresh().catch(() => {});
      const cases = state.get("cases");
      const at = cases.findIndex(({ id }) => id === summary.id);
      if (at >= 0) state.set({ cases: cases.with(at, { ...cases[at], ...summary }) });
    },
    dataset: (described) => state.set({ dataset: { ...state.get("dataset"), ...described } }),
    job: (news) => runs.receive(news),
    again: async () => {
      outbox.hurry();
      const fresh = await api.dataset();
      state.set({ dataset: fresh, cases: fresh.cases });
      await editor.refresh();
      runs.load();
    },
  });
  runs.load();
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
}

/** What keys and buttons do. */
function actions({ open, caseList, editor, stage, contrast, suggestions }) {
  const { viewer, tools } = stage;
  let opacity = state.get("marksOpacity");
  return {
    undo: () => editor.undo().kind && state.set({ pairOut: false }),
    redo: () => editor.redo(),
    nextUnmarked() {
      const id = caseList.nextUnmarked();
      if (id) open(id);
      else say("Every image has marks.");
    },
    neighbour(step) {
      const id = caseList.neighbour(step);
      if (id) open(id);
    },
    toggleDone: () => editor.setDone(!state.get("done")),
    nextPlace: () => suggestions.next() || say("No place suggested on this image."),
    togglePlanes: () => state.set({ planesShown: !state.get("planesShown") }),
    toggleMarks() {
      const now = state.get("marksOpacity");
      if (now > 0) opacity = now;
      state.set({ marksOpacity: now > 0 ? 0 : opacity || 0.85 });
    },
    toggleOverlay() {
      const overlay = state.get("overlay");
      if (overlay.run) state.set({ overlay: { ...overlay, shown: !overlay.shown } });
    },
    autoContrast: () => contrast.auto(),
    help: showHelp,
    home: () => viewer.home(),
    zoom: (factor) => viewer.zoomBy(factor),
    widen: (step) => tools.width && tools.setWidth(tools.width + step * (tools.width >= 10 ? 2 : 1)),
    slice: (step) => stage.goTo(state.get("slice") + step),
    chooseClass: (index) => index < classesOf(state).length && state.set({ class: index, pairOut: false }),
    escape() {
      if (tools.live) tools.cancel();
      state.set({ pairOut: false });
    },
    space() {},
  };
}

start().catch((error) => {
  banner.show("start", { text: error.detail?.what ?? error.message, todo: error.locked ? "Open the address that the program printed." : error.detail?.todo ?? "Load the page again.", grave: true });
  throw error;
});
