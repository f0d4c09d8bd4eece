"""From logs to label files, whatever was killed or changed in between."""

import json

import numpy as np
import pytest

from pointillist.app import saving
from pointillist.app.log import LogFile, new_log, read_log
from pointillist.app.places import log_path, read_saved, saved_path
from pointillist.app.state import CaseState
from pointillist.data.dataset import Dataset
from pointillist.data.marked import Marked, read_marked, write_marked
from pointillist.data.writers import write_label
from pointillist.errors import DamagedFileError
from pointillist.types import IGNORE, Stroke
from tests.app.marking import batch, draw, op, pictures


@pytest.fixture
def dataset(tmp_path):
    return pictures(tmp_path / "D")


def append(dataset, *ops, case="pic0"):
    path = log_path(dataset.root, case)
    if not path.exists():
        marks = dataset.read_marks(dataset.case(case))
        new_log(path, CaseState.from_strokes(() if marks is None else marks.strokes))
    log = LogFile(path)
    log.append(batch(*ops).ops)
    log.close()
    return path


def now(dataset, case="pic0"):
    opened = Dataset.open(dataset.root)
    return read_marked(opened, opened.case(case)), opened.sparse_labels(opened.case(case)).array


def test_what_was_drawn_undone_and_erased_is_in_the_files(dataset):
    append(dataset, draw("a"), draw("b", 2, [(5, 5)], 3.0), draw("c", None, [(2, 5)]), draw("d", 0, [(9, 9)]))
    append(dataset, op("remove", ids=["b", "d", "never-drawn"]), op("restore", ids=["d"]), op("spent", seconds=2.5))
    found = saving.save(dataset, case="pic0")["summary"]
    marked, labels = now(dataset)
    assert [stroke.cls for stroke in marked.strokes] == [1, IGNORE, 0]
    assert labels[2, 2:9].tolist() == [1, 1, 1, IGNORE, 1, 1, 1]
    assert labels[5, 5] == IGNORE
    assert labels[9, 9] == 0
    assert json.loads(dataset.case("pic0").marks.read_bytes())["strokes"][1]["class"] is None
    assert (found["strokes"], found["seconds"], found["marked"], found["shape"]) == (3, 2.5, True, [12, 20])
    assert list(found["health"]["marked"]) == [1, 6, 0]
    assert found["health"]["contradictory"] == 0


def test_an_operation_counts_once_however_often_it_is_sent(dataset):
    twice = draw("a")
    path = append(dataset, twice, op("spent", seconds=1), twice)
    assert (read_log(path).revision, len(read_log(path).strokes)) == (2, 1)


def test_a_restored_stroke_comes_back_to_its_place(dataset):
    path = append(dataset, draw("a"), draw("b"), op("remove", ids=["a"]), draw("c"), op("restore", ids=["a"]))
    assert [json.loads(kept.data)["id"] for kept in read_log(path).active] == ["a", "b", "c"]


def test_what_a_killed_server_left_of_a_line_is_cut(dataset):
    path = append(dataset, draw("a"))
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(read_log(path).strokes) == []
    append(dataset, draw("b"))
    assert list(read_log(path).strokes) == ["b"]


@pytest.mark.parametrize("line", [b"{}", b"\x00\x00", b'{"op":"draw","id":"x"}', b"[" * 5000])
def test_a_damaged_line_is_named(dataset, line):
    path = append(dataset, draw("a"))
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DamagedFileError, match=r"damaged\s+where: .*pic0.jsonl, line 3"):
        read_log(path)
    path.write_bytes(line + b"\n")
    with pytest.raises(DamagedFileError, match="line 1"):
        read_log(path)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(5))
def test_killed_while_saving_the_next_start_completes_it(dataset, monkeypatch, step):
    append(dataset, draw("a"))
    saving.save(dataset, case="pic0")
    append(dataset, draw("b", 2, [(7, 7)]))
    written = []

    def dying(function):
        def write(*arguments, **options):
            if len(written) == step:
                raise Killed
            written.append(arguments[0])
            return function(*arguments, **options)

        return write

    with monkeypatch.context() as patch:
        patch.setattr(saving, "write_json", dying(saving.write_json))
        patch.setattr("pointillist.data.marked.write_marks", dying(write_marks()))
        patch.setattr("pointillist.data.marked.write_label", dying(write_label))
        if step < 4:
            with pytest.raises(Killed):
                saving.save(dataset, case="pic0")
    assert "changed" not in saving.save(dataset, case="pic0")
    marked, labels = now(dataset)
    assert marked.base is None
    assert (labels[2, 2], labels[7, 7]) == (1, 2)
    assert read_saved(dataset.root, "pic0").revision == 2


def write_marks():
    from pointillist.data.marks import write_marks

    return write_marks


