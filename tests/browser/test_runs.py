"""The panels of the loop, against answers as the server gives them; training itself is tested elsewhere."""

import json
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.browser.loop import card
from tests.conftest import png

RUN = {
    "id": "001-pce", "method": "pce", "settings": {}, "minutes": 2.0, "init": None, "state": "done", "stage": None,
    "step": 600, "steps": 600, "seconds_left": None, "predicted": True, "error": None,
}  # fmt: skip
CURVES = {
    "losses": {"pce": [[step, 2 / (1 + step / 50)] for step in range(0, 600, 10)], "crf": [[0, 40], [590, 20]]},
    "validation": [[300, 0.5], [600, 0.7]],
}
WEIGHT = {"name": "weight", "kind": "float", "default": 0.5, "low": 0, "high": 1, "choices": [], "text": "of the term."}
METHODS = {
    "pce": {"summary": "Cross-entropy on marks.", "settings": {}},
    "auto": {"summary": "Chooses.", "settings": {"weight": WEIGHT}},
}

NAMED = {"Content-Disposition": 'attachment; filename="hearts.zip"'}


class Loop:
    """Answers for /api/runs, /api/methods and /api/suggestions; wishes are kept."""

    def __init__(self, page, *runs):
        self.page, self.runs, self.wishes, self.asked = page, list(runs), [], []
        self.other = page.tab.locator(".case .name").nth(2).inner_text()
        page.tab.route(re.compile("/api/(runs|methods|suggestions)"), self.answer)
        page.open(page.case)

    def answer(self, route):
        request = route.request
        path = request.url.split("/api/")[1].split("?")[0]
        if path == "methods":
            return self.give(route, METHODS)
        if path == "suggestions":
            self.give(route, self.suggestions())
            return self.asked.append(request.url.split("?")[1])
        if "/overlay/" in path:
            return route.fulfill(content_type="image/png", body=self.tile(request.url))
        if request.method == "POST" and path == "runs":
            self.wishes.append(request.post_data_json)
            self.runs.append(
                RUN
                | {
                    "id": f"00{len(self.runs) + 1}-auto",
                    "state": "running",
                    "predicted": False,
                    "step": 150,
                    "seconds_left": 75,
                }
            )
            return self.give(route, self.runs[-1])
        if request.method == "POST":
            self.wishes.append(path)
            return self.give(route, {"id": path})
        found = [run for run in self.runs if path == f"runs/{run['id']}"]
        return self.give(route, found[0] | CURVES if found else self.runs)

    def give(self, route, value):
        route.fulfill(content_type="application/json", body=json.dumps(value))

    def tile(self, url):
        pixels = np.zeros((60, 60, 4), np.uint8)
        pixels[..., :] = (0, 255, 0, 255) if "what=classes" in url else (255, 0, 0, 255)
        return png(pixels)

    def suggestions(self):
        places = [
            {"row": 30, "col": 40, "slice": 0, "score": 0.9, "class": 1},
            {"row": 60, "col": 50, "slice": 1, "score": 0.5, "class": 2},
        ]
        return {
            "definition": "…",
            "cases": [{"id": self.other, "score": 0.8}, {"id": self.page.case, "score": 0.4}],
            "places": {self.page.case: places},
        }


@pytest.fixture
def page(hearts_server, open_page):
    return open_page(hearts_server, "heart001_relaxed")


def test_a_run_is_started_with_method_minutes_and_settings(page):
    loop = Loop(page)
    form = page.tab.locator("form.train")
    assert form.locator("select").input_value() == "auto"
    form.get_by_label("Minutes").fill("5")
    form.locator("summary").click()
    form.get_by_label("weight").fill("0.25")
    form.get_by_role("button", name="Train").click()
    page.tab.locator(".run", has_text="1:15 left").wait_for()
    assert loop.wishes == [{"method": "auto", "minutes": 5, "settings": {"weight": 0.25}}]
    page.tab.get_by_label("Stop 001-auto").click()
    page.becomes(lambda: loop.wishes[-1] == "runs/001-auto/stop")


def test_curves_of_a_run(page):
    Loop(page, RUN)
    page.tab.get_by_role("button", name="001-pce", exact=True).click()
    page.tab.locator(".chart").first.wait_for()
    names = [chart.get_attribute("aria-label") for chart in page.tab.locator(".chart").all()]
    assert names == [
        "Loss: pce from 2 to 0.156",
        "Loss: crf from 40 to 20",
        "Validation: marks held out from 0.5 to 0.7",
    ]


def test_a_prediction_lies_over_the_image_and_is_compared(page):
    Loop(page, RUN, RUN | {"id": "002-auto"})
    greenness = lambda: (page.picture()[300:400, 300:400] @ (-1, 2, -1)).mean()  # noqa: E731
    before = greenness()
    page.keys("o")
    page.becomes(lambda: greenness() > before + 50)
    page.keys("o")
    page.becomes(lambda: abs(greenness() - before) < 5)
    page.tab.locator(".run", has_text="001-pce").get_by_role("button", name="Compare").click()
    page.becomes(lambda: greenness() < before - 20)
    assert page.tab.locator("[data-what=difference]").get_attribute("aria-pressed") == "true"


