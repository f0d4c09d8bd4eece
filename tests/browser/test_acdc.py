"""The whole story on real hearts: mark slices of ACDC as an expert would, train, look, correct, train on."""

import json
import shutil

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from pointillist.cli.main import main
from pointillist.data.dataset import Dataset
from pointillist.data.readers import read_label
from tests.browser.loop import card, lies_over_the_image, lies_over_the_image_if_found, train, wait_for

PATIENTS = ("patient081", "patient082")
CLASSES = (1, 2, 3)  # RV, myocardium, LV


@pytest.fixture(scope="module")
def acdc(real_data):
    return real_data / "acdc"


@pytest.fixture
def hearts(acdc, tmp_path):
    """Images alone, as the command line imports them: there is nothing to see of truth or scribbles."""
    for image in (image for patient in PATIENTS for image in (acdc / patient).glob("*_frame??.nii.gz")):
        (tmp_path / "acdc" / image.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(image, tmp_path / "acdc" / image.parent.name)
    root = tmp_path / "hearts"
    with pytest.raises(SystemExit) as ended:
        main(["import", "acdc", str(tmp_path / "acdc"), str(root)])
    assert ended.value.code == 0
    return root


class Expert:
    """Knows the truth of a case and marks its page, which shows the whole slice."""

    def __init__(self, page, acdc):
        self.page = page
        self.truth = read_label(acdc / page.case.split("_")[0] / f"{page.case}_gt.nii.gz").array
        areas = [
            min((self.truth[..., number] == cls).sum() for cls in CLASSES) for number in range(self.truth.shape[2])
        ]
        self.slice = int(np.argmax(areas))
        page.keys(*["ArrowDown"] * self.truth.shape[2], *["ArrowUp"] * self.slice)
        page.at_slice(self.slice + 1)

    def share(self, pixel):
        """A pixel as shares of the viewer: right is shown left, and the front on top."""
        box = self.page.tab.locator("#viewer").bounding_box()
        size, sides = np.array(self.truth.shape[:2]), np.array([box["width"], box["height"]])
        return tuple(0.5 - (np.array(pixel) + 0.5 - size / 2) * (sides / size).min() / sides)

    def middle(self, cls):
        depth = distance_transform_edt(self.truth[..., self.slice] == cls)
        return np.unravel_index(depth.argmax(), depth.shape)

    def click(self, cls):
        self.page.keys(str(cls + 1), "p")
        self.page.click(*self.share(self.middle(cls)))

    def scribble_around(self):
        """Background on three sides of the heart."""
        places = np.argwhere(self.truth[..., self.slice] > 0)
        (top, left), (bottom, right) = places.min(axis=0) - 8, places.max(axis=0) + 8
        self.page.keys("1", "s")
        self.page.drag(*map(self.share, [(top, left), (bottom, left), (bottom, right), (top, right)]))


def test_slices_of_hearts_are_marked_learned_and_corrected(hearts, acdc, serve, open_page):
    page = open_page(serve(hearts))
    for case in ("patient081_frame01", "patient082_frame01"):
        page.open(case)
        expert = Expert(page, acdc)
        for cls in CLASSES:
            expert.click(cls)
        expert.scribble_around()
        page.keys("z", "z")
        assert [stroke["class"] for stroke in page.strokes()] == [1, 2]
        page.keys("Shift+Z", "Shift+Z")
        strokes = page.strokes()
        assert [stroke["class"] for stroke in strokes] == [1, 2, 3, 0]
        for stroke in strokes:  # they lie where the expert put them, in the files too
            pixels = np.round(stroke["points"]).astype(int)
            assert (expert.truth[tuple(pixels.T)] == stroke["class"]).all()

    train(page, "pce", 0.2)
    wait_for(page, "001-pce")
    dataset = Dataset.open(hearts)
    marked = dataset.sparse_labels(dataset.case(page.case)).array
    assert set(np.unique(expert.truth[marked == 3])) == {3}
    runs = hearts.with_name("hearts-runs")
    found = read_label(runs / "001-pce" / "predictions" / f"{page.case}.nii.gz").array[..., expert.slice]
    page.becomes(lambda: lies_over_the_image_if_found(page, found))
    page.becomes(lambda: lies_over_the_image(page, "Uncertainty"))
    card(page, "001-pce").get_by_role("button", name="Suggest").click()
    page.tab.locator(".case", has_text="score").first.wait_for()
    page.keys("j")

    page.keys(*["ArrowDown"] * expert.truth.shape[2], *["ArrowUp"] * expert.slice)
    page.at_slice(expert.slice + 1)
    expert.click(3)
    card(page, "001-pce").get_by_role("button", name="Train on").click()
    wait_for(page, "002-pce")
    assert json.loads((runs / "002-pce" / "run.json").read_text())["plan"]["init"] == str(runs / "001-pce")
    for case in dataset.training:
        found = read_label(runs / "002-pce" / "predictions" / f"{case.id}.nii.gz")
        assert found.grid.shape == dataset.image(case).grid.shape
        assert found.grid.spacing_mm == pytest.approx(dataset.image(case).grid.spacing_mm)
