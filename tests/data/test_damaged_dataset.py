"""Datasets that other hands have changed: descriptions, folds, marks and links."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pointillist.cli.main import main
from pointillist.data.dataset import Dataset
from pointillist.data.importers.dsb2018 import import_dsb2018
from pointillist.data.importers.folder import FolderOptions, import_folder
from pointillist.errors import DatasetError
from tests.conftest import nuclei, png


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "pictures"
    for seed, name in enumerate(("p1_a", "p1_b", "p2_a")):
        image, masks = nuclei(seed, 32)
        for folder, array in (("images", image[..., :3]), ("labels", masks[0].astype(np.uint8))):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{name}.png").write_bytes(png(np.ascontiguousarray(array)))
    return root


@pytest.fixture
def dataset(pictures, tmp_path):
    import_folder(pictures, tmp_path / "dataset", FolderOptions(group=r"p\d", folds=2))
    return tmp_path / "dataset"


DEEP = "[" * 100_000


def described(**changes):
    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        for key, value in changes.items():
            content[key] = value
        path.write_text(json.dumps(content))

    return change


def text(content: str):
    return lambda path: path.write_bytes(content.encode(errors="surrogateescape"))


DESCRIPTIONS = {
    "empty": text(""),
    "not-json": text("a data set"),
    "not-utf8": text(os.fsdecode(b'{"name": "\xff"}')),
    "deep": text(DEEP),
    "list": text("[]"),
    "cut": lambda path: path.write_text(path.read_text()[:100]),
    "gone": Path.unlink,
    "labels-gap": described(labels={"background": 0, "a": 2, "ignore": 3}),
    "labels-regions": described(labels={"background": 0, "a": [1, 2]}),
    "labels-twice": described(labels={"background": 0, "a": 0, "ignore": 1}),
    "labels-negative": described(labels={"background": -1, "a": 0}),
    "labels-none": described(labels={}),
    "ignore-low": described(labels={"background": 0, "ignore": 1, "a": 2}),
    "ending-path": described(file_ending="../.png"),
    "ending-jpeg": described(file_ending=".jpg"),
    "channels-none": described(channel_names={}),
    "channels-two": described(channel_names={"0": "R", "1": "G"}),
    "channels-same": described(channel_names={"0": "R", "1": "R", "2": "R"}),
    "training-negative": described(numTraining=-1),
    "newer-format": described(pointillist={"format": 2}),
    "groups-number": described(pointillist={"format": 1, "groups": {"p1_a": 5}}),
}
FOLDS = {
    "empty": "",
    "not-json": "folds",
    "not-utf8": os.fsdecode(b"\xff"),
    "deep": DEEP,
    "object": '{"train": []}',
    "no-val": '[{"train": ["p1_a"]}]',
    "numbers": '[{"train": [1], "val": [2]}]',
    "nested": '[{"train": [["p1_a"]], "val": []}]',
    "unknown": '[{"train": ["p1_a"], "val": ["p9"]}]',
    "both-sides": '[{"train": ["p1_a"], "val": ["p1_b"]}]',
    "twice": '[{"train": ["p1_a", "p1_a"], "val": []}]',
}


def checked(dataset, capsys):
    """What ``check`` says about a dataset that must be mended."""
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(dataset)])
    said = capsys.readouterr()
    assert stopped.value.code == 1, said.out
    assert "Traceback" not in said.out + said.err
    return said.out + said.err


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_damaged_description(dataset, capsys, kind):
    DESCRIPTIONS[kind](dataset / "dataset.json")
    assert "error: " in checked(dataset, capsys)


@pytest.mark.parametrize("kind", FOLDS)
def test_damaged_folds(dataset, capsys, kind):
    text(FOLDS[kind])(dataset / "splits_final.json")
    with pytest.raises(DatasetError, match="fold") as refused:
        Dataset.open(dataset).splits()
    assert refused.value.what in checked(dataset, capsys)


def test_links_in_a_dataset(dataset, capsys):
    label, image = dataset / "labelsTr" / "p1_a.png", dataset / "imagesTr" / "p1_a_0000.png"
    for path in (label, image):
        kept = path.rename(path.with_suffix(".kept"))
        for target in ("gone.png", path.name):
            path.symlink_to(target)
            assert "error: " in checked(dataset, capsys)
            path.unlink()
        kept.rename(path)


def test_marks_behind_a_link_to_nowhere_are_not_passed_over(dataset, capsys):
    (dataset / "marks").mkdir(exist_ok=True)
    (dataset / "marks" / "p1_a.json").symlink_to("gone.json")
    assert "a link leads nowhere" in checked(dataset, capsys)


def test_a_group_pattern_with_an_optional_part_names_every_group(pictures, tmp_path):
    import_folder(pictures, tmp_path / "out", FolderOptions(group=r"(p1)?_?[ab]$", folds=0))
    assert all(Dataset.open(tmp_path / "out").groups.values())


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_modality_list_in_any_encoding(dsb_zip, tmp_path, start):
    rows = b"image_id,subset,remark\n" + b"".join(b"id%d,BF,caf\xe9\n" % number for number in range(4))
    (tmp_path / "subsets.csv").write_bytes(start + rows)
    done = import_dsb2018(dsb_zip, tmp_path / "out", subset="BF")
    assert done.training == 8  # four stated, four more by their colour
