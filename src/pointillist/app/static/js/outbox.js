/**
 * Operations on their way to the server: kept in the browser's database until the server has acknowledged them, sent
 * in order, sent again with the same ids after a failure.
 */

import { keep } from "./keep.js";

const BATCH = { ops: 400, vertices: 40000 }; // well below what the server takes at once
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
const PATIENCE_MS = 5000;

export class Outbox {
  #queue = [];
  #sending = false;
  #timer = null;
  #wait = FIRST_WAIT_MS;

  /**
   * @param {string} dataset which dataset the operations belong to
   * @param {(id: string, ops: object[]) => Promise<object>} post
   * `error` is null where the server has just acknowledged something.
   * @param {(status: {waiting: number, kept: boolean, error?: Error | null, refused?: object}) => void} tell
   */
  constructor(dataset, post, tell) {
    this.dataset = dataset;
    this.post = post;
    this.tell = tell;
    this.kept = true;
  }

  /** Take up what an earlier page left unsent. Returns those entries: `{case, op}`. */
  async open() {
    try {
      this.store = await keep(`pointillist-${this.dataset}`);
      this.#queue = [...(await this.store.all()), ...this.#queue];
    } catch {
      this.kept = false;
    }
    const left = this.#queue.map(({ case: id, op }) => ({ case: id, op }));
    if (left.length) this.#report(); // not all is saved, before the server has had a chance to answer
    this.#send();
    return left;
  }

  add(id, ops) {
    for (const op of ops) {
      const entry = { key: op.id, order: performance.timeOrigin + performance.now(), case: id, op };
      this.#queue.push(entry);
      this.store?.put(entry).catch(() => (this.kept = false));
    }
    this.#report();
    this.#send();
  }

  /** Operations of a case that the server has not acknowledged. */
  waiting(id) {
    return this.#queue.filter((entry) => entry.case === id).map((entry) => entry.op);
  }

  /** Resolves when the server has everything, or after a while in any case: it may be away. */
  async drained() {
    const end = performance.now() + PATIENCE_MS;
    while (this.size && performance.now() < end) await new Promise((go) => setTimeout(go, 20));
  }

  get size() {
    return this.#queue.length;
  }

  /** Try now: the server is back. */
  hurry() {
    this.#wait = FIRST_WAIT_MS;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#send();
  }

  async #send() {
    if (this.#sending || this.#timer || !this.#queue.length) return;
    this.#sending = true;
    const id = this.#queue[0].case;
    const batch = this.#next(id);
    try {
      await this.post(id, batch.map((entry) => entry.op));
      this.#wait = FIRST_WAIT_MS;
      this.#drop(batch);
      this.#report(null);
    } catch (error) {
      if (isFinal(error)) await this.#refuse(id, batch, error);
      else this.#retryLater(error);
    }
    this.#sending = false;
    this.#send();
  }

  /** The first operations of a case, as many as fit into a request. */
  #next(id) {
    const batch = [];
    let vertices = 0;
    for (const entry of this.#queue) {
      vertices += entry.op.stroke?.points.length ?? 0;
      const isFull = batch.length === BATCH.ops || (batch.length && vertices > BATCH.vertices);
      if (entry.case !== id || isFull) break;
      batch.push(entry);
    }
    return batch;
  }

  /** One operation that the server will never take must not hold up the others. */
  async #refuse(id, batch, error) {
    if (batch.length === 1) {
      this.#drop(batch);
      this.#report(null, { case: id, op: batch[0].op, error });
      return;
    }
    for (const entry of batch) {
      try {
        await this.post(id, [entry.op]);
        this.#drop([entry]);
      } catch (single) {
        if (!isFinal(single)) {
          this.#retryLater(single);
          return;
        }
        this.#drop([entry]);
        this.#report(null, { case: id, op: entry.op, error: single });
      }
    }
    this.#report(null);
  }

  #retryLater(error) {
    this.#report(error);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#send();
    }, this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
  }

  #drop(entries) {
    const keys = new Set(entries.map((entry) => entry.key));
    this.#queue = this.#queue.filter((entry) => !keys.has(entry.key));
    this.store?.remove([...keys]).catch(() => {});
  }

  #report(error, refused) {
    this.tell({ waiting: this.#queue.length, kept: this.kept, error, refused });
  }
}

/** Whether trying again cannot help: the request itself is wrong. A server away, locked, full or busy comes back. */
function isFinal(error) {
  return [400, 404, 409, 413, 422].includes(error.status);
}
