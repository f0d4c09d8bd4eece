"""Marks drawn with mouse and keys are the strokes that the server has."""

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.geometry.strokes import rasterise
from pointillist.types import IGNORE, Stroke
from tests.browser.conftest import BRIGHT_PIXEL, BRIGHT_VOXEL, grey, write_pictures

RADII = (1, 1.5, 2, 3, 4.5, 9, 20)


@pytest.fixture
def page(hearts_server, open_page):
    return open_page(hearts_server, "heart001_relaxed")


def test_clicks_and_scribbles_undo_and_redo(page):
    before = page.strokes()
    page.keys("p", "3")
    page.click(0.4, 0.5)
    page.keys("s", "2")
    page.drag((0.55, 0.4), (0.6, 0.5), (0.5, 0.6))
    point, scribble = page.new_strokes(before)
    assert (point["class"], len(point["points"]), point["author"]) == (2, 1, "ana")
    assert (scribble["class"], scribble["width_px"]) == (1, 3)
    assert len(scribble["points"]) > 4
    assert {vertex[2] for vertex in scribble["points"]} == {point["points"][0][2]}
    page.keys("z")
    assert page.new_strokes(before) == [point]
    page.keys("Control+z")
    assert page.new_strokes(before) == []
    page.keys("Shift+Z", "Control+y")
    assert page.new_strokes(before) == [point, scribble]


def test_undo_survives_a_reload_and_leaves_older_marks_alone(page):
    before = page.strokes()
    page.keys("p")
    page.click(0.4, 0.5)
    page.saved()
    page.open(page.case)
    page.keys("z", "z", "z")
    assert page.strokes() == before


def test_the_eraser_is_a_stroke_without_a_class(page):
    before = page.strokes()
    page.keys("e")
    page.drag((0.4, 0.4), (0.5, 0.5))
    (eraser,) = page.new_strokes(before)
    assert eraser["class"] is None
    assert eraser["width_px"] == 9


def test_a_pair_is_a_click_inside_and_one_outside(page):
    before = page.strokes()
    page.keys("i", "4")
    page.click(0.5, 0.5)
    assert "outside" in page.tab.inner_text("#tools")
    page.click(0.7, 0.7)
    page.click(0.5, 0.6)
    assert [stroke["class"] for stroke in page.new_strokes(before)] == [3, 0, 3]


def test_brackets_change_the_width_of_a_tool(page):
    before = page.strokes()
    page.keys("s", "]", "]", "p", "[")
    page.click(0.5, 0.5)
    page.keys("s")
    page.drag((0.4, 0.4), (0.5, 0.5))
    assert [stroke["width_px"] for stroke in page.new_strokes(before)] == [2, 5]


def test_slices_have_marks_of_their_own(page):
    before = page.strokes()
    page.keys("p")
    page.click(0.5, 0.5)
    page.keys("ArrowUp")
    page.click(0.5, 0.5)
    page.tab.mouse.move(*page.place(0.5, 0.5))
    page.tab.mouse.wheel(0, 120)
    page.click(0.5, 0.5)
    slices = [stroke["points"][0][2] for stroke in page.new_strokes(before)]
    assert slices[1] == slices[0] + 1
    assert slices[2] != slices[1]


def test_everything_is_marked_without_a_mouse(page):
    before = page.strokes()
    page.tab.locator("#viewer").focus()
    page.keys(
        "2", "p", "k", "Shift+ArrowRight", "ArrowDown", "Enter", "s", "Enter", *["ArrowRight"] * 12, "Enter", "Escape"
    )
    page.keys("ArrowUp")
    point, scribble = page.new_strokes(before)
    assert len(point["points"]) == 1
    ends = np.array(scribble["points"])[:, :2]
    assert np.abs(ends[0] - point["points"][0][:2]).max() == 0
    assert np.abs(ends[-1] - ends[0]).max() == 12
    assert page.tab.locator("#slices output").inner_text().split(" / ")[0] != ""


