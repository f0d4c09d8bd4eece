"""The table of advice, made of made-up results by hand, and what ``auto`` makes of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pointillist.benchmark.advice import advice, advised, cited
from pointillist.benchmark.auto import choose
from pointillist.benchmark.comparison import Entrant
from pointillist.benchmark.recommend import advice_from, regrets, tracks_of
from pointillist.benchmark.suite import load_suite
from pointillist.cli.main import main
from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.methods import Recipe, methods
from pointillist.methods._settings import checked_settings, settings_of
from pointillist.train.plan import read_plan

OPTIONS = {"size": 128, "batch": 12, "augmentation": "acdc", "normalisation": "acdc", "grid": "zoom0"}


def result(suite, method, dice, seed, *, settings, hd95, slices, importer, marks, iterations):
    summary = [
        {"class": "*", "metric": "dsc", "unit": "1", "mean": dice},
        {"class": "*", "metric": "hd95_pooled_bounded", "unit": "mm", "mean": hd95},
    ]
    defaults = {name: one.default for name, one in settings_of(methods()[method]).items()}
    return {
        "suite": suite, "method": method, "settings": settings, "all_settings": defaults | settings, "fold": 1,
        "seed": seed, "code": {"commit": "c" * 40}, "cost": {"train_minutes": 5.0},
        "data": {"name": importer, "training_slices": slices, "source": {"importer": importer, "marks": marks}},
        "training": {"iterations": iterations, "net": "unet", **OPTIONS,
                     "recipe": {"optimizer": "sgd", "lr": 0.01, "weight_decay": 1e-4, "momentum": 0.9,
                                "schedule": "poly", "batch": 12}},
        "readings": {"plain": {"summary": summary}},
    }  # fmt: skip


def entrant(suite, method, dice, *, hd95=10.0, slices=100, importer="acdc", marks=None, iterations=1500, **settings):
    """``dice`` of seed 1, 2 …"""
    where = {"settings": settings, "hd95": hd95, "slices": slices, "importer": importer, "marks": marks}
    where["iterations"] = iterations
    found = [result(suite, method, one, seed, **where) for seed, one in enumerate(np.atleast_1d(dice), start=1)]
    label = method + "-1" * bool(settings)
    return Entrant(label, label, tuple(found))


def table(**suites):
    return advice_from(tracks_of({name.replace("_", "-"): those for name, those in suites.items()}))


def scribbles(*entries):
    return [entrant("a-quick", name, dice, **more) for name, dice, more in entries]


def test_the_best_is_advised_and_the_bound_is_not():
    rows = table(a_quick=scribbles(("pce", 0.5, {}), ("dmpls", 0.8, {}), ("gated_crf", 0.7, {}), ("full", 0.9, {})))
    row = advised(rows, "scribbles", "organs", 1500)
    assert (row.method, row.gain, row.tracks) == ("dmpls", pytest.approx(0.3), 1)
    assert cited(row.evidence[0]) == "a-quick: DSC 0.800 against 0.500 of pce (seed 1; commit cccccccc)"


def test_where_nothing_is_better_it_is_pce():
    rows = table(a_quick=scribbles(("pce", 0.5, {}), ("dmpls", 0.4, {})))
    assert advised(rows, "scribbles", "organs", 1500).method == "pce"


@pytest.mark.parametrize(("dice", "winner"), [(0.711, "dmpls"), (0.709, "gated_crf")])
def test_among_equals_the_smaller_distance_decides(dice, winner):
    rows = table(a_quick=scribbles(("pce", 0.5, {}), ("dmpls", dice, {"hd95": 9.0}), ("gated_crf", 0.7, {"hd95": 3.0})))
    assert advised(rows, "scribbles", "organs", 1500).method == winner


def test_one_lucky_seed_does_not_beat_three():
    steady = ("gated_crf", [0.68, 0.70, 0.72], {})  # σ = .02: one seed loses .02, three .0115
    for dice, winner in ((0.718, "gated_crf"), (0.725, "dmpls")):
        lucky = ("dmpls", dice, {"hd95": 20.0})
        rows = table(a_quick=scribbles(("pce", 0.5, {}), steady, lucky))
        assert advised(rows, "scribbles", "organs", 1500).method == winner, dice


def test_the_margin_is_one_of_tracks_that_were_run():
    """On one of three tracks .025 more is no tie, though it is less than .01 over all three."""
    wide = ("mumford_shah", 0.80, {"hd95": 9.0})
    near = ("attenscribble", 0.775, {"hd95": 3.0})
    others = {
        name: [entrant(name, "pce", 0.5, importer=importer), entrant(name, "dmpls", 0.5, importer=importer)]
        for name, importer in (("b-quick", "chaos"), ("c-quick", "btcv"))
    }
    rows = advice_from(tracks_of({"a-quick": scribbles(("pce", 0.5, {}), wide, near)} | others))
    assert advised(rows, "scribbles", "organs", 1500).method == "mumford_shah"


def test_folds_by_which_a_setting_was_chosen_do_not_count():
    tuned = next(one for one in load_suite("glas-quick").methods if one.name == "contrast_map" and one.tuned_folds)
    assert tuned.tuned_folds == (1,)
    where = {"importer": "glas", "marks": {"generator": "in_out_pairs"}}
    pce = entrant("glas-quick", "pce", [0.6, 0.4], hd95=20.0, **where)
    ours = entrant("glas-quick", "contrast_map", [0.9, 0.5], **where, **tuned.settings)
    for one in (pce, ours):
        one.results[1]["fold"] = 2
        one.results[1]["readings"]["plain"]["summary"][1]["mean"] = 5.0
    rows = table(glas_quick=[pce, Entrant(tuned.label, tuned.title, ours.results)])
    (evidence,) = advised(rows, "points", "tissue", 600).evidence
    assert (evidence.folds, evidence.dsc, evidence.reference) == ((2,), 0.5, 0.4)
    assert (evidence.hd95, evidence.hd95_reference) == (5.0, 5.0)


def test_a_track_without_the_method_counts_as_no_gain():
    nuclei = {"importer": "dsb2018", "marks": {"generator": "s2l"}}
    first = [entrant("a-quick", "pce", 0.5, **nuclei), entrant("a-quick", "dmpls", 0.7, **nuclei)]
    first.append(entrant("a-quick", "gated_crf", 0.65, **nuclei))
    second = [entrant("b-quick", "pce", 0.5, **nuclei), entrant("b-quick", "gated_crf", 0.6, **nuclei)]
    row = advised(table(a_quick=first, b_quick=second), "scribbles", "nuclei", 1500)
    assert (row.method, row.gain, len(row.evidence)) == ("gated_crf", pytest.approx(0.125), 2)


@pytest.mark.parametrize(("gain", "winner"), [(0.006, "gated_crf"), (0.3, "pscv")])
def test_a_long_budget_looks_at_short_tracks_as_well(gain, winner):
    short = scribbles(("pce", 0.5, {}), ("gated_crf", 0.7, {}), ("pscv", 0.5, {}))
    long = [entrant("a-long", "pce", 0.5, iterations=4500), entrant("a-long", "pscv", 0.5 + gain, iterations=4500)]
    rows = table(a_quick=short, a_long=long)
    assert advised(rows, "scribbles", "organs", 60_000).method == winner
    assert advised(rows, "scribbles", "organs", 1500).method == "gated_crf"


def test_settings_that_count_epochs_are_those_of_the_nearest_track():
    def track(suite, slices, refresh):
        where = {"importer": "dsb2018", "slices": slices}
        return [entrant(suite, "pce", 0.5, **where), entrant(suite, "scribble2label", 0.7, refresh=refresh, **where)]

    rows = table(a_quick=track("a-quick", 12, 20), b_quick=track("b-quick", 200, 2))
    row = advised(rows, "scribbles", "nuclei", 1500)
    assert row.method == "scribble2label"
    assert [row.nearest(slices).settings["refresh"] for slices in (0, 30, 300)] == [20, 20, 2]


def test_what_is_not_covered_falls_back_step_by_step():
    rows = table(a_quick=scribbles(("pce", 0.5, {}), ("dmpls", 0.8, {})))
    assert advised(rows, "scribbles", "organs", 60_000).budget == "short"
    assert advised(rows, "scribbles", "nuclei", 1500).images == "any"
    assert (advised(rows, "points", "nuclei", 1500).marks, advised((), "points", "nuclei", 1)) == ("any", None)


def test_sweeps_and_suites_without_pce_or_with_it_alone_are_no_tracks():
    entries = scribbles(("pce", 0.5, {}), ("dmpls", 0.8, {}), ("full", 0.9, {}))
    begun = {"b-quick": entries[1:], "c-quick": entries[:1], "d-quick": entries[::2]}  # the bound is nobody's rival
    assert tracks_of({"a-sweep": entries} | begun) == []
    assert [track.suite for track in tracks_of({"e-quick": entries})] == ["e-quick"]


def test_regret_by_hand():
    points = {"marks": {"generator": "random_point"}}
    tracks = tracks_of(
        {
            "a-quick": scribbles(("pce", 0.5, {}), ("dmpls", 0.8, {"hd95": 9.0}), ("gated_crf", 0.795, {"hd95": 3.0})),
            "b-quick": [
                entrant("b-quick", "pce", 0.6, **points), entrant("b-quick", "dmpls", 0.7, **points),
                entrant("b-quick", "gated_crf", 0.5, **points),
            ],
        }
    )  # fmt: skip
    first, second = regrets(tracks)
    assert (first.best.key.method, first.within[0].method) == ("dmpls", "gated_crf")
    assert first.within[1] == pytest.approx(0.005)
    assert first.without[0].method == "dmpls"  # from the points
    assert first.without[1] == 0
    assert (second.within[1], second.without[0].method) == (0, "gated_crf")
    assert second.without[1] == pytest.approx(0.2)
    assert regrets(tracks[:1])[0].without is None


def test_the_packages_table_is_sound():
    for row in advice():
        known = settings_of(methods()[row.method])
        assert Recipe(**row.recipe)
        for one in row.evidence:
            checked_settings(row.method, known, one.settings)
    assert {(row.marks, row.images) for row in advice()} >= {("points", "organs"), ("scribbles", "organs")}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("data") / "hearts", training=2, testing=1, seed=0)


def test_auto_says_what_it_is_based_on(phantoms):
    points = {"marks": {"generator": "random_point"}}
    rows = table(a_quick=[entrant("a-quick", "pce", 0.5, **points), entrant("a-quick", "dmpls", 0.7, **points)])
    choice = choose(Dataset.open(phantoms), 1500, OPTIONS, rows=rows)
    assert (choice.method, choice.net, choice.recipe.lr) == ("dmpls", "unet", 0.01)
    assert choice.reason == (
        "dmpls, for points on organs, fewer than 3,000 iterations; a-quick: DSC 0.700 against 0.500 of pce "
        "(seed 1; commit cccccccc)"
    )
    elsewhere = choose(Dataset.open(phantoms), 5000, OPTIONS | {"size": 64}, rows=rows).reason
    assert (
        "points on organs, 3,000 iterations or more: no results, so what was best for points on organs, fewer"
        in elsewhere
    )
    assert elsewhere.endswith("; these runs had --size 128")
    assert choose(Dataset.open(phantoms), 1500, OPTIONS, rows=()).method == "pce"


def test_weights_of_sums_over_pixels_follow_the_image_size(phantoms):
    points = {"marks": {"generator": "random_point"}}
    ours = entrant("a-quick", "mumford_shah", 0.7, lambda_ms=4e-6, **points)
    rows = table(a_quick=[entrant("a-quick", "pce", 0.5, **points), ours])
    dataset = Dataset.open(phantoms)
    assert choose(dataset, 1500, OPTIONS, rows=rows).settings == {"lambda_ms": 4e-6}
    larger = choose(dataset, 1500, OPTIONS | {"size": 256}, rows=rows)
    assert larger.settings == {"lambda_ms": pytest.approx(1e-6)}
    assert larger.reason.startswith("mumford_shah lambda_ms=1e-06, for points")
    assert larger.reason.endswith("; these runs had --size 128 lambda_ms=4e-06")
    assert choose(dataset, 1500, OPTIONS | {"size": 96}, rows=rows).settings == {"lambda_ms": 7.11e-6}
    fewer = choose(dataset, 1500, OPTIONS | {"batch": 4}, rows=rows)
    assert (fewer.settings, fewer.recipe.batch) == ({"lambda_ms": 1.2e-5}, 4)
    assert fewer.reason.endswith("; these runs had --batch 12 lambda_ms=4e-06")
    unasked = {name: value for name, value in OPTIONS.items() if name != "batch"}
    assert choose(dataset, 1500, unasked, rows=rows).recipe.batch == 12
    default = entrant("a-quick", "mumford_shah", 0.7, **points)
    rows = table(a_quick=[entrant("a-quick", "pce", 0.5, **points), default])
    assert choose(dataset, 1500, OPTIONS, rows=rows).settings == {}
    assert choose(dataset, 1500, OPTIONS | {"size": 256}, rows=rows).settings == {"lambda_ms": 2.5e-7}


@pytest.mark.slow
def test_a_run_of_auto_is_resolved_once(phantoms, tmp_path, capsys):
    def train(*options, code=0):
        with pytest.raises(SystemExit) as stopped:
            main(["train", str(phantoms), str(tmp_path / "run"), *options])
        assert (stopped.value.code or 0) == code

    small = ("--iterations", "2", "--size", "32", "--batch", "2", "--threads", "1", "--precision", "32-true")
    train("--method", "auto", "--set", "weight=0.3", *small)
    said = capsys.readouterr().out
    plan = read_plan(tmp_path / "run")
    row = advised(advice(), "points", "organs", 2)
    assert plan.method == row.method == "gated_crf"  # which has the setting
    assert plan.settings == row.evidence[0].settings | {"weight": "0.3"}
    assert f"auto: {plan.chosen}" in said
    assert json.loads((tmp_path / "run" / "run.json").read_text())["plan"]["chosen"] == plan.chosen
    train("--resume", "--method", "auto", "--set", "weight=0.3")
    train("--resume", "--method", "auto", "--set", "weight=0.4", code=1)
    train("--resume", "--method", "pce", code=1)
