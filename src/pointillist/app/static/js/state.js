/** What the page shows, in one place: `set` changes it, `on` hears of changes. */

export class State {
  #values;
  #listeners = [];

  constructor(values) {
    this.#values = { ...values };
  }

  get(name) {
    return this.#values[name];
  }

  /** Change some values and call whoever listens to one that is now another. */
  set(changes) {
    const changed = Object.keys(changes).filter((name) => this.#values[name] !== changes[name]);
    Object.assign(this.#values, changes);
    const names = new Set(changed);
    if (!changed.length) return;
    for (const { of, run } of [...this.#listeners]) if (of.some((name) => names.has(name))) run(this);
  }

  /** Call `run` now and whenever one of the values changes. */
  on(of, run, { now = true } = {}) {
    this.#listeners.push({ of, run });
    if (now) run(this);
  }
}