def test_tab_reaches_every_control(page):
    reached = set()
    for _ in range(60):
        page.keys("Tab")
        reached.add(
            page.tab.evaluate("(e => e.getAttribute('aria-label') || e.textContent || e.id)(document.activeElement)")
        )
    wanted = {
        "Undo",
        "Keys",
        "Images",
        "Scribble",
        "Slice",
        "Name classes",
        "Next unmarked",
        "Zoom in",
        "Width in pixels",
    }
    assert wanted - {text.strip() for text in reached} <= {"Undo"}  # nothing to undo yet


def test_every_control_has_a_name(page):
    nameless = page.tab.evaluate(
        """() => [...document.querySelectorAll("button, input:not([hidden]), select, a[href]")]
        .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent || e.title))
        .map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_the_help_card_opens_and_closes(page):
    page.keys("?")
    assert page.tab.locator("dialog.help").is_visible()
    page.keys("Escape")
    page.tab.locator("dialog.help").wait_for(state="detached")


def test_a_folder_asks_for_its_classes_and_its_images_are_marked_one_after_the_other(serve, open_page, tmp_path):
    pictures = {name: grey(64, 80) for name in ("a", "b", "c")}
    page = open_page(serve(write_pictures(tmp_path / "mine", pictures)))
    assert page.case == "a"
    page.tab.reload()
    dialog = page.tab.locator("dialog")
    dialog.wait_for()
    names = dialog.locator("input[type=text]")
    names.nth(1).fill("nucleus")
    dialog.get_by_text("+ Add a class").click()
    names.nth(2).fill("debris")
    page.keys("Enter")
    page.tab.wait_for_selector("dialog", state="detached")
    assert [text.split("\n")[0] for text in page.tab.locator(".class .name").all_inner_texts()] == [
        "background",
        "nucleus",
        "debris",
    ]
    page.keys("p", "3")
    page.click(0.5, 0.5)
    (stroke,) = page.strokes()
    assert stroke["class"] == 2
    dataset = Dataset.open(next(path.parent for path in tmp_path.rglob("dataset.json")))
    assert dataset.spec.classes[:3] == ("background", "nucleus", "debris")
    page.keys("n")
    page.shows("b")
    page.keys("f")
    page.saved()
    page.tab.wait_for_selector(".done-button[aria-pressed=true]")
    page.keys("n")
    page.shows("c")
    assert "2 of 3 marked" in page.tab.inner_text(".progress")


@pytest.mark.parametrize("zooms", [0, 3, 7])
def test_a_click_on_a_pixel_gives_that_pixel_of_an_image(pictures_server, open_page, zooms):
    page = open_page(pictures_server, "bright")
    (place,) = click_on_the_bright_pixel(page, zooms)["points"]
    assert np.abs(np.array(place) - BRIGHT_PIXEL).max() < 0.25


@pytest.mark.parametrize("zooms", [0, 5])
def test_a_click_on_a_voxel_gives_that_voxel(hearts_server, open_page, zooms):
    page = open_bright_slice(hearts_server, open_page)
    (place,) = click_on_the_bright_pixel(page, zooms)["points"]
    assert place[2] == BRIGHT_VOXEL[2]
    assert np.abs(np.array(place) - BRIGHT_VOXEL).max() < 0.25


def test_a_volume_is_shown_as_radiologists_look_at_it(hearts_server, open_page):
    """Canonical axes run to the patient's right, to the front and up; right is shown left, and the front on top."""
    page = open_bright_slice(hearts_server, open_page)
    x, y = bright_place(page)
    height, width = (page.tab.locator("#viewer").bounding_box()[side] for side in ("height", "width"))
    dataset = Dataset.open(hearts_server.source)
    shape = dataset.image(dataset.training[-1]).array.shape
    left, top = page.place(0, 0)
    scale = min(width / shape[0], height / shape[1])
    assert abs((x - left - width / 2) / scale - (shape[0] / 2 - BRIGHT_VOXEL[0] - 0.5)) < 0.5
    assert abs((y - top - height / 2) / scale - (shape[1] / 2 - BRIGHT_VOXEL[1] - 0.5)) < 0.5


def open_bright_slice(server, open_page):
    page = open_page(server, Dataset.open(server.source).training[-1].id)
    page.keys(*["ArrowDown"] * 20, *["ArrowUp"] * BRIGHT_VOXEL[2])
    page.at_slice(BRIGHT_VOXEL[2] + 1)
    return page


def click_on_the_bright_pixel(page, zooms):
    """Find the only bright pixel on the screen, zoom in on it, click on its middle, and return the stroke."""
    before = page.strokes()
    page.keys("p", "[", "[")
    for _ in range(zooms):
        page.tab.mouse.move(*bright_place(page))
        page.tab.mouse.wheel(0, -120) if page.tab.locator("#slices").is_hidden() else zoom_with_control(page)
    x, y = bright_place(page)
    page.tab.mouse.click(x, y)
    (stroke,) = page.new_strokes(before)
    return stroke


def zoom_with_control(page):
    page.tab.keyboard.down("Control")
    page.tab.mouse.wheel(0, -60)
    page.tab.keyboard.up("Control")


def bright_place(page):
    page.tab.get_by_label("Opacity of the marks").fill("0")
    seen = []
    page.becomes(lambda: (seen.append(light_in(page.picture())), seen[-1].any())[1])
    light = seen[-1]
    box = page.tab.locator("#viewer").bounding_box()
    rows, columns = np.indices(light.shape)
    middle = [(light * axis).sum() / light.sum() + 0.5 for axis in (columns, rows)]
    return box["x"] + middle[0], box["y"] + middle[1]


def light_in(picture):
    light = picture.sum(axis=2).astype(float)
    light[light < 250] = 0
    return light


def test_what_is_drawn_covers_what_the_raster_will(pictures_server, open_page):
    page = open_page(pictures_server, "black")
    page.tab.get_by_label("Opacity of the marks").fill("100")
    page.keys("s", "2", "]", "]")
    page.drag((0.45, 0.3), (0.6, 0.45), (0.42, 0.7), steps=5)
    (stroke,) = page.strokes()
    raster = rasterise([Stroke(1, np.array(stroke["points"]), stroke["width_px"])], (40, 40))
    picture = page.picture()
    scale = min(picture.shape[0], picture.shape[1]) / 40
    left, top = (picture.shape[1] - 40 * scale) / 2, (picture.shape[0] - 40 * scale) / 2
    start = np.round(stroke["points"][0])
    for row, column in np.ndindex(40, 40):
        if np.abs((row, column) - start).max() <= 1:
            continue  # the class's symbol lies there
        colour = picture[round(top + (row + 0.5) * scale), round(left + (column + 0.5) * scale)]
        assert (colour.sum() > 60) == (raster[row, column] != IGNORE), (row, column)


def test_the_page_rasterises_as_the_toolkit_does(page):
    rng = np.random.default_rng(5)
    shape = (48, 37)
    cases = []
    for index in range(200):
        points = rng.uniform(-6, 50, (rng.integers(1, 7), 2)).round(int(rng.integers(0, 3)))
        cases.append({"points": points.tolist(), "width": float(rng.choice(RADII)), "index": index})
    drawn = page.tab.evaluate(
        """async ({cases, shape}) => {
            const {cover} = await import("/static/js/raster.js");
            return cases.map(({points, width}) => {
                const runs = [];
                cover(points, width, shape).forEach((row, first, last) => runs.push([row, first, last]));
                return runs;
            });
        }""",
        {"cases": cases, "shape": shape},
    )
    for case, runs in zip(cases, drawn, strict=True):
        mine = np.zeros(shape, bool)
        for row, first, last in runs:
            assert not mine[row, first : last + 1].any()
            mine[row, first : last + 1] = True
        theirs = rasterise([Stroke(1, np.array(case["points"]), case["width"])], shape) == 1
        np.testing.assert_array_equal(mine, theirs, str(case))
