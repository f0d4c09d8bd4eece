"""Pooled metrics and probability maps, against sums by hand and scikit-learn's formulas written out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer import Typer
from typer.testing import CliRunner

from pointillist.cli.evaluate import evaluate
from pointillist.data.image import Grid, Image
from pointillist.errors import DamagedFileError, GeometryError
from pointillist.evaluate.classes import Classes
from pointillist.evaluate.classify import auc
from pointillist.evaluate.evaluation import evaluate_folder
from pointillist.evaluate.overlap import Confusion
from pointillist.evaluate.pooled import CaseCounts, pooled
from pointillist.evaluate.protocol import Protocol
from pointillist.evaluate.scores import auc_of, read_probabilities, score_counts
from tests.conftest import png, save_nifti

GLAND = Classes({1: "gland"}, 255, "test")


def confusion_matrix_kappa(matrix):
    """Cohen's kappa as scikit-learn has it: 1 − Σ w·observed / Σ w·expected, with w = 0 on the diagonal."""
    expected = np.outer(matrix.sum(axis=0), matrix.sum(axis=1)) / matrix.sum()
    weight = 1 - np.eye(len(matrix))
    return 1 - (weight * matrix).sum() / (weight * expected).sum()


def trapezoid_auc(scores, inside):
    """Area as scikit-learn has it: the trapezoid rule under the points of every threshold."""
    order = np.argsort(-scores, kind="stable")
    scores, inside = scores[order], inside[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits, false = (np.append(0, np.cumsum(side)[last]) for side in (inside, ~inside))
    return np.trapezoid(hits / hits[-1], false / false[-1])


CASES = [Confusion(30, 10, 6, 54), Confusion(2, 0, 38, 160)]


def values(lines):
    return {line["metric"]: line["value"] for line in lines}


def test_pixels_are_pooled_not_cases():
    found = values(pooled([CaseCounts({"gland": one}) for one in CASES]))
    tp, fp, fn, tn = 32, 10, 44, 214
    golden = {
        "pooled_dsc": 64 / 118,
        "pooled_iou": 32 / 86,
        "pooled_accuracy": 246 / 300,
        "pooled_precision": 32 / 42,
        "pooled_recall": 32 / 76,
        # chance: (42·76 + 258·224) / 300² = 60984/90000; (246/300 − that) / (1 − that)
        "pooled_kappa": (0.82 - 0.6776) / (1 - 0.6776),
    }
    assert found == pytest.approx(golden)
    assert found["pooled_kappa"] == pytest.approx(confusion_matrix_kappa(np.array([[tn, fp], [fn, tp]])))
    by_case = np.mean([one.tp / one.n_ref for one in CASES])
    assert found["pooled_recall"] != pytest.approx(by_case)


def test_intervals_draw_whole_cases():
    lines = pooled([CaseCounts({"gland": one}) for one in CASES])
    recall = next(line for line in lines if line["metric"] == "pooled_recall")
    assert (recall["low"], recall["high"], recall["cases"]) == (pytest.approx(2 / 40), pytest.approx(30 / 36), 2)
    assert pooled([CaseCounts({"gland": CASES[0]})])[0]["low"] is None
    assert pooled([]) == []


def test_what_no_case_defines_is_none():
    lines = values(pooled([CaseCounts({"gland": Confusion(0, 0, 5, 5)})]))
    assert lines["pooled_precision"] is None
    assert lines["pooled_recall"] == 0


def write(path, probabilities, **others):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, probabilities=probabilities, **others)
    return path


def flat(array):
    return Image(array, Grid(array.shape), (), "reference")


@given(
    arrays(np.float16, (5, 8), elements=st.sampled_from([0.0, -0.0, 6e-8, 0.25, 0.4998, 0.5, 0.9995, 1.0])),
    arrays(np.uint8, (5, 8), elements=st.sampled_from([0, 1, 255])),
)
def test_counts_of_half_precision_give_the_exact_area(scores, labels):
    counts = score_counts(np.abs(np.stack([1 - scores, scores])), labels, GLAND, "x")[1]
    known = labels != 255
    expected = auc(scores[known], labels[known] == 1)
    assert float(auc_of(*counts)) == pytest.approx(expected, nan_ok=True)
    assert counts.inside.sum() == (labels == 1).sum()
    if not math.isnan(expected):
        assert expected == pytest.approx(trapezoid_auc(np.abs(scores[known]).astype(float), labels[known] == 1))


