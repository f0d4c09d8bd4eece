/** What the user sees of the way to the server: saved, waiting, away, full. */

import { isLocked } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { listen } from "./events.js";

const PATIENCE_MS = 1200; // a hiccup this short is not worth a word

export function connection(state, banner) {
  const saved = byId("saved");
  let patience;
  state.on(["waiting", "online"], () => {
    const waiting = state.get("waiting");
    const text = !state.get("online") ? `Offline${waiting ? `, ${waiting} kept here` : ""}` : waiting ? "Saving…" : "All saved";
    saved.className = !state.get("online") ? "away" : waiting ? "busy" : "";
    if (saved.textContent !== text) fill(saved, h("span", { class: "dot", "aria-hidden": "true" }), text);
  });

  let locked = false;
  const lock = () => {
    locked = true;
    forget();
    banner.show("locked", { text: "The server was started anew.", todo: "Open the address that it printed; this page then goes on by itself.", grave: true });
  };
  const forget = () => {
    clearTimeout(patience);
    patience = null;
    banner.clear("away");
  };
  const away = async () => {
    state.set({ online: false });
    if (locked) return;
    const shut = await isLocked();
    if (state.get("online")) return;
    if (shut) {
      lock();
      return;
    }
    patience ??= setTimeout(() => banner.show("away", {
      text: "The server does not answer.",
      todo: "Marks stay in this browser and are saved as soon as it is back.",
      grave: true,
    }), PATIENCE_MS);
  };
  const back = () => {
    locked = false;
    forget();
    state.set({ online: true });
    banner.clear("locked");
  };

  return {
    /** News of the outbox. */
    report({ waiting, kept, error, refused }) {
      state.set({ waiting });
      if (!kept) banner.show("kept", { text: "This browser keeps no data:", todo: "leave the page open until all marks are saved.", close: true });
      if (refused) banner.show("refused", { text: `A mark was not taken: ${refused.error.detail.what}.`, todo: refused.error.detail.todo, close: true });
      if (error === undefined) return;
      if (error === null) {
        banner.clear("saving");
        back();
      } else if (error.away) away();
      else if (error.locked) lock();
      else banner.show("saving", { text: `Marks cannot be saved: ${error.detail.what}.`, todo: `${error.detail.todo ?? ""} They stay in this browser until then.`.trim(), grave: true });
    },

    listen({ again, ...handlers }) {
      let wasOpen = false;
      listen(state.get("dataset").seen, {
        ...handlers,
        problem: (problem) => problem.what ? banner.show("problem", { text: problem.what, todo: problem.todo, close: true }) : banner.clear("problem"),
        reset: () => again().catch(() => {}),
        open: () => {
          back();
          if (wasOpen) again().catch(() => {});
          wasOpen = true;
        },
        away,
      });
    },
  };
}
