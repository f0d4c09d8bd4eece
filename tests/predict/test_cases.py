from __future__ import annotations

import numpy as np
import pytest

from pointillist.data.phantoms import make_phantoms
from pointillist.data.split import group_folds
from pointillist.data.writers import write_json
from pointillist.errors import DatasetError, GeometryError, InputError
from pointillist.predict.cases import find_cases, read_case
from tests.conftest import save_nifti


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def ids(*inputs, channels=1, **options):
    return [case.id for case in find_cases(inputs, channels, **options)]


@pytest.fixture(scope="module")
def hearts(tmp_path_factory):
    root = make_phantoms(tmp_path_factory.mktemp("phantoms") / "hearts", training=3, testing=1, seed=0)
    groups = {f"heart00{n}_{frame}": f"heart00{n}" for n in (1, 2, 3) for frame in ("relaxed", "contracted")}
    write_json(root / "splits_final.json", [vars(split) for split in group_folds(groups, 3, 0)])
    return root


def test_files_and_folders_become_cases_in_order(tmp_path):
    folder = touch(tmp_path / "scans", "b.nii.gz", "a.png", ".hidden.png", "notes.txt", "C.TIF")
    (folder / "deeper.png").mkdir()
    one = touch(tmp_path, "one.jpg") / "one.jpg"
    assert ids(one, folder) == ["C", "a", "b", "one"]


def test_numbers_of_channels_belong_to_the_channel(tmp_path):
    folder = touch(tmp_path / "imagesTs", "p1_0000.nii.gz", "p1_0001.nii.gz", "p2_0000.nii.gz", "p2_0001.nii.gz")
    cases = find_cases([folder], 2)
    assert [case.id for case in cases] == ["p1", "p2"]
    assert [path.name for path in cases[0].files] == ["p1_0000.nii.gz", "p1_0001.nii.gz"]
    assert ids(*sorted(folder.iterdir()), channels=2) == ["p1", "p2"], "files named one by one"
    assert ids(touch(tmp_path / "single", "x_0000.png", "y_0000.png")) == ["x", "y"]


@pytest.mark.parametrize(
    "names", [("frame_0001.png", "frame_0002.png"), ("a_0000.png", "b.png"), ("0000.png",), ("a_00.png", "a_01.png")]
)
def test_other_numbers_belong_to_the_name(tmp_path, names):
    assert ids(touch(tmp_path / "frames", *names)) == sorted(name.removesuffix(".png") for name in names)


def test_frames_of_a_film_are_not_channels(tmp_path):
    folder = touch(tmp_path / "film", "f_0000.png", "f_0001.png", "f_0002.png")
    assert ids(folder) == ["f_0000", "f_0001", "f_0002"]


def test_a_missing_channel_is_named(tmp_path):
    folder = touch(tmp_path / "scans", "p1_0000.nii.gz", "p1_0001.nii.gz", "p2_0000.nii.gz")
    with pytest.raises(InputError, match="several channels"):
        find_cases([folder], 2)


@pytest.mark.parametrize("names", [(), ("notes.txt",)])
def test_a_folder_without_images_is_named(tmp_path, names):
    with pytest.raises(InputError, match="no image"):
        find_cases([touch(tmp_path / "empty", *names)], 1)


def test_an_input_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be found") as caught:
        find_cases([touch(tmp_path / "a", "x.png"), tmp_path / "b.png"], 1)
    assert caught.value.where == str(tmp_path / "b.png")


def test_two_inputs_of_one_name_are_refused_before_any_work(tmp_path):
    touch(tmp_path / "a", "x.png"), touch(tmp_path / "b", "x.tif")
    with pytest.raises(InputError, match="under one name"):
        find_cases([tmp_path / "a", tmp_path / "b"], 1)


def test_the_same_file_named_twice_is_one_case(tmp_path):
    folder = touch(tmp_path / "a", "x.png")
    assert ids(folder, folder / "x.png") == ["x"]


def test_of_a_dataset_the_held_out_images_are_taken(hearts):
    assert ids(hearts) == ["heart004_contracted", "heart004_relaxed"]


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_a_fold_gives_its_held_out_cases(hearts, fold):
    import json

    expected = json.loads((hearts / "splits_final.json").read_text())[fold - 1]["val"]
    cases = find_cases([hearts], 1, fold=fold)
    assert [case.id for case in cases] == sorted(expected)
    assert all(path.parent.name == "imagesTr" for case in cases for path in case.files)


@pytest.mark.parametrize("fold", [0, 4])
def test_a_fold_that_is_not_there_is_named(hearts, fold):
    with pytest.raises(InputError, match="no such fold") as caught:
        find_cases([hearts], 1, fold=fold)
    assert caught.value.expected == "1 … 3"


def test_only_datasets_have_folds(tmp_path):
    with pytest.raises(InputError, match="only a dataset has folds"):
        find_cases([touch(tmp_path / "scans", "a.png")], 1, fold=1)


def test_a_dataset_that_holds_nothing_out_says_so(tmp_path):
    root = make_phantoms(tmp_path / "hearts", training=1, testing=0, seed=0)
    with pytest.raises(InputError, match="holds out no images"):
        find_cases([root], 1)
    assert ids(root / "imagesTr") == ["heart001_contracted", "heart001_relaxed"]


def test_a_damaged_dataset_is_named(tmp_path):
    touch(tmp_path / "imagesTr", "a_0000.png")
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DatasetError):
        find_cases([tmp_path], 1)


def test_channels_are_stacked_on_one_grid(tmp_path):
    arrays = [np.random.default_rng(seed).integers(0, 99, (8, 9, 2)).astype(np.int16) for seed in (0, 1)]
    for number, array in enumerate(arrays):
        save_nifti(tmp_path / f"p_000{number}.nii.gz", array)
    (case,) = find_cases([tmp_path], 2)
    image = read_case(case).image()
    assert image.channels == 2
    assert image.array.shape == (8, 9, 2, 2)
    save_nifti(tmp_path / "p_0001.nii.gz", arrays[1][:4])
    with pytest.raises(GeometryError, match="different shapes"):
        read_case(case).image()