def test_saving_again_writes_nothing(dataset):
    append(dataset, draw("a"))
    saving.save(dataset, case="pic0")
    before = dataset.case("pic0").marks.stat().st_mtime_ns
    saving.save(dataset, case="pic0")
    assert dataset.case("pic0").marks.stat().st_mtime_ns == before


def test_labels_edited_elsewhere_become_the_base_and_strokes_stay(dataset):
    case = dataset.case("pic0")
    append(dataset, draw("a"))
    saving.save(dataset, case="pic0")
    labels = dataset.sparse_labels(case)
    edited = np.full((12, 20), 3, np.uint8)
    edited[9] = 2
    write_label(case.sparse, edited, labels.grid)
    append(dataset, draw("b", 1, [(7, 7)]))
    assert saving.save(dataset, case="pic0")["edited"]
    marked, labels = now(dataset)
    assert (marked.base[9] == 2).all()
    assert (labels[2, 2], labels[7, 7], labels[9, 9]) == (1, 1, 2)


def test_marks_changed_elsewhere_are_the_new_start_and_unsaved_strokes_stay(dataset):
    case = dataset.case("pic0")
    path = append(dataset, draw("a"), draw("b", 2, [(7, 7)]))
    saving.save(dataset, case="pic0")
    append(dataset, op("remove", ids=["b"]), draw("c", 0, [(0, 0)]), op("spent", seconds=3))
    marked = read_marked(dataset, case)
    theirs = (*marked.strokes, Stroke(1, [[11, 11]], author="QuPath"))
    write_marked(dataset, case, Marked(marked.image, None, theirs))
    assert saving.save(dataset, case="pic0") == {"changed": True}
    assert saving.adopt(dataset, case="pic0") == {"archived": "pic0.1.jsonl"}
    state = read_log(path)
    assert [name for name, kept in state.strokes.items() if kept.active] == ["a", "f0", "c"]
    assert (state.seconds, state.revision) == (3, 5)
    saving.save(dataset, case="pic0")
    assert now(dataset)[0].strokes == (theirs[0], theirs[2], Stroke(0, [[0, 0]]))
    old = (path.parent / "old" / "pic0.1.jsonl").read_text().splitlines()
    assert [json.loads(line)["op"] for line in old[1:]] == ["draw", "draw", "remove", "draw", "spent"]
    assert saving.adopt(dataset, case="pic0") == {"archived": None}


def test_undo_goes_on_after_another_program_was_there(dataset):
    case = dataset.case("pic0")
    path = append(dataset, draw("a"), draw("b", 2, [(7, 7)]), op("remove", ids=["b"]))
    saving.save(dataset, case="pic0")
    write_marked(dataset, case, Marked(read_marked(dataset, case).image, None, (Stroke(1, [[3, 3]]),)))
    saving.adopt(dataset, case="pic0")
    append(dataset, op("restore", ids=["b"]))
    saving.save(dataset, case="pic0")
    assert sorted(stroke.cls for stroke in now(dataset)[0].strokes) == [1, 2]
    assert "a" not in read_log(path).strokes


def test_a_dataset_whose_marks_came_as_a_raster_keeps_it_under_the_strokes(tmp_path):
    base = np.full((12, 20), IGNORE, np.uint8)
    base[2] = 2
    dataset = pictures(tmp_path / "D", base=base)
    append(dataset, draw("a", 1, [(2, 3)]), draw("b", None, [(2, 4)]))
    found = saving.save(dataset, case="pic0")["summary"]
    marked, labels = now(dataset)
    assert (marked.base == base).all()
    assert labels[2, :6].tolist() == [2, 2, 2, 1, IGNORE, 2]
    assert found["base_slices"] == [0]
    assert found["health"]["contradictory"] == 1


def test_what_is_saved_may_be_forgotten(dataset):
    path = append(dataset, draw("a"))
    saving.save(dataset, case="pic0")
    saved_path(dataset.root, "pic0").write_text("nonsense")
    assert read_saved(dataset.root, "pic0") is None
    assert "changed" in saving.save(dataset, case="pic0")  # its strokes are neither the start's nor said to be saved
    saving.adopt(dataset, case="pic0")
    saving.save(dataset, case="pic0")
    assert len(now(dataset)[0].strokes) == 1
    assert [name for name, kept in read_log(path).strokes.items() if kept.active] == ["a"]


def test_a_look_through_the_cases_says_what_is_wrong_with_one(dataset):
    dataset.case("pic1").sparse.write_bytes(b"no image")
    append(dataset, draw("a"), op("done", value=True))
    good, bad = saving.scan(dataset, cases=["pic0", "pic1"])
    assert (good["strokes"], good["done"], good["marked"]) == (1, True, False)
    assert bad["error"]["what"] == "the image cannot be decoded"
