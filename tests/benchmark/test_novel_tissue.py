"""The script that pastes foreign tissue into held-out images, on a tiny made-up dataset."""

import importlib
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import Grid, Image
from pointillist.data.simulate import draw
from pointillist.data.split import Split
from pointillist.spec import TaskSpec
from pointillist.train.plan import Plan
from pointillist.train.run import train

SPEC = TaskSpec(("background", "gland"), ("red", "green", "blue"))
OPTIONS = Namespace(share=0.2, scale=0.5)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("novel_tissue")


def tissue(folder, colours, names):
    """Images of two halves, the right one a gland."""
    with DatasetBuilder(folder, name=folder.name, spec=SPEC, ending=".png", kind="test") as builder:
        for seed, name in enumerate(names):
            dense = np.zeros((40, 48), np.uint8)
            dense[:, 24:] = 1
            noise = np.random.default_rng(seed).integers(-20, 20, (40, 48, 3))
            image = Image((np.array(colours)[dense] + noise).astype(np.uint8), Grid((40, 48)))
            marks = draw(dense, generator="in_out_pairs", seed=1, dataset="T", case=name, slice_axis=-1)
            builder.add(NewCase(name, image, name, strokes=tuple(marks), dense=dense))
        builder.finish([Split(tuple(names[:-2]), tuple(names[-2:]))] if len(names) > 2 else (), ("test",))
    return folder


def test_a_blob_is_one_region_of_its_share_and_depends_on_image_and_seed_alone(script):
    image = Image(np.full((80, 100, 3), 200, np.uint8), Grid((80, 100)))
    textures = [np.zeros((30, 30, 3), np.uint8)]
    first, inside = script.pasted(image, textures, 0, "a", OPTIONS)
    assert 0.1 < inside.mean() < 0.25
    assert label(inside)[1] == 1
    dark = first.array[..., 0] < 190
    assert (dark | ~inside).all()
    assert dark.mean() < inside.mean() + 0.15  # its rim
    assert (first.array == script.pasted(image, textures, 0, "a", OPTIONS)[0].array).all()
    for seed, name in ((1, "a"), (0, "b")):
        assert (first.array != script.pasted(image, textures, seed, name, OPTIONS)[0].array).any()


def test_textures_are_brought_to_scale_and_mirrored_where_they_end(script):
    texture = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None] * 10, 20, axis=1).repeat(3, axis=2)
    half = script.foreign([texture], (50, 7), 0.5, np.random.default_rng(0))
    assert half.shape == (50, 7, 3)
    assert set(np.unique(half)) <= {10 * n + 5 for n in range(0, 20, 2)}  # means of two rows
    assert (np.abs(np.diff(half[:, 0, 0].astype(int))) <= 20).all()


def test_measures_by_hand(script):
    truth = np.array([[0, 0, 0, 1]])
    inside = np.array([[True, False, False, True]])
    found, plain = np.array([[1, 1, 0, 1]]), np.array([[0, 0, 0, 1]])
    assert script.measured(found, plain, truth, inside) == {
        "inside": 1.0, "before": 0.5, "outside": 0.5, "outside_before": 0.0,
    }  # fmt: skip


def test_runs_are_compared_image_by_image(script, tmp_path):
    dataset = tissue(tmp_path / "D", [(220, 180, 200), (120, 60, 150)], ["a", "b", "c", "d"])
    other = tissue(tmp_path / "T", [(90, 50, 120), (60, 30, 90)], ["x"])
    for method, seed in (("pce", 1), ("pce", 2), ("entropy_min", 1)):
        plan = Plan(str(dataset), method, fold=1, iterations=2, size=32, batch=2, seed=seed, normalisation="unit",
                    grid="area", augmentation="none")  # fmt: skip
        train(plan, tmp_path / "runs" / method / f"fold1-seed{seed}")
    out = tmp_path / "novel.json"
    picture = tmp_path / "novel.png"
    script.main([str(tmp_path / "runs"), str(other), "--methods", "entropy_min,pce", "--reading", "plain",
                 "--blobs", "2", "--out", str(out), "--picture", str(picture)])  # fmt: skip
    report = json.loads(out.read_text())
    assert {method: sorted(cases) for method, cases in report["cases"].items()} == {
        "entropy_min": ["c", "d"], "pce": ["c", "d"],
    }  # fmt: skip
    line = report["differences"][0]
    assert (line["method"], line["label"], line["measure"], line["cases"]) == ("entropy_min", "pce", "inside", 2)
    apart = [report["cases"]["entropy_min"][case]["inside"] - report["cases"]["pce"][case]["inside"] for case in "cd"]
    assert line["mean"] == pytest.approx(np.mean(apart))
    assert line["low"] <= line["mean"] <= line["high"]
    assert picture.exists()
