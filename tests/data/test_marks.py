"""Marks come back as they were drawn; a file that is not one of marks is refused by name."""

import json
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointillist.data import marks as module
from pointillist.data.label_health import label_health
from pointillist.data.marks import Marks, raster_hash, read_marks, write_marks
from pointillist.errors import DamagedFileError
from pointillist.geometry.strokes import rasterise
from pointillist.types import IGNORE, Stroke
from tests.data.conftest import cuts

coordinates = st.floats(-1e6, 1e6)
texts = st.none() | st.text(max_size=20)


@st.composite
def drawn(draw):
    axes = draw(st.sampled_from([2, 3]))
    strokes = []
    for _ in range(draw(st.integers(0, 4))):
        points = [[draw(coordinates), draw(coordinates)] for _ in range(draw(st.integers(1, 5)))]
        if axes == 3:
            level = draw(st.integers(-2, 40))
            points = [[*point, level] for point in points]
        width = draw(st.floats(0.01, 100))
        strokes.append(Stroke(draw(st.integers(0, IGNORE)), np.array(points), width, draw(texts), draw(texts)))
    shape = tuple(draw(st.integers(1, 2000)) for _ in range(axes))
    return Marks(tuple(strokes), shape, draw(st.integers(0, 2)) if axes == 3 else None, draw(st.text(max_size=64)))


@given(marks=drawn())
def test_marks_are_read_back_as_they_were_drawn(tmp_path_factory, marks):
    path = tmp_path_factory.getbasetemp() / "marks" / "case.json"
    write_marks(path, "case", marks)
    back = read_marks(path)
    assert back.strokes == marks.strokes
    assert (back.shape, back.slice_axis, back.raster_sha256) == (marks.shape, marks.slice_axis, marks.raster_sha256)


def test_the_file_is_plain_json(tmp_path):
    stroke = Stroke(1, np.array([[2.5, 3]]), 4.0, "Ada")
    write_marks(tmp_path / "m.json", "case", Marks((stroke,), (9, 9), None, "hash"))
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "format": 1,
        "case": "case",
        "shape": [9, 9],
        "slice_axis": None,
        "raster_sha256": "hash",
        "strokes": [{"class": 1, "points": [[2.5, 3.0]], "width_px": 4.0, "author": "Ada"}],
    }


def test_an_eraser_has_no_class_in_the_file_and_comes_back(tmp_path):
    eraser = Stroke(IGNORE, np.array([[2.0, 3.0]]), 5.0)
    write_marks(tmp_path / "m.json", "case", Marks((eraser,), (9, 9), None, "hash"))
    assert json.loads((tmp_path / "m.json").read_text())["strokes"][0]["class"] is None
    assert read_marks(tmp_path / "m.json").strokes == (eraser,)


def test_what_was_erased_contradicts_nothing_and_an_eraser_is_no_unknown_class():
    base = np.full((9, 9), IGNORE, np.uint8)
    base[0] = 1
    strokes = tuple(Stroke(cls, np.array([[0.0, 4.0]])) for cls in (0, IGNORE, 2))
    for drawn, contradictory in ((strokes, 0), (strokes[:1], 1), (strokes[::2], 1)):
        labels = rasterise(drawn, (9, 9), onto=base)
        health = label_health(labels, Marks(drawn, (9, 9), None, ""), base, 3)
        assert (health.contradictory, health.unknown_class) == (contradictory, ())


FLAT = {"format": 1, "case": "c", "shape": [9, 9], "slice_axis": None, "raster_sha256": "", "strokes": []}
DEEP = FLAT | {"shape": [9, 9, 3], "slice_axis": 2}
NESTED = "[" * 100_000 + "]" * 100_000


def stroke(base=FLAT, **fields):
    return base | {"strokes": [{"class": 1, "points": [[1, 2]]} | fields]}