def test_area_by_hand_and_pooled():
    inside, outside = np.array([0, 1, 1]), np.array([1, 1, 0])
    assert float(auc_of(inside, outside)) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    both = auc_of(np.array([[0, 1, 1], [2, 0, 0]]), np.array([[1, 1, 0], [0, 0, 2]]))
    assert both.tolist() == pytest.approx([0.875, 0.0])
    assert float(auc_of(np.array([2, 1, 1]), np.array([1, 1, 2]))) == pytest.approx((2 * 0.5 + 1.5 + 3) / 16)


@pytest.fixture
def folders(tmp_path):
    """Two images with a truth, a prediction and probabilities."""
    rng = np.random.default_rng(0)
    scores = {}
    for case in ("a", "b"):
        truth = (rng.random((9, 7)) < 0.4).astype(np.uint8)
        inside = np.clip(truth * 0.3 + rng.random((9, 7)) * 0.7, 0, 1).astype(np.float16)
        for folder, array in (("truth", truth), ("predicted", (inside > 0.5).astype(np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{case}.png").write_bytes(png(array))
        write(tmp_path / "predicted" / "probabilities" / f"{case}.npz", np.stack([1 - inside, inside]))
        scores[case] = inside, truth == 1
    return tmp_path, scores


def test_a_folder_with_probabilities(folders):
    root, scores = folders
    found = evaluate_folder(root / "predicted", root / "truth", Protocol())
    by_case = {row.case: row.value for row in found.rows if row.metric == "auc"}
    assert by_case == pytest.approx({case: auc(*pair) for case, pair in scores.items()})
    everything = [np.concatenate([pair[side].ravel() for pair in scores.values()]) for side in (0, 1)]
    line = next(line for line in found.pooled if line["metric"] == "pooled_auc")
    assert line["value"] == pytest.approx(auc(*everything))
    assert line["low"] <= line["value"] <= line["high"]
    assert "half precision" in found.header["definitions"]["auc"]


def test_probabilities_of_some_cases_are_left_out_and_that_is_said(folders):
    root, _ = folders
    (root / "predicted" / "probabilities" / "b.npz").unlink()
    found = evaluate_folder(root / "predicted", root / "truth", Protocol())
    assert "auc" not in {row.metric for row in found.rows}
    assert "pooled_auc" not in {line["metric"] for line in found.pooled}
    assert found.header["notes"][0]["note"] == "auc: left out, 1 of 2 predictions have no probabilities"


def test_the_command_shows_pooled_metrics(folders):
    root, _ = folders
    app = Typer()
    app.command()(evaluate)
    arguments = [str(root / "predicted"), str(root / "truth")]
    shown = CliRunner().invoke(app, [*arguments, "--out", str(root / "m.json")], catch_exceptions=False).output
    assert "1, pixels of all cases together" in shown
    assert "pooled_kappa" in shown
    content = json.loads((root / "m.json").read_text())
    assert {line["metric"] for line in content["pooled"]} >= {"pooled_dsc", "pooled_auc"}


def test_probabilities_of_a_volume_are_turned_as_its_labels_are(tmp_path):
    from pointillist.data.readers import read_label

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (5, 6, 3)).astype(np.uint8)
    path = save_nifti(tmp_path / "a.nii.gz", labels)  # its first two axes run backwards
    stored = write(tmp_path / "a.npz", np.stack([1 - labels, labels]).astype(np.float16))
    reference = read_label(path)
    assert not (reference.array == labels).all()
    assert (read_probabilities(stored, reference)[1] == reference.array).all()


@pytest.mark.parametrize(
    ("array", "error", "what"),
    [
        (np.full((2, 3, 4), np.nan, np.float16), DamagedFileError, "cannot be read"),
        (np.full((2, 3, 4), 1.5, np.float16), DamagedFileError, "cannot be read"),
        (np.ones((2, 3, 4), np.uint8), DamagedFileError, "cannot be read"),
        (np.array([{}], dtype=object), DamagedFileError, "cannot be read"),
        (np.ones((2, 4, 3), np.float16), GeometryError, "grid"),
    ],
)
def test_unusable_probabilities_are_named(tmp_path, array, error, what):
    with pytest.raises(error, match=what):
        read_probabilities(write(tmp_path / "a.npz", array), flat(np.zeros((3, 4), np.uint8)))


def test_a_cut_file_and_a_missing_class_are_named(tmp_path):
    path = write(tmp_path / "a.npz", np.ones((1, 3, 4), np.float16))
    truth = np.zeros((3, 4), np.uint8)
    with pytest.raises(DamagedFileError, match="no probability map"):
        score_counts(read_probabilities(path, flat(truth)), truth, GLAND, "a.npz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_probabilities(path, flat(truth))
