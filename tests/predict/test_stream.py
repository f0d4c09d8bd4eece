from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import SimpleITK
import torch
from PIL import Image as Pillow

from pointillist.data.image import same_grid
from pointillist.data.phantoms import make_phantoms
from pointillist.data.readers import read_image, read_label
from pointillist.errors import DatasetError, InputError
from pointillist.evaluate.evaluation import evaluate_folder
from pointillist.evaluate.protocol import Protocol
from pointillist.predict.cases import find_cases
from pointillist.predict.predictor import Predictor
from pointillist.predict.stream import MANIFEST, Output, predict_stream
from tests.conftest import nuclei, save_nifti
from tests.predict.nets import ByBrightness, decided_unet, described


def predictor(**changes):
    return Predictor(ByBrightness(4), described(**({"sha256": "a" * 64} | changes)), precision="fp32")


def predict(inputs, out, model=None, **output):
    model = model or predictor()
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return list(predict_stream(model, find_cases(inputs, len(model.description.channels)), out, Output(**output)))


def statuses(outcomes):
    return {outcome.case: outcome.status for outcome in outcomes}


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


@pytest.fixture
def scans(tmp_path):
    """Five small volumes."""
    folder = tmp_path / "scans"
    for seed in range(5):
        save_nifti(folder / f"s{seed}.nii.gz", np.random.default_rng(seed).integers(0, 900, (20, 24, 3)).astype("i2"))
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(4):
        Pillow.fromarray(nuclei(seed, size=40 + seed)[0][..., :3].copy()).save(folder / f"n{seed}.png")
    return folder


ORDERS = [(0, 1, 2), (2, 1, 0), (1, 2, 0)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flip", [False, True])
def test_a_prediction_lies_on_the_grid_of_its_image(tmp_path, order, flip):
    import nibabel as nib

    spacing = np.array([1.25, 1.5, 7.0])
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * spacing * (-1 if flip else 1)
    affine[:3, 3] = (-30, 12.5, 4)
    array = np.random.default_rng(0).integers(0, 500, (21, 26, 4)).astype(np.int16)
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "in" / "case.nii.gz")
    predict(tmp_path / "in", tmp_path / "out", probabilities=True, uncertainty=True)
    source = read_image(tmp_path / "in" / "case.nii.gz")
    for path in (tmp_path / "out" / "case.nii.gz", tmp_path / "out" / "uncertainty" / "case.nii.gz"):
        assert same_grid(source, read_image(path)) == ()
        ours, theirs = (SimpleITK.ReadImage(str(p)) for p in (path, tmp_path / "in" / "case.nii.gz"))
        assert ours.GetSize() == theirs.GetSize()
        np.testing.assert_allclose(ours.GetSpacing(), theirs.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-5)
    labels = np.asarray(nib.load(tmp_path / "out" / "case.nii.gz").dataobj)
    with np.load(tmp_path / "out" / "probabilities" / "case.npz") as stored:
        assert stored["probabilities"].dtype == np.float16
        assert (stored["probabilities"].argmax(0) == labels).mean() > 0.99, "in the order of the file"
        assert stored["classes"].tolist() == ["background", "RV", "Myo", "LV"]


def test_a_contradictory_header_comes_out_consistent(tmp_path):
    save_nifti(tmp_path / "in" / "a.nii.gz", np.arange(20 * 20 * 3, dtype="i2").reshape(20, 20, 3), unit_columns=True)
    (outcome,) = predict(tmp_path / "in", tmp_path / "out")
    assert outcome.notes[0].startswith("unit-columns")
    written = read_label(tmp_path / "out" / "a.nii.gz")
    assert written.notes == ()
    assert written.grid.spacing_mm == pytest.approx((1.5, 1.5, 8))


@pytest.mark.parametrize(("kind", "ending"), [(None, ".png"), ("png", ".png"), ("tiff", ".tif")])
def test_flat_images_become_flat_labels(pictures, tmp_path, kind, ending):
    model = predictor(channels=("R", "G", "B"), normalisation="unit", grid="bilinear")
    outcomes = predict(pictures, tmp_path / "out", model, kind=kind, probabilities=True, uncertainty=True)
    assert outcomes[1].files == ("probabilities/n1.npz", "uncertainty/n1.tif", f"n1{ending}")
    labels, uncertainty = (read_image(tmp_path / "out" / name).array for name in outcomes[1].files[:0:-1])
    with np.load(tmp_path / "out" / "probabilities" / "n1.npz") as stored:
        assert (stored["probabilities"].argmax(0) == labels).mean() > 0.99
    assert labels.shape == uncertainty.shape == (41, 41)
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    assert uncertainty.dtype == np.float32
    assert uncertainty.max() <= 1