def test_a_prediction_lies_over_the_image_that_is_opened_next(page):
    Loop(page, RUN)
    before = page.picture()[300:400, 300:400] @ (-1, 2, -1)
    page.keys("o", "PageDown")
    page.becomes(lambda: (page.picture()[300:400, 300:400] @ (-1, 2, -1)).mean() > before.mean() + 50)


def test_training_goes_on_from_the_last_weights(page):
    loop = Loop(page, RUN)
    page.tab.get_by_role("button", name="Train on").click()
    page.becomes(lambda: loop.wishes)
    assert loop.wishes == [{"method": "pce", "settings": {}, "minutes": 2, "init": "001-pce"}]


def test_suggestions_rank_images_and_name_places(page):
    Loop(page, RUN)
    first = page.tab.locator(".case .name").first.inner_text()
    page.tab.get_by_role("button", name="Suggest", exact=True).click()
    page.tab.locator(".case", has_text="score 0.80").wait_for()
    assert page.tab.locator(".case").count() == 2
    page.keys("j")
    assert page.tab.inner_text("#slices output").startswith("1 /")
    page.keys("j")
    assert page.tab.inner_text("#slices output").startswith("2 /")
    page.tab.get_by_role("button", name="Suggest", exact=True).click()
    page.tab.locator(".case .name", has_text=first).first.wait_for()


def test_marks_are_looked_at_before_they_come_in(page):
    picture = np.zeros((8, 8, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    asked = []

    def answer(route):
        asked.append("dry_run=true" in route.request.url)
        found = {
            "cases": [page.case],
            "points": 3,
            "lines": 0,
            "areas": 1,
            "label_images": 0,
            "notes": ["1 detection left out"],
            "pictures": [{"case": page.case, "slice": 1, "image": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}],
        }
        route.fulfill(content_type="application/json", body=json.dumps(found))

    page.tab.route("**/api/import**", answer)
    page.tab.get_by_label("Marks in and out").first.click()
    with page.tab.expect_file_chooser() as chooser:
        page.tab.get_by_text("Bring marks in…").click()
    chooser.value.set_files({"name": "marks.geojson", "mimeType": "application/json", "buffer": b"{}"})
    dialog = page.tab.locator("dialog")
    dialog.get_by_text("3 points, 1 areas on 1 image.").wait_for()
    assert dialog.locator("img").count() == 1
    dialog.get_by_role("button", name="Bring in").click()
    dialog.wait_for(state="detached")
    assert asked == [True, False]


def test_marks_and_segmentations_go_out_in_kinds_that_fit(page):
    Loop(page, RUN)
    page.tab.route("**/segmentations?as=nifti", lambda route: route.fulfill(body=b"PK", headers=NAMED))
    menu = page.tab.locator("#marks-menu")
    page.tab.get_by_label("Marks in and out").first.click()
    assert [item for item in menu.inner_text().split("\n") if item] == [
        "Bring marks in…",
        "Take marks out",
        "ITK-SNAP (NIfTI)",
        "3D Slicer (NRRD)",
        "napari (CSV)",
        "Segmentations of 001-pce",
        "NIfTI",
    ]
    with page.tab.expect_download() as download:
        menu.get_by_role("button", name="NIfTI", exact=True).click()
    assert download.value.suggested_filename == "hearts.zip"
    page.tab.route("**/api/export?**", lambda route: route.fulfill(status=422, json={"error": {"what": "no marks"}}))
    page.tab.get_by_label("Marks in and out").first.click()
    menu.get_by_role("button", name="napari (CSV)").click()
    page.tab.locator("#banner", has_text="No marks.").wait_for()


def test_two_runs_that_are_compared_suggest_together(page):
    loop = Loop(page, RUN, RUN | {"id": "002-auto"})
    card(page, "001-pce").get_by_role("button", name="Suggest").click()
    page.becomes(lambda: loop.asked == ["run=001-pce"])
    card(page, "001-pce").get_by_role("button", name="Compare").click()
    page.becomes(lambda: loop.asked == ["run=001-pce", "run=001-pce&other=002-auto"])


def test_a_run_named_on_the_command_line_is_shown_first(page):
    def named(route):
        route.fulfill(json=route.fetch().json() | {"run": "001-pce"})

    page.tab.route("**/api/dataset", named)
    Loop(page, RUN, RUN | {"id": "002-auto"})
    for run, shown in (("001-pce", "true"), ("002-auto", "false")):
        show = card(page, run).get_by_role("button", name="Show")
        show.wait_for()
        assert show.get_attribute("aria-pressed") == shown


def test_a_run_of_the_command_line_is_predicted(page):
    loop = Loop(page, RUN | {"predicted": False})
    card(page, "001-pce").get_by_role("button", name="Predict").click()
    page.becomes(lambda: loop.wishes == ["runs/001-pce/resume"])
