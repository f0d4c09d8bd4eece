"""The whole story through the real page: from a folder of pictures to a model that is corrected and trained on."""

import json

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.readers import read_label
from tests.browser.conftest import write_pictures
from tests.browser.loop import card, lies_over_the_image, lies_over_the_image_if_found, train, wait_for

SIDE, RADIUS = 64, 14
INSIDE, OUTSIDE = (0.5, 0.5), [(0.3, 0.1), (0.5, 0.08), (0.7, 0.12)]


@pytest.fixture
def cells(tmp_path):
    """One bright cell in the middle of every picture."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((SIDE, SIDE)) - SIDE / 2
    cell = 120 * (rows**2 + columns**2 < RADIUS**2)
    pictures = {f"cell{index}": (cell + rng.integers(20, 70, (SIDE, SIDE))).astype(np.uint8) for index in range(4)}
    return write_pictures(tmp_path / "cells", pictures)


def test_from_a_folder_of_pictures_to_a_model_that_is_corrected(cells, serve, open_page):
    page = open_page(serve(cells))
    name_the_class(page, "cell")
    mark(page)
    page.keys("z", "z")
    assert page.strokes() == []
    page.keys("Shift+Z", "Shift+Z")
    assert [stroke["class"] for stroke in page.strokes()] == [1, 0]
    page.keys("n")
    page.shows("cell1")
    mark(page)
    page.saved()

    train(page, "pce", 0.1)
    root = cells.with_name("cells-dataset")
    runs = cells.with_name("cells-dataset-runs")
    wait_for(page, "001-pce")
    page.tab.get_by_role("button", name="001-pce", exact=True).click()
    page.tab.locator(".run .chart").first.wait_for()
    found = read_label(runs / "001-pce" / "predictions" / f"{page.case}.png").array
    page.becomes(lambda: lies_over_the_image_if_found(page, found))
    page.becomes(lambda: lies_over_the_image(page, "Uncertainty"))
    page.tab.get_by_role("button", name="Suggest", exact=True).click()
    page.tab.locator(".case", has_text="score").first.wait_for()

    page.keys("1", "s")
    page.drag((0.4, 0.9), (0.6, 0.9))
    page.tab.get_by_role("button", name="Train on").click()  # at once: what was drawn just now is learned from
    wait_for(page, "002-pce")
    places = card(page, "002-pce").get_by_role("button", name="Suggest", pressed=True)
    places.wait_for()  # they are those of the new run
    assert read_label(Dataset.open(root).case("cell1").sparse).array[int(0.9 * SIDE), SIDE // 2] == 0
    assert json.loads((runs / "002-pce" / "run.json").read_text())["plan"]["init"] == str(runs / "001-pce")
    card(page, "001-pce").get_by_role("button", name="Compare").click()
    page.tab.locator("[data-what=difference][aria-pressed=true]").wait_for()
    for case in ("cell0", "cell3"):  # the predictions of images with and without marks
        assert read_label(runs / "002-pce" / "predictions" / f"{case}.png").array.shape == (SIDE, SIDE)


def name_the_class(page, name):
    page.tab.reload()
    dialog = page.tab.locator("dialog")
    dialog.locator("input[type=text]").nth(1).fill(name)
    page.keys("Enter")
    dialog.wait_for(state="detached")
    assert name in page.tab.inner_text("#palette")


def mark(page):
    page.keys("2", "p")
    page.click(*INSIDE)
    page.keys("1", "s")
    page.drag(*OUTSIDE)
