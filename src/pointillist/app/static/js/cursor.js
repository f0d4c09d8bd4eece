/** A cursor on the image that the keyboard moves: everything can be marked without a mouse. */

import { say } from "./dom.js";

export function keyCursor(viewer, tools, front) {
  const leave = () => {
    if (tools.live) tools.cancel();
    front.cursor = null;
    viewer.redraw();
  };
  const place = () => {
    const { x, y } = viewer.toClient(front.cursor.row, front.cursor.column);
    return { ...front.cursor, x, y };
  };
  return {
    get active() {
      return front.cursor !== null;
    },
    toggle() {
      if (front.cursor) {
        leave();
        return;
      }
      const box = viewer.element.getBoundingClientRect();
      const middle = viewer.toImage(box.left + box.width / 2, box.top + box.height / 2);
      front.cursor = bounded(viewer, Math.round(middle.row), Math.round(middle.column));
      viewer.element.parentElement.focus();
      say(`Cursor at row ${front.cursor.row}, column ${front.cursor.column}. Arrow keys move it, Enter marks.`);
      viewer.redraw();
    },
    /** Move by steps on the screen, whichever way the image is turned. */
    move(right, down) {
      const { a, b, c, d } = viewer.affine();
      const along = Math.abs(a) >= Math.abs(b);
      const columns = along ? Math.sign(a) * right : Math.sign(b) * down;
      const rows = along ? Math.sign(d) * down : Math.sign(c) * right;
      front.cursor = bounded(viewer, front.cursor.row + rows, front.cursor.column + columns);
      viewer.reveal(front.cursor.row, front.cursor.column);
      if (tools.live && !tools.live.ended && !tools.live.single) tools.move([place()]);
      say(`Row ${front.cursor.row}, column ${front.cursor.column}`);
      viewer.redraw();
    },
    /** Mark a point; or begin a scribble, and end it. */
    press() {
      if (tools.live && !tools.live.ended) {
        tools.end();
        say("Scribble drawn");
        return;
      }
      tools.begin(place());
      if (tools.live?.single) {
        tools.end();
        say("Point drawn");
      } else if (tools.live) say("Scribble begun, Enter ends it");
    },
    leave,
  };
}

function bounded(viewer, row, column) {
  const { height, width } = viewer.plane;
  return { row: Math.min(Math.max(row, 0), height - 1), column: Math.min(Math.max(column, 0), width - 1) };
}
