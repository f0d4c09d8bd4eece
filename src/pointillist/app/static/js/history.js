/** Undo and redo of what this tab did to one case. Survives a reload; other tabs' strokes are theirs to undo. */

import { newId } from "./ids.js";

export class History {
  #undo = [];
  #redo = [];

  /** @param {string} key where the tab keeps it @param {(ops: object[]) => void} submit @param {() => void} changed */
  constructor(key, submit, changed) {
    this.key = key;
    this.submit = submit;
    this.changed = changed;
    this.#undo = JSON.parse(sessionStorage.getItem(key) ?? "[]");
  }

  get canUndo() {
    return this.#undo.length > 0;
  }

  get canRedo() {
    return this.#redo.length > 0;
  }

  /** Do an action: `{kind: "draw", strokes}` or `{kind: "done", value}`. */
  perform(action) {
    this.submit(forwards(action));
    this.#undo.push(action.kind === "draw" ? { kind: "draw", ids: action.strokes.map((stroke) => stroke.id) } : action);
    this.#redo = [];
    this.#keep();
  }

  undo() {
    const action = this.#undo.pop();
    if (!action) return null;
    this.submit(backwards(action));
    this.#redo.push(action);
    this.#keep();
    return action;
  }

  redo() {
    const action = this.#redo.pop();
    if (!action) return null;
    this.submit(again(action));
    this.#undo.push(action);
    this.#keep();
    return action;
  }

  #keep() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify(this.#undo.slice(-5000)));
    } catch {
      // a full store costs undo after a reload, nothing else
    }
    this.changed();
  }
}

const op = (kind, rest) => ({ op: kind, id: newId("o"), ...rest });

function forwards(action) {
  if (action.kind === "draw") return action.strokes.map((stroke) => op("draw", { stroke }));
  return again(action);
}

function again(action) {
  if (action.kind === "done") return [op("done", { value: action.value })];
  return [op("restore", { ids: action.ids })];
}

function backwards(action) {
  if (action.kind === "done") return [op("done", { value: !action.value })];
  return [op("remove", { ids: action.ids })];
}
