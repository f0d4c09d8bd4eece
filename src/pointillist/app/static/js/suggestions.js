/** Where to click next: places on the open image, one after the other. */

import { say } from "./dom.js";

export class Suggestions {
  #at = -1;

  constructor(state, front, go) {
    Object.assign(this, { state, front, go });
    state.on(["suggestions", "caseId"], () => this.#open());
  }

  /** Go to the next place on this image. Returns false if there is none. */
  next() {
    const places = this.front.places;
    if (!places.length) return false;
    this.#at = (this.#at + 1) % places.length;
    places.forEach((place, i) => (place.current = i === this.#at));
    const place = places[this.#at];
    this.go(place);
    say(`Place ${this.#at + 1} of ${places.length}`);
    return true;
  }

  #open() {
    const places = this.state.get("suggestions")?.places?.[this.state.get("caseId")] ?? [];
    this.#at = -1;
    this.front.places = places.map((place) => ({ ...place, current: false }));
    this.front.viewer.redraw();
  }
}
