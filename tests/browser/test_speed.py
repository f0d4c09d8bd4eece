"""Fast enough to forget that there is a browser. Bounds are generous: the machine may be busy; figures are printed."""

import numpy as np

from tests.app.marking import many
from tests.browser.conftest import SHOWN

STROKES = 10_000
FRAMES = """() => { const frames = window.frameTimes = []; window.counting = true;
    const count = time => { frames.push(time); if (window.counting) requestAnimationFrame(count); };
    requestAnimationFrame(count); }"""


def test_ten_thousand_strokes_still_pan(pictures_server, open_page):
    page = open_page(pictures_server, "noise")
    add_strokes(page, (1500, 1700))
    page.open("noise")
    page.keys("h")
    for zoom in ("0", "+", "+"):
        page.keys(zoom)
        page.picture()  # once nothing moves
        page.tab.evaluate(FRAMES)
        page.tab.mouse.move(*page.place(0.5, 0.5))
        page.tab.mouse.down()
        for angle in np.linspace(0, 12, 90):
            page.tab.mouse.move(*page.place(0.5 + 0.2 * np.sin(angle), 0.5 + 0.2 * np.sin(1.7 * angle)))
        page.tab.mouse.up()
        times = np.diff(page.tab.evaluate("() => { window.counting = false; return window.frameTimes; }"))
        rate = 1000 / times.mean()
        late = np.quantile(times, 0.95)
        print(f"{STROKES} strokes: {rate:.0f} frames/s, median {np.median(times):.1f} ms, 95th {late:.0f} ms")
        assert rate > 15


def add_strokes(page, shape):
    rng = np.random.default_rng(1)
    for batch in range(STROKES // 500):
        ops = []
        for index in range(500):
            name = f"q{batch}-{index}"
            start, turn = (
                rng.uniform((0, 0), shape),
                rng.normal(0, 0.4, rng.choice([1, 8, 20])).cumsum() + rng.uniform(0, 6),
            )
            points = start + np.cumsum(np.stack([np.sin(turn), np.cos(turn)], axis=1) * 3, axis=0)
            points = np.clip(points, 0, np.array(shape) - 1).round(2).tolist()
            stroke = {
                "id": name,
                "class": int(index % 2),
                "points": points,
                "width_px": 3,
                "time": None,
                "author": "test",
            }
            ops.append({"op": "draw", "id": f"o{name}", "stroke": stroke})
        answer = page.tab.request.post(f"{page.server.address}/api/cases/{page.case}/ops", data={"ops": ops})
        assert answer.ok, answer.text()


def test_slices_change_at_once(hearts_server, open_page):
    page = open_page(hearts_server, "heart001_relaxed")
    times = []
    for index in range(12):
        page.picture()  # once nothing moves, and the slices ahead are there
        page.keys("ArrowUp" if index // 2 % 2 else "ArrowDown")
        page.until(SHOWN)
        asked, shown = (
            page.tab.evaluate(f"performance.getEntriesByName('slice {name}').at(-1).startTime")
            for name in ("asked", "shown")
        )
        times.append(shown - asked)
    print(f"slice change: median {np.median(times):.0f} ms, largest {max(times):.0f} ms")
    assert np.median(times) < 200


def test_thousands_of_images_open_at_once(serve, open_page, tmp_path):
    page = open_page(serve(many(tmp_path / "many", 2000, (16, 16))))
    ready = page.tab.evaluate("performance.getEntriesByName('ready')[0].startTime")
    rows = page.tab.locator(".case").count()
    print(f"page of 2,000 images ready after {ready:.0f} ms, {rows} rows")
    assert ready < 10_000
    assert rows < 60
    page.tab.fill("#search", "pic1999")
    page.tab.locator(".case", has_text="pic1999").click()
    page.shows("pic1999")
