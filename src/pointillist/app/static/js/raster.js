/**
 * The pixels that a stroke covers, as `pointillist.geometry.strokes.rasterise` draws them: a one-pixel, 8-connected
 * line through the nearest pixels, and for widths above 1 every pixel whose centre is at most half the width away.
 */

const SLACK = 1e-9;
const FAR = 2 ** 25;

/** Rows of pixels, each a list of [first column, last column]. */
export class Coverage {
  rows = new Map();

  constructor(size) {
    [this.height, this.width] = size;
  }

  add(row, left, right) {
    if (row < 0 || row >= this.height) return;
    const first = Math.max(left, 0);
    const last = Math.min(right, this.width - 1);
    if (first > last) return;
    const intervals = this.rows.get(row);
    if (intervals) intervals.push([first, last]);
    else this.rows.set(row, [[first, last]]);
  }

  /** Call `run(row, first, last)` for disjoint runs of pixels. */
  forEach(run) {
    for (const [row, intervals] of this.rows) {
      intervals.sort((a, b) => a[0] - b[0]);
      let [first, last] = intervals[0];
      for (const [left, right] of intervals) {
        if (left > last + 1) {
          run(row, first, last);
          [first, last] = [left, right];
        } else if (right > last) last = right;
      }
      run(row, first, last);
    }
  }
}

/** @param {number[][]} points row, column at pixel centres @param {number} width px @param {number[]} size rows, columns */
export function cover(points, width, size) {
  const coverage = new Coverage(size);
  for (let i = 0; i < points.length; i += 1) {
    if (i === 0 && points.length > 1) continue;
    coverSegment(coverage, points[Math.max(i - 1, 0)], points[i], width, size);
  }
  return coverage;
}

export function coverSegment(coverage, from, to, width, size) {
  thin(coverage, nearest(from, size), nearest(to, size));
  if (width > 1) thick(coverage, from, to, width / 2);
}

/** The whole pixel, halves rounded up; on the far rim of the image, the last one. */
export function nearest(point, size) {
  return [0, 1].map((axis) => {
    const value = Math.min(Math.max(point[axis], -FAR), FAR);
    return Math.floor(value + 0.5) - (value === size[axis] - 0.5 ? 1 : 0);
  });
}

function thin(coverage, start, end) {
  const delta = [end[0] - start[0], end[1] - start[1]];
  const steps = Math.max(Math.abs(delta[0]), Math.abs(delta[1]));
  const length = Math.max(steps, 1);
  for (let step = 0; step <= steps; step += 1) {
    const row = start[0] + Math.floor((2 * step * delta[0] + length) / (2 * length));
    const column = start[1] + Math.floor((2 * step * delta[1] + length) / (2 * length));
    coverage.add(row, column, column);
  }
}

function thick(coverage, start, end, radius) {
  const top = Math.max(Math.ceil(Math.min(start[0], end[0]) - radius - SLACK), 0);
  const bottom = Math.min(Math.floor(Math.max(start[0], end[0]) + radius + SLACK), coverage.height - 1);
  for (let row = top; row <= bottom; row += 1) {
    const [left, right] = interval(start, end, row, radius);
    if (left <= right) coverage.add(row, Math.ceil(left - SLACK), Math.floor(right + SLACK));
  }
}

/** The columns between which a row is within the radius of a segment. */
function interval(start, end, row, radius) {
  let [left, right] = [Infinity, -Infinity];
  for (const centre of [start, end]) {
    const square = radius ** 2 - (row - centre[0]) ** 2;
    if (square < -SLACK) continue;
    const half = Math.sqrt(Math.max(square, 0));
    [left, right] = [Math.min(left, centre[1] - half), Math.max(right, centre[1] + half)];
  }
  const along = [end[0] - start[0], end[1] - start[1]];
  if (along[0] === 0) return [left, right];
  const length = Math.max(Math.hypot(along[0], along[1]), SLACK);
  const across = [(-along[1] * radius) / length, (along[0] * radius) / length];
  for (const sign of [1, -1]) {
    const fraction = (row - start[0] - sign * across[0]) / along[0];
    if (fraction < 0 || fraction > 1) continue;
    const column = start[1] + sign * across[1] + fraction * along[1];
    [left, right] = [Math.min(left, column), Math.max(right, column)];
  }
  return [left, right];
}
