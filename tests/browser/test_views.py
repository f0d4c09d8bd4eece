"""How images are looked at: contrast, the other planes, hints, and what the page says of images that cannot be read."""

import numpy as np
import pytest

from tests.browser.conftest import grey, write_pictures


@pytest.fixture
def page(hearts_server, open_page):
    return open_page(hearts_server, "heart001_relaxed")


def window(page):
    return [int(value) for value in page.tab.locator("#look-contrast output").all_inner_texts()]


def test_dragging_sets_the_contrast_and_a_key_gives_it_back(page):
    before, light = window(page), page.picture().mean()
    page.keys("w")
    page.drag((0.5, 0.5), (0.3, 0.3))
    page.becomes(lambda: window(page) != before)
    low, high = window(page)
    assert high - low < before[1] - before[0]
    page.becomes(lambda: abs(page.picture().mean() - light) > 10)
    page.keys("a")
    page.becomes(lambda: window(page) == before)
    page.becomes(lambda: abs(page.picture().mean() - light) < 1)


def test_a_click_on_another_plane_goes_to_its_slice(page):
    page.keys(*["ArrowDown"] * 20)
    page.at_slice(1)
    page.keys("l")
    assert page.tab.locator("#planes figcaption").all_inner_texts() == ["Sagittal A ← · S ↑", "Coronal R ← · S ↑"]
    box = page.tab.locator("#planes canvas").first.bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + 2)  # the top is the last slice
    slices = page.tab.inner_text("#slices output").split(" / ")[1]
    page.at_slice(int(slices))
    page.keys("l")
    assert page.tab.locator("#planes").is_hidden()


def test_keys_go_to_the_image_again_after_a_button_was_pressed(page):
    page.keys(*["ArrowDown"] * 20)
    page.at_slice(1)
    page.tab.get_by_role("radio", name="background").click()
    page.keys("ArrowUp")
    page.at_slice(2)
    page.tab.get_by_role("button", name="Full range").click()
    page.keys("ArrowUp")
    page.at_slice(3)


def test_hints_say_what_is_missing_and_choose_the_class(serve, open_page, tmp_path):
    page = open_page(serve(write_pictures(tmp_path / "mine", {"a": grey(64, 80), "b": grey(64, 80)})))
    page.tab.locator("#hints", has_text="Click each structure once").wait_for()
    page.keys("2", "p")
    page.click(0.5, 0.5)
    hint = page.tab.locator(".hint", has_text="Mark background")
    hint.wait_for()
    hint.get_by_role("button", name="Show").click()
    assert page.tab.get_by_role("radio", name="background").get_attribute("aria-checked") == "true"
    page.click(0.7, 0.7)
    page.tab.locator("#hints").wait_for(state="hidden")


def test_an_image_that_cannot_be_read_is_said_and_the_others_go_on(hearts, serve, open_page):
    broken = next((hearts / "imagesTr").glob("heart002_relaxed*"))
    (hearts / "labelsTr" / broken.name.replace("_0000", "")).write_bytes(b"no image")
    page = open_page(serve(hearts), "heart001_relaxed")
    row = page.tab.locator(".case.broken", has_text="cannot be read")
    row.wait_for()
    row.click()
    page.tab.locator("#banner").wait_for()
    page.tab.get_by_role("button", name="Close this message").click()
    before = page.strokes()
    page.keys("p")
    page.click(0.5, 0.5)
    assert len(page.new_strokes(before)) == 1


def test_large_pictures_are_loaded_by_the_tiles_in_sight(pictures_server, open_page):
    page = open_page(pictures_server, "noise")
    asked = []
    page.tab.on("request", lambda request: asked.append(request.url) if "/tiles/" in request.url else None)
    for _ in range(4):
        page.keys("+")
    page.picture()
    corners = {url.split("/tiles/")[1].split("?")[0].split("/", 2)[2] for url in asked}
    assert any(corner.startswith("0/") for corner in corners)
    assert len(corners) < np.prod([-(-n // 512) for n in (1500, 1700)])


def test_an_image_that_takes_long_to_open_says_so(pictures_server, open_page):
    page = open_page(pictures_server, "black")
    waiting = []
    page.tab.route("**/api/cases/bright", lambda route: waiting.append(route))
    page.tab.locator(".case", has_text="bright").click()
    page.tab.locator("#note", has_text="Opening bright").wait_for()
    waiting.pop().continue_()
    page.shows("bright")
    page.tab.locator("#note").wait_for(state="hidden")