MALFORMED = {
    "format-2": FLAT | {"format": 2},
    "format-text": FLAT | {"format": "1"},
    "no-format": {key: value for key, value in FLAT.items() if key != "format"},
    "no-strokes": {key: value for key, value in FLAT.items() if key != "strokes"},
    "unknown-field": FLAT | {"colour": "red"},
    "unknown-field-of-a-stroke": stroke(pressure=3),
    "no-class": FLAT | {"strokes": [{"points": [[1, 2]]}]},
    "class-minus-one": stroke(**{"class": -1}),
    "class-255": stroke(**{"class": 255}),
    "class-fraction": stroke(**{"class": 1.5}),
    "class-text": stroke(**{"class": "heart"}),
    "no-points": stroke(points=[]),
    "one-coordinate": stroke(points=[[1]]),
    "four-coordinates": stroke(points=[[1, 2, 3, 4]]),
    "text-coordinate": stroke(points=[["a", "b"]]),
    "missing-coordinate": stroke(points=[[1, None]]),
    "wrong-axes-flat": stroke(points=[[1, 2, 0]]),
    "wrong-axes-deep": stroke(DEEP, points=[[1, 2]]),
    "mixed-axes": stroke(points=[[1, 2], [1, 2, 3]]),
    "leaves-its-slice": stroke(DEEP, points=[[1, 2, 0], [1, 2, 1]]),
    "between-slices": stroke(DEEP, points=[[1, 2, 0.5]]),
    "far-away": stroke(points=[[1e300, 0]]),
    "too-far": stroke(points=[[0, -1.1e9]]),
    "width-0": stroke(width_px=0),
    "width-negative": stroke(width_px=-1),
    "width-huge": stroke(width_px=1e300),
    "flat-with-slices": FLAT | {"slice_axis": 0},
    "deep-without-slices": DEEP | {"slice_axis": None},
    "slice-axis-3": DEEP | {"slice_axis": 3},
    "shape-1d": FLAT | {"shape": [9]},
    "shape-4d": FLAT | {"shape": [9, 9, 9, 9]},
    "shape-0": FLAT | {"shape": [9, 0]},
    "shape-negative": FLAT | {"shape": [9, -9]},
    "shape-fraction": FLAT | {"shape": [9, 9.5]},
    "hash-number": FLAT | {"raster_sha256": 5},
    "list": [FLAT],
    "null": None,
    "number": 3,
}
TEXTS = {
    "empty-file": b"",
    "not-json": b"these are marks",
    "not-utf8": b"\xff\xfe\x00",
    "zeros": bytes(400),
    "nan": json.dumps(stroke(points=[[float("nan"), 1]])).encode(),
    "infinity": json.dumps(stroke(points=[[float("inf"), 1]])).encode(),
    "overflow": json.dumps(stroke()).replace("[1, 2]", "[1e999, 2]").encode(),
    "nan-width": json.dumps(stroke(width_px=float("nan"))).encode(),
    "nested": NESTED.encode(),
    "nested-points": json.dumps(stroke()).replace("[[1, 2]]", NESTED).encode(),
}


@pytest.mark.parametrize("kind", [*MALFORMED, *TEXTS])
def test_what_is_not_a_marks_file_is_refused(tmp_path, kind):
    path = tmp_path / "case.json"
    path.write_bytes(TEXTS[kind] if kind in TEXTS else json.dumps(MALFORMED[kind]).encode())
    with pytest.raises(DamagedFileError, match="cannot be understood") as refused:
        read_marks(path)
    assert refused.value.where == str(path)
    assert refused.value.received
    assert len(refused.value.received) < 500
    assert refused.value.todo


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "case.json"
    write_marks(path, "case", Marks((Stroke(1, np.array([[1.0, 2.0, 3.0]])),), (9, 9, 9), 2, "0" * 64))
    for cut in cuts(path.read_bytes().rstrip()):
        path.write_bytes(cut)
        with pytest.raises(DamagedFileError):
            read_marks(path)


def test_a_huge_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "case.json"
    path.write_text(json.dumps(FLAT) + " " * 1000)
    assert read_marks(path).strokes == ()
    monkeypatch.setattr(module, "_MAX_BYTES", 1000)
    with pytest.raises(DamagedFileError, match="cannot be understood") as refused:
        read_marks(path)
    assert "at most 1,000" in refused.value.received


def test_a_missing_file(tmp_path):
    with pytest.raises(DamagedFileError, match="no such file"):
        read_marks(tmp_path / "case.json")


@pytest.mark.parametrize("far", [1e9, -1e9, 12345.6])
@pytest.mark.parametrize("width", [1e-9, 1.0, 1e9])
def test_the_wildest_marks_that_are_read_can_be_drawn(tmp_path, far, width):
    path = tmp_path / "case.json"
    path.write_text(json.dumps(stroke(points=[[1, 2], [far, far / 3], [far, -far]], width_px=width)))
    health = label_health(np.full((9, 9), IGNORE, np.uint8), read_marks(path), None, 2)
    assert health.unknown_class == ()


class TestHash:
    base = np.array([[0, 1], [IGNORE, 2]], np.uint8)

    def test_it_is_of_values_and_shape(self):
        changed = self.base.copy()
        changed[0, 0] = 1
        others = [changed, self.base.T, self.base.reshape(1, 4), self.base.reshape(2, 2, 1)]
        assert len({raster_hash(other) for other in [self.base, *others]}) == 5

    def test_it_does_not_depend_on_memory_order(self):
        assert raster_hash(np.asfortranarray(self.base)) == raster_hash(self.base.copy())

    def test_it_is_sha256(self):
        digest = raster_hash(self.base)
        assert len(digest) == 64
        assert set(digest) <= set(string.hexdigits)
