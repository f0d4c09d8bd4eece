"""A folder of images becomes a dataset beside it, once, and stays as it is."""

import asyncio
import json
import socket

import numpy as np
import pytest

from pointillist.app.folder import dataset_of
from pointillist.cli.annotate import _listen
from pointillist.cli.main import main
from pointillist.data.dataset import Dataset
from pointillist.errors import DatasetError, InputError
from tests.app.loops import in_a_loop_of_its_own
from tests.app.marking import pictures
from tests.conftest import png


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("first scan.png", "second.png"):
        (tmp_path / "scans").mkdir(exist_ok=True)
        (tmp_path / "scans" / name).write_bytes(png(rng.integers(0, 255, (20, 30), dtype=np.uint8)))
    return tmp_path / "scans"


def test_a_folder_becomes_a_dataset_beside_it_and_stays_as_it_is(folder, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    target, said = dataset_of(folder, None)
    assert (target, said) == (
        folder.with_name("scans-dataset"),
        f"Made a dataset of the images in {folder}, which stays as it is: {target}",
    )
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    dataset = Dataset.open(target)
    assert ([case.id for case in dataset.training], dataset.spec.classes) == (
        ["first_scan", "second"],
        ("background", "object"),
    )
    again, said = dataset_of(folder, None)
    assert again == target
    assert "newer" not in said
    (folder / "third.png").write_bytes((folder / "second.png").read_bytes())
    assert "1 images of the folder are newer than it" in dataset_of(folder, None)[1]
    assert dataset_of(target, None) == (target, "")


def test_the_dataset_may_be_elsewhere(folder, tmp_path):
    target, _ = dataset_of(folder, tmp_path / "far" / "away")
    assert json.loads((tmp_path / "far" / "away" / "dataset.json").read_bytes())["numTraining"] == 2
    assert target == tmp_path / "far" / "away"
    with pytest.raises(DatasetError, match="cannot lie inside"):
        dataset_of(folder, folder / "dataset")


def test_a_folder_that_cannot_become_one_is_named(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no image")
    with pytest.raises(DatasetError, match="cannot become a dataset"):
        dataset_of(tmp_path / "notes", None)
    assert not (tmp_path / "notes-dataset").exists()
    for missing in (tmp_path / "nothing", tmp_path / "notes" / "a.txt"):
        with pytest.raises(InputError, match="nothing to annotate"):
            dataset_of(missing, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "needs a token of your choice"),
        (["--token", "short"], "too short"),
        (["--host", "203.0.113.7", "--token", "x" * 20], "cannot listen"),
    ],
)
def test_what_would_not_be_safe_or_cannot_be_is_refused(tmp_path, capsys, options, message):
    root = pictures(tmp_path / "D").root
    with pytest.raises(SystemExit) as ended:
        main(["annotate", str(root), "--no-browser", *options])
    assert ended.value.code == 1
    assert message in capsys.readouterr().err


def test_small_answers_are_sent_at_once():
    """Without TCP_NODELAY every answer of two parts waits 40 ms for the other side's acknowledgement."""

    async def answering():
        found = asyncio.get_running_loop().create_future()

        def arrived(_, writer):
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with _listen("127.0.0.1", 0) as listening:
            async with await asyncio.start_server(arrived, sock=listening):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                writer.close()
                return await found

    assert in_a_loop_of_its_own(answering())


def test_a_dataset_of_dense_truth_has_no_room_for_marks(tmp_path, capsys):
    root = pictures(tmp_path / "D").root
    content = json.loads((root / "dataset.json").read_bytes())
    del content["labels"]["ignore"]
    (root / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        main(["annotate", str(root), "--no-browser", "--port", "0"])
    assert "no room for marks" in capsys.readouterr().err
