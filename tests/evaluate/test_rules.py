"""The same predictions under several codes' rules."""

from __future__ import annotations

import numpy as np
import pytest

from pointillist.errors import LabelError
from pointillist.evaluate.classes import Classes
from pointillist.evaluate.evaluation import evaluate_folder
from pointillist.evaluate.folders import pair_files
from pointillist.evaluate.protocol import Protocol
from pointillist.evaluate.published import OURS, PUBLISHED_RULES
from pointillist.evaluate.rules import under_rules
from pointillist.evaluate.summary import ALL_CLASSES, summarise
from tests.conftest import save_nifti

CLASSES = Classes({1: "1", 2: "2"}, None, "test")
RULES = {"ours": OURS, **PUBLISHED_RULES}
SHAPE = (16, 20, 3)


@pytest.fixture
def folders(tmp_path):
    """Case a: class 1 shifted by two voxels, class 2 missed. Case b: both classes found exactly."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[4:8, 8:12, 1] = 1
    truth[10:13, 8:12, 1] = 2
    missed = np.zeros(SHAPE, np.uint8)
    missed[6:10, 8:12, 1] = 1
    for case, predicted in (("a", missed), ("b", truth)):
        save_nifti(tmp_path / "truth" / f"{case}_gt.nii.gz", truth)
        save_nifti(tmp_path / "predicted" / f"{case}.nii.gz", predicted)
    return tmp_path / "predicted", tmp_path / "truth"


def test_a_missed_class_by_hand(folders):
    found = under_rules(pair_files(*folders).pairs, CLASSES, RULES)
    shift = 2 * 1.5  # mm; 8 of 16 pixels overlap
    ours = found["ours"]
    assert ours.dsc == pytest.approx(((0.5 + 1) / 2 + (0 + 1) / 2) / 2)
    assert ours.hd95 == pytest.approx((shift / 2 + 0) / 2)
    assert (ours.empty, ours.undefined, ours.pairs, ours.unit) == (1, 1, 4, "mm")
    assert found["attenscribble"].hd95 == pytest.approx((shift / 2 + 0) / 2)  # a missed organ is perfect
    assert found["pclmix"].hd95 == pytest.approx((shift / 2 + 25) / 2)
    assert found["pymic"].hd95 == pytest.approx((shift / 2 + 50) / 2)
    assert (found["wsl4mis-val"].hd95, found["wsl4mis-val"].unit) == (pytest.approx(0.5), "voxel")
    stops = found["wsl4mis-test"]
    assert (stops.dsc, stops.undefined) == (pytest.approx((0.75 + 1) / 2), 1)


def test_it_agrees_with_the_evaluation(folders):
    found = under_rules(pair_files(*folders).pairs, CLASSES, RULES)
    for code, rule in PUBLISHED_RULES.items():
        if not rule.border:
            summary = summarise(evaluate_folder(*folders, Protocol(rule.unit, published=code)).rows)
            means = {line["metric"]: line["mean"] for line in summary if line["class"] == ALL_CLASSES}
            assert found[code].dsc == pytest.approx(means[f"dsc_as_{code}"]), code
            assert found[code].hd95 == pytest.approx(means[f"hd95_as_{code}"]), code


def test_the_border_is_cut_from_the_columns_of_predictions_alone(tmp_path):
    truth = np.zeros(SHAPE, np.uint8)
    truth[4:8, 8:12, 1] = 1
    wild = truth.copy()
    wild[:, :4, :] = wild[:, 16:, :] = 1  # 50 of 256 columns are 3.9 of 20
    save_nifti(tmp_path / "truth" / "a.nii.gz", truth)
    save_nifti(tmp_path / "predicted" / "a.nii.gz", wild)
    pairs = pair_files(tmp_path / "predicted", tmp_path / "truth").pairs
    found = under_rules(pairs, Classes({1: "1"}, None, "test"), RULES)
    assert found["pscv"].dsc == 1
    assert found["transunet"].dsc < 0.1
    wider = np.zeros(SHAPE, np.uint8)
    wider[:, :5, :] = 1
    save_nifti(tmp_path / "predicted" / "a.nii.gz", wider)
    assert under_rules(pairs, Classes({1: "1"}, None, "test"), RULES)["pscv"].empty == 0


def test_sparse_references_are_refused(tmp_path):
    for name in ("truth", "predicted"):
        save_nifti(tmp_path / name / "a.nii.gz", np.full(SHAPE, 1 + (name == "truth"), np.uint8))
    pairs = pair_files(tmp_path / "predicted", tmp_path / "truth").pairs
    with pytest.raises(LabelError, match="dense truth"):
        under_rules(pairs, Classes({1: "1"}, 2, "test"), {"ours": OURS})