def test_a_kind_that_cannot_hold_the_image_fails_by_name(scans, pictures, tmp_path):
    (volume, *_) = predict(scans, tmp_path / "a", kind="png")
    (image, *_) = predict(pictures, tmp_path / "b", predictor(channels=("R", "G", "B")), kind="nifti")
    for outcome in (volume, image):
        assert outcome.status == "failed"
        assert "cannot be written as this kind" in outcome.error
    assert not list((tmp_path / "a").glob("*.png"))


def test_evaluate_reads_predictions_and_names_their_classes(tmp_path):
    hearts = make_phantoms(tmp_path / "hearts", training=1, testing=1, seed=0)
    predict(hearts, tmp_path / "out", probabilities=True, uncertainty=True)
    reference = shutil.copytree(hearts / "labelsTs", tmp_path / "truth")
    found = evaluate_folder(tmp_path / "out", reference, Protocol())
    assert {row.cls for row in found.rows} == {"RV", "Myo", "LV"}
    assert len({row.case for row in found.rows}) == 2
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"] == {
        "background": 0, "RV": 1, "Myo": 2, "LV": 3,
    }  # fmt: skip


def test_a_file_that_fails_leaves_the_rest_alone(scans, tmp_path):
    path = scans / "s1.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    (scans / "s3.nii.gz").unlink()
    Pillow.fromarray(np.zeros((9, 9, 3), np.uint8)).save(scans / "s3.png")
    outcomes = predict(scans, tmp_path / "out")
    assert statuses(outcomes) == {
        "s0": "predicted", "s1": "failed", "s2": "predicted", "s3": "failed", "s4": "predicted",
    }  # fmt: skip
    assert str(path) in outcomes[1].error
    assert "another number of channels" in outcomes[3].error
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == ["s0.nii.gz", "s2.nii.gz", "s4.nii.gz"]


def test_streamed_is_as_single(scans, tmp_path):
    predict(scans, tmp_path / "all")
    for path in sorted(scans.iterdir()):
        predict(path, tmp_path / "one")
    assert contents(tmp_path / "all").keys() == contents(tmp_path / "one").keys()
    for name, data in contents(tmp_path / "all").items():
        assert name == "dataset.json" or contents(tmp_path / "one")[name] == data


def test_a_second_run_keeps_what_is_finished(scans, tmp_path):
    model = predictor()
    predict(scans, tmp_path / "out", model)
    before, calls = contents(tmp_path / "out"), len(model._forward._net.calls)
    assert set(statuses(predict(scans, tmp_path / "out", model)).values()) == {"kept"}
    assert contents(tmp_path / "out") == before
    assert len(model._forward._net.calls) == calls


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(scans, tmp_path):
    predict(scans, tmp_path / "whole")
    cases = find_cases([scans], 1)
    for outcome in predict_stream(predictor(), cases, tmp_path / "cut"):
        if outcome.case == "s2":
            break
    with (tmp_path / "cut" / MANIFEST).open("a") as file:
        file.write('{"event": "predicted", "case": "s3", "inp')  # a killed process leaves half a line
    rest = predict(scans, tmp_path / "cut")
    assert [outcome.status for outcome in rest] == ["kept"] * 3 + ["predicted"] * 2
    whole, cut = (contents(tmp_path / name) for name in ("whole", "cut"))
    whole.pop("dataset.json"), cut.pop("dataset.json")
    assert whole == cut


def test_what_changed_is_predicted_anew(scans, tmp_path):
    out = tmp_path / "out"
    predict(scans, out)
    save_nifti(scans / "s1.nii.gz", np.random.default_rng(77).integers(0, 900, (20, 24, 3)).astype("i2"))
    (out / "s2.nii.gz").write_bytes(b"damaged")
    (out / "s3.nii.gz").unlink()
    assert [outcome.status for outcome in predict(scans, out)] == [
        "kept", "predicted", "predicted", "predicted", "kept",
    ]  # fmt: skip
    assert set(statuses(predict(scans, out, predictor(sha256="b" * 64))).values()) == {"predicted"}
    assert set(statuses(predict(scans, out, predictor(sha256="b" * 64), uncertainty=True)).values()) == {"predicted"}


