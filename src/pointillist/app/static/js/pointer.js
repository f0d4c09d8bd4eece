/**
 * Mouse, pen and fingers on the image. The first button and the pen use the tool; the middle button, space and the hand
 * pan; two fingers pan and zoom. Once a pen was seen, a single finger pans, so that a resting palm draws nothing.
 */

const SCROLL_STEP = 40; // wheel travel that is one slice, on wheels that roll freely

export class Pointer {
  #fingers = new Map();
  #panning = null;
  #using = null;
  #penSeen = false;
  #travel = 0;
  space = false;

  /**
   * @param {HTMLElement} element
   * @param {object} viewer
   * @param {{begin, move, end, cancel, hover, leave, scroll, tool: () => string}} on
   */
  constructor(element, viewer, on) {
    Object.assign(this, { element, viewer, on });
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", (event) => this.#up(event, true));
    element.addEventListener("pointerleave", () => this.on.leave());
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("auxclick", (event) => event.preventDefault());
  }

  #down(event) {
    if (event.target.closest("button, input, a, #planes")) return;
    event.preventDefault();
    this.viewer.element.parentElement.focus({ preventScroll: true });
    capture(this.element, event.pointerId);
    this.#penSeen ||= event.pointerType === "pen";
    if (event.pointerType === "touch") {
      this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.#fingers.size === 2) {
        if (this.#using) this.on.cancel();
        this.#using = null;
        this.#panning = null;
      }
      if (this.#fingers.size > 1) return;
    }
    const pans = event.button === 1 || event.button === 2 || this.space || this.on.tool() === "pan";
    const palm = event.pointerType === "touch" && this.#penSeen;
    if (pans || palm) this.#panning = { id: event.pointerId, x: event.clientX, y: event.clientY };
    else if (event.button === 0 || event.button === 5) {
      this.#using = event.pointerId;
      this.on.begin(this.#place(event), { eraser: event.button === 5, event });
    }
    this.element.classList.toggle("panning", Boolean(this.#panning));
  }

  #move(event) {
    const finger = this.#fingers.get(event.pointerId);
    if (finger && this.#fingers.size >= 2) {
      this.#pinch(finger, event);
      return;
    }
    if (finger) Object.assign(finger, { x: event.clientX, y: event.clientY });
    if (this.#panning?.id === event.pointerId) {
      this.viewer.panBy(event.clientX - this.#panning.x, event.clientY - this.#panning.y);
      Object.assign(this.#panning, { x: event.clientX, y: event.clientY });
    } else if (this.#using === event.pointerId) {
      const events = event.getCoalescedEvents?.() ?? [];
      this.on.move((events.length ? events : [event]).map((one) => this.#place(one)), event);
    }
    this.on.hover(this.#place(event));
  }

  #up(event, cancelled = false) {
    this.#fingers.delete(event.pointerId);
    if (this.#panning?.id === event.pointerId) this.#panning = null;
    this.element.classList.remove("panning");
    if (this.#using !== event.pointerId) return;
    this.#using = null;
    if (cancelled) this.on.cancel();
    else this.on.end();
  }

  /** One of two fingers moved: its share of the pan, and the change of their distance. */
  #pinch(finger, event) {
    const other = [...this.#fingers.entries()].find(([id]) => id !== event.pointerId)[1];
    const before = Math.hypot(finger.x - other.x, finger.y - other.y);
    const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    this.viewer.panBy((event.clientX - finger.x) / 2, (event.clientY - finger.y) / 2);
    Object.assign(finger, { x: event.clientX, y: event.clientY });
    if (before > 20 && after > 20) {
      this.viewer.zoomBy(after / before, (finger.x + other.x) / 2, (finger.y + other.y) / 2, true);
    }
  }

  #wheel(event) {
    if (event.target.closest("#planes")) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : SCROLL_STEP;
    const travel = (event.deltaY || event.deltaX) * lines;
    if (event.ctrlKey || event.metaKey || !this.on.scrolls()) {
      this.viewer.zoomBy(Math.exp(-Math.max(-120, Math.min(travel, 120)) * (event.ctrlKey ? 0.006 : 0.0025)), event.clientX, event.clientY);
      return;
    }
    this.#travel = Math.sign(travel) === Math.sign(this.#travel) ? this.#travel + travel : travel;
    const steps = Math.trunc(this.#travel / SCROLL_STEP);
    if (steps) this.on.scroll(Math.sign(steps) * Math.min(Math.abs(steps), 3));
    this.#travel -= steps * SCROLL_STEP;
  }

  #place(event) {
    return { ...this.viewer.toImage(event.clientX, event.clientY), x: event.clientX, y: event.clientY };
  }
}

function capture(element, id) {
  try {
    element.setPointerCapture(id);
  } catch {
    // a pointer that was made up by a test has no capture
  }
}
