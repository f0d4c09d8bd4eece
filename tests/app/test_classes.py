"""Another number of classes changes every label file, or none is taken for another class."""

import json

import numpy as np
import pytest

from pointillist.app import classes, saving
from pointillist.app.classes import colours_of, finish, rename
from pointillist.data.dataset import Dataset
from pointillist.data.marked import read_marked
from pointillist.errors import InputError, LabelError
from pointillist.types import IGNORE
from tests.app.marking import draw, op, pictures
from tests.app.test_saving import append


@pytest.fixture
def dataset(tmp_path):
    base = np.full((12, 20), IGNORE, np.uint8)
    base[11] = 0
    dataset = pictures(tmp_path / "D", 3, base=base)
    append(dataset, draw("a"))
    saving.save(dataset, case="pic0")
    return dataset


def named(*names, colour=None):
    return [{"name": name, "colour": colour} for name in names]


def labels_of(dataset):
    opened = Dataset.open(dataset.root)
    return [opened.sparse_labels(case).array for case in opened.training]


@pytest.mark.parametrize("names", [("nothing", "gland", "tumour", "vessel", "duct"), ("background", "gland")])
def test_what_is_marked_stays(dataset, names):
    before = labels_of(dataset)
    rename(dataset, classes=named(*names))
    opened = Dataset.open(dataset.root)
    assert opened.spec.classes == names
    assert all((one == other).all() for one, other in zip(before, labels_of(dataset), strict=True))
    assert (read_marked(opened, opened.case("pic0")).base[11] == 0).all()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("names", [("background", "gland", "tumour", "vessel"), ("background", "gland")])
@pytest.mark.parametrize("step", range(8))
def test_a_server_killed_over_it_finishes_it_and_nothing_is_misread_before(dataset, monkeypatch, names, step):
    before = labels_of(dataset)
    left = iter([True] * step)

    def dying(function):
        def write(*arguments):
            if not next(left, False):
                raise Killed
            function(*arguments)

        return write

    with monkeypatch.context() as patch:
        patch.setattr(classes, "write_json", dying(classes.write_json))
        patch.setattr(classes, "write_label", dying(classes.write_label))
        try:
            rename(dataset, classes=named(*names))
        except Killed:
            opened = Dataset.open(dataset.root)
            for case, right in zip(opened.training, before, strict=True):
                try:
                    found = opened.sparse_labels(case).array
                except LabelError:
                    continue
                assert (found == right).all()
    finish(dataset.root)
    opened = Dataset.open(dataset.root)
    assert opened.spec.classes == (dataset.spec.classes if step == 0 else names)
    assert all((one == other).all() for one, other in zip(before, labels_of(dataset), strict=True))
    finish(dataset.root)


@pytest.mark.parametrize("undone", [False, True])
def test_a_class_in_use_stays(dataset, undone):
    append(dataset, draw("b", 2, [(5, 5)]), *([op("remove", ids=["b"])] if undone else []))
    saving.save(dataset, case="pic0")
    with pytest.raises(InputError, match=r"(?s)in use.*case pic0.*received: *tumour"):
        rename(dataset, classes=named("background", "gland"))
    assert Dataset.open(dataset.root).spec.classes == dataset.spec.classes


def test_names_and_colours_alone_touch_no_label_file(dataset):
    before = {path: path.stat().st_mtime_ns for path in (dataset.root / "labelsTr").iterdir()}
    rename(dataset, classes=named("nothing", "acinus", "cancer", colour="#123456"))
    opened = Dataset.open(dataset.root)
    assert (opened.spec.classes, colours_of(opened)) == (("nothing", "acinus", "cancer"), ("#123456",) * 3)
    assert {path: path.stat().st_mtime_ns for path in (dataset.root / "labelsTr").iterdir()} == before


@pytest.mark.parametrize("stated", [None, [], {"gland": "red"}, {"gland": "#12345g"}, {"gland": "javascript:"}])
def test_colours_that_are_none_are_passed_over(dataset, stated):
    path = dataset.root / "dataset.json"
    content = json.loads(path.read_bytes())
    content["pointillist"]["colours"] = stated
    path.write_text(json.dumps(content))
    assert colours_of(dataset) == dataset.spec.colours


@pytest.mark.parametrize(
    "body",
    [
        {"classes": [{"name": "one"}]},
        {"classes": [{"name": "a"}, {"name": ""}]},
        {"classes": [{"name": "a"}, {"name": "x" * 101}]},
        {"classes": [{"name": str(n)} for n in range(255)]},
        {"classes": [{"name": "a"}, {"name": "b", "colour": "red; x"}]},
        {"classes": "many"},
        [],
    ],
)
def test_what_is_no_list_of_classes_is_refused(body):
    with pytest.raises(InputError, match="cannot be understood"):
        classes.read_classes(json.dumps(body).encode())


@pytest.mark.parametrize("names", [("a", "a"), ("a", "ignore"), ("a", " ")])
def test_names_that_cannot_be(dataset, names):
    with pytest.raises(InputError):
        rename(dataset, classes=named(*names))