def test_no_prediction_of_an_older_image_is_left_behind(scans, pictures, tmp_path):
    out = tmp_path / "out"
    predict(scans, out)
    (scans / "s1.nii.gz").write_bytes(b"damaged")
    predict(scans, out)
    assert not (out / "s1.nii.gz").exists()
    model, flat = predictor(channels=("R", "G", "B")), tmp_path / "flat"
    predict(pictures, flat, model, kind="png")
    predict(pictures, flat, model, kind="tiff")
    assert not list(flat.glob("*.png")), "evaluate would find two files of one case"


def test_a_manifest_cannot_reach_out_of_the_folder(scans, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("keep me")
    predict(scans, tmp_path / "out")
    manifest = tmp_path / "out" / MANIFEST
    with manifest.open("a") as file:
        file.write(json.dumps({"event": "predicted", "case": "s0", "outputs": {"../precious.txt": "0"}}) + "\n")
    predict(scans, tmp_path / "out")
    assert precious.exists()


def test_predictions_do_not_lie_among_their_images(pictures):
    before = contents(pictures)
    with pytest.raises(InputError, match="among the images"):
        predict(pictures, pictures, predictor(channels=("R", "G", "B")))
    assert contents(pictures) == before


def test_a_dataset_and_other_classes_are_not_overwritten(scans, tmp_path):
    hearts = make_phantoms(tmp_path / "hearts", training=1, testing=0, seed=0)
    before = contents(hearts)
    with pytest.raises(DatasetError, match="holds a dataset"):
        predict(scans, hearts)
    assert contents(hearts) == before
    predict(scans, tmp_path / "out")
    with pytest.raises(DatasetError, match="other classes"):
        predict(scans, tmp_path / "out", predictor(classes=("background", "Myo", "RV", "LV")))


def test_a_full_disk_stops_and_leaves_nothing_half_written(scans, tmp_path, monkeypatch):
    import pointillist.data.writers as writers

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    stream = predict_stream(predictor(), find_cases([scans], 1), tmp_path / "out")
    next(stream)
    monkeypatch.setattr(writers, "atomic_write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        next(stream)
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["s0.nii.gz"]


def test_truth_is_never_opened(tmp_path):
    hearts = make_phantoms(tmp_path / "hearts", training=2, testing=1, seed=0)
    names = [f"heart00{n}_{frame}" for n in (1, 2) for frame in ("contracted", "relaxed")]
    (hearts / "splits_final.json").write_text(json.dumps([{"train": names[:2], "val": names[2:]}]))
    for folder in ("denseTr", "labelsTr", "labelsTs", "marks"):
        for path in (hearts / folder).iterdir():
            path.write_bytes(b"whoever reads this fails")
    outcomes = list(predict_stream(predictor(), find_cases([hearts], 1, fold=1), tmp_path / "fold"))
    outcomes += predict(hearts, tmp_path / "testing")
    assert len(outcomes) == 4
    assert {outcome.status for outcome in outcomes} == {"predicted"}


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    def peak(count):
        folder = tmp_path / f"{count}"
        for seed in range(count):
            save_nifti(
                folder / f"s{seed}.nii.gz", np.random.default_rng(seed).integers(0, 9, (48, 48, 20)).astype("i2")
            )
        cases = find_cases([folder], 1)
        tracemalloc.start()
        for _ in predict_stream(predictor(), cases, folder / "out", Output(probabilities=True)):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)  # what is imported and compiled on first use
    one_volume = 48 * 48 * 20 * 8
    assert peak(16) - peak(4) < one_volume / 4


def test_no_tensor_outlives_its_case(scans, tmp_path):
    import gc

    model, counts = predictor(), []
    for _ in predict_stream(model, find_cases([scans], 1), tmp_path / "out"):
        gc.collect()
        counts.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))
    assert len(set(counts)) == 1


def test_a_real_network_streams_the_same_whatever_the_batch(tmp_path):
    hearts = make_phantoms(tmp_path / "hearts", training=1, testing=1, seed=0)
    for batch in (1, 5):
        model = Predictor(decided_unet(), described(size=64), precision="fp32", batch=batch)
        predict(hearts, tmp_path / str(batch), model)
    one, five = (contents(tmp_path / name) for name in ("1", "5"))
    one.pop("dataset.json"), five.pop("dataset.json")
    assert one == five


def test_prediction_knows_no_method_and_no_trainer():
    code = "import sys, pointillist.predict.stream, pointillist.predict.model; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pointillist.nets.unet" in loaded
    assert not [name for name in loaded if name.startswith(("pointillist.methods", "pointillist.train"))]
