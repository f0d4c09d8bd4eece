"""Pen and fingers draw, erase, move and zoom."""

import numpy as np
import pytest

PEN = """({kind, x, y, button, buttons}) => document.getElementById("viewer").dispatchEvent(new PointerEvent(
    kind, {pointerId: 7, pointerType: "pen", clientX: x, clientY: y, button, buttons, bubbles: true}))"""
ERASER = {"button": 5, "buttons": 32}  # the other end of a pen


@pytest.fixture
def page(hearts_server, open_page):
    return open_page(hearts_server, "heart001_relaxed", has_touch=True)


class Finger:
    """Fingers that the browser takes for real ones."""

    def __init__(self, page):
        self.page, self.points = page, {}
        self.session = page.tab.context.new_cdp_session(page.tab)

    def send(self, kind):
        points = [{"id": name, "x": x, "y": y} for name, (x, y) in self.points.items()]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def down(self, name, *place):
        self.points[name] = self.page.place(*place)
        self.send("touchStart")

    def move(self, **places):
        self.points |= {int(name[1:]): self.page.place(*place) for name, place in places.items()}
        self.send("touchMove")

    def up(self):
        self.points.clear()
        self.send("touchEnd")


def pen(page, *places, **buttons):
    kinds = ["pointerdown", *["pointermove"] * (len(places) - 1), "pointerup"]
    for kind, (x, y) in zip(kinds, [page.place(*place) for place in (*places, places[-1])], strict=True):
        page.tab.evaluate(PEN, {"kind": kind, "x": x, "y": y, "button": 0, "buttons": 1} | buttons)


def zoom(page):
    return page.tab.inner_text("#zoom-level")


def test_a_pen_draws_and_its_other_end_erases(page):
    before = page.strokes()
    page.keys("2")
    pen(page, (0.4, 0.4), (0.45, 0.45), (0.5, 0.4))
    pen(page, (0.4, 0.4), (0.42, 0.42), **ERASER)
    drawn, erased = page.new_strokes(before)
    assert (drawn["class"], len(drawn["points"])) == (1, 3)
    assert (erased["class"], erased["width_px"]) == (None, 9)


def test_one_finger_draws_and_a_second_one_takes_the_stroke_back_and_zooms(page):
    before, whole = page.strokes(), zoom(page)
    page.keys("2")
    finger = Finger(page)
    finger.down(0, 0.4, 0.5)
    finger.move(f0=(0.45, 0.5))
    finger.move(f0=(0.5, 0.5))
    finger.up()
    (stroke,) = page.new_strokes(before)
    assert np.ptp(np.array(stroke["points"])[:, 0]) > 5
    finger.down(0, 0.45, 0.5)
    finger.move(f0=(0.44, 0.5))
    finger.down(1, 0.55, 0.5)
    for step in range(1, 6):
        finger.move(f0=(0.45 - 0.02 * step, 0.5), f1=(0.55 + 0.02 * step, 0.5))
    finger.up()
    page.until(f"document.getElementById('zoom-level').textContent !== '{whole}'")
    assert int(zoom(page).split()[0]) > 2 * int(whole.split()[0])
    assert page.new_strokes(before) == [stroke]


def test_a_resting_hand_moves_the_image_and_draws_nothing_once_a_pen_was_used(page):
    first = place_under(page, (0.5, 0.5))
    pen(page, (0.4, 0.4), (0.45, 0.45))
    before = page.strokes()
    finger = Finger(page)
    finger.down(0, 0.5, 0.5)
    finger.move(f0=(0.55, 0.55))
    finger.move(f0=(0.6, 0.6))
    finger.up()
    assert page.new_strokes(before) == []
    assert np.abs(place_under(page, (0.6, 0.6)) - first).max() < 1


def place_under(page, where):
    """The pixel at a place of the viewer, as a click there gives it."""
    before = page.strokes()
    page.keys("p")
    page.click(*where)
    (stroke,) = page.new_strokes(before)
    return np.array(stroke["points"][0])
