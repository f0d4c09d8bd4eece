/** The strokes of one case: the replay of its operations. */

export class Marks {
  #strokes = new Map();
  #bySlice = new Map();
  #applied = new Set();

  /** @param {number[]} size rows, columns of a slice @param {(slices: Set<number>) => void} changed */
  constructor(size, changed) {
    this.size = size;
    this.changed = changed;
  }

  /** Start from what the server has. */
  load(strokes) {
    this.#strokes.clear();
    this.#bySlice.clear();
    for (const stroke of strokes) this.#insert(stroke);
  }

  /** Apply operations once each. Returns false where one names a stroke that is not here (ask the server then). */
  apply(ops) {
    const touched = new Set();
    let complete = true;
    for (const op of ops) {
      if (this.#applied.has(op.id)) continue;
      this.#applied.add(op.id);
      if (op.op === "draw") touched.add(this.#insert(op.stroke));
      if (op.op === "remove" || op.op === "restore") {
        for (const id of op.ids) {
          const mark = this.#strokes.get(id);
          if (!mark) complete &&= op.op === "remove";
          else if (mark.removed !== (op.op === "remove")) {
            mark.removed = op.op === "remove";
            touched.add(mark.slice);
          }
        }
      }
    }
    if (touched.size) this.changed(touched);
    return complete;
  }

  /** Marks of a slice in drawing order, removed ones included. */
  in(slice) {
    return this.#bySlice.get(slice) ?? [];
  }

  /** Slices with at least one stroke. */
  slices() {
    return [...this.#bySlice.keys()].filter((slice) => this.in(slice).some((mark) => !mark.removed));
  }

  /** Number of strokes by class, erasers left out. */
  counts() {
    const counts = new Map();
    for (const mark of this.#strokes.values()) {
      if (!mark.removed && mark.class !== null) counts.set(mark.class, (counts.get(mark.class) ?? 0) + 1);
    }
    return counts;
  }

  #insert(stroke) {
    const known = this.#strokes.get(stroke.id);
    if (known) return known.slice;
    const mark = markOf(stroke);
    this.#strokes.set(mark.id, mark);
    const slice = this.#bySlice.get(mark.slice);
    if (slice) slice.push(mark);
    else this.#bySlice.set(mark.slice, [mark]);
    return mark.slice;
  }
}

function markOf(stroke) {
  const rows = stroke.points.map((point) => point[0]);
  const columns = stroke.points.map((point) => point[1]);
  const reach = Math.max(stroke.width_px / 2, 1);
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  const most = (values) => values.reduce((a, b) => Math.max(a, b));
  return {
    id: stroke.id,
    class: stroke.class,
    points: stroke.points,
    width: stroke.width_px,
    slice: stroke.points[0][2] ?? 0,
    removed: false,
    // in pixel corners, where pixel 0 reaches from 0 to 1
    left: least(columns) + 0.5 - reach,
    top: least(rows) + 0.5 - reach,
    right: most(columns) + 0.5 + reach,
    bottom: most(rows) + 0.5 + reach,
    path: null,
    line: null,
  };
}
