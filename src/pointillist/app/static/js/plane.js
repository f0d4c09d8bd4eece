/** Which plane of a case is shown, and how it is turned: volumes as radiologists look at them. */

export const TILE = 512;

/** Rows, columns, slices and the shape of a pixel when the slices are counted along `axis`. */
export function planeOf(meta, axis) {
  if (meta.shape.length === 2) {
    const [height, width] = meta.shape;
    return { axis: "-", height, width, slices: 1, aspect: aspectOf(meta.spacing ?? [1, 1]), turned: false };
  }
  const [rows, columns] = [0, 1, 2].filter((a) => a !== axis);
  const spacing = meta.spacing ?? [1, 1, 1];
  return {
    axis,
    height: meta.shape[rows],
    width: meta.shape[columns],
    slices: meta.shape[axis],
    aspect: aspectOf([spacing[rows], spacing[columns]]),
    turned: true,
  };
}

/** Height of a pixel in its widths. */
function aspectOf([row, column]) {
  const aspect = row / column;
  return Number.isFinite(aspect) && aspect > 0 ? aspect : 1;
}

/** The coarsest level: the first on which the whole plane is one tile. */
export function lastLevel({ width, height }) {
  return Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / TILE)));
}

/** What stands at the edges of a turned slice: [left, right, top, bottom]. Axes are closest to right, anterior, superior. */
export function lettersOf(axis) {
  const ends = [["R", "L"], ["A", "P"], ["S", "I"]];
  const [across, up] = [0, 1, 2].filter((a) => a !== axis).map((a) => ends[a]);
  return [across[0], across[1], up[0], up[1]];
}
