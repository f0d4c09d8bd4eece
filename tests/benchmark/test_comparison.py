"""Methods side by side: statistics by hand, and the page, the table and the command made of made-up results."""

import csv

import numpy as np
import pytest
from scipy.stats import wilcoxon

from pointillist.benchmark.comparison import alike, differences, holm, interval, ranks, read_suites
from pointillist.benchmark.figures import critical_difference
from pointillist.benchmark.long_table import long_table
from pointillist.benchmark.page import HEADS, benchmark_page, made_by, row_of
from pointillist.benchmark.per_class import class_table, spread_tables
from pointillist.benchmark.results import write_result
from pointillist.cli.report import report
from pointillist.errors import InputError

CLASSES = ("RV", "Myo", "LV")


def result(method, seed, dice, **settings):
    """A results file of a suite with cases c0, c1 …; ``dice`` holds a row a case and a column a class."""
    dice = np.asarray(dice, dtype=float)
    rows = [
        [f"c{i}", cls, value, 10 * (1 - value)]
        for i, line in enumerate(dice)
        for cls, value in zip(CLASSES, line, strict=True)
    ]
    summary = [
        {"class": cls, "metric": metric, "unit": unit, "mean": scale(dice[:, j].mean() if j < 3 else dice.mean()),
         "std": 0.1, "low": 0.0, "high": 1.0, "n": len(dice), "undefined": 0}
        for metric, unit, scale in (
            ("dsc", "1", float), ("hd95_pooled", "mm", lambda x: 10 * (1 - x)),
        )
        for j, cls in enumerate((*CLASSES, "all classes"))
    ]  # fmt: skip
    reading = {
        "summary": summary,
        "cases": {"columns": ["case", "class", "dsc", "hd95_pooled_bounded_mm"], "rows": rows},
    }
    label = method + "-12345678" * bool(settings)
    return {
        "format": 1, "suite": "acdc-quick", "run": f"{label}/fold1-seed{seed}", "method": method, "settings": settings,
        "all_settings": settings, "tuned": {}, "protocol": "made up <b>", "fold": 1, "seed": seed,
        "data": {"name": "ACDC", "hash": "0" * 64, "training_cases": 5, "evaluated_cases": len(dice), "source": {}},
        "training": {"net": "unet", "size": 128, "batch": 12, "iterations": 1500, "select": "last"},
        "hardware": {"processor": "one", "accelerator": None, "threads": 1, "precision": "32-true", "torch": "2"},
        "code": {"commit": "abcdef123456", "dirty": False},
        "cost": {"train_minutes": 2.0 * seed, "peak_memory_mb": {"host": 300}},
        "readings": {"plain": reading, "recalibrated": reading},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.5, (12, 3))
    found = [result("pce", seed, base + 0.01 * seed) for seed in (1, 2)]
    found += [
        result("dmpls", 1, base + 0.2), result("gated_crf", 1, base + 0.3 + rng.normal(0, 0.01, base.shape), start=0.0),
        result("entropy_min", 1, base + rng.normal(0, 0.02, base.shape)), result("full", 1, base + 0.45),
    ]  # fmt: skip
    for one in found:
        write_result(tmp_path / "kept" / "acdc-quick" / (one["run"].replace("/", "-") + ".json"), one)
    return tmp_path / "kept"


def test_seeds_are_averaged_case_by_case(folder):
    pce = next(one for one in read_suites(folder)["acdc-quick"] if one.label == "pce")
    assert [one["seed"] for one in pce.results] == [1, 2]
    of_seed = [np.mean([row[2] for row in one["readings"]["plain"]["cases"]["rows"][:3]]) for one in pce.results]
    assert pce.by_case("plain", "dsc")["c0"] == pytest.approx(np.mean(of_seed))
    assert pce.mean("plain", "Myo", "dsc", "1") == pytest.approx(
        np.mean([one["readings"]["plain"]["summary"][1]["mean"] for one in pce.results])
    )
    assert pce.mean("plain", "Myo", "aji", "1") is None


def test_differences_are_paired(folder):
    entrants = read_suites(folder)["acdc-quick"]
    reference = next(one for one in entrants if one.label == "pce")
    found = {one.label: one for one in differences(entrants, reference, "plain", "dsc")}
    assert "pce" not in found
    dmpls = found["dmpls"]
    assert (dmpls.mean, dmpls.low, dmpls.high) == pytest.approx((0.185,) * 3)  # the same in every case: .2 − .015
    apart = found["entropy_min"]
    assert apart.low < apart.mean < apart.high
    base = reference.by_case("plain", "dsc")
    own = next(one for one in entrants if one.label == "entropy_min").by_case("plain", "dsc")
    assert apart.p >= wilcoxon([own[case] - base[case] for case in base]).pvalue
    assert apart.cases == 12


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_ranks_by_hand(folder):
    places = ranks(read_suites(folder)["acdc-quick"], "plain", "dsc", higher_is_better=True)
    assert places.cases == 12
    assert places.average["full"] == 1
    assert places.average["gated_crf-12345678"] == 2
    assert sum(places.average.values()) == pytest.approx(15)  # 1 + … + 5
    assert places.critical == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 12)), abs=1e-3)  # q of Demšar's table 5
    assert places.p < 1e-6
    worst_first = ranks(read_suites(folder)["acdc-quick"], "plain", "dsc", higher_is_better=False)
    assert worst_first.average["full"] == 5


def test_groups_that_are_alike_are_the_largest(folder):
    places = ranks(read_suites(folder)["acdc-quick"], "plain", "dsc", higher_is_better=True)
    for first, last in alike(places):
        assert 0 < places.average[last] - places.average[first] <= places.critical
    assert len(set(alike(places))) == len(alike(places)) > 0
    assert critical_difference(places, {label: label for label in places.average}).startswith("<svg")


def test_two_methods_or_two_cases_have_no_ranks(folder):
    assert ranks(read_suites(folder)["acdc-quick"][:2], "plain", "dsc", higher_is_better=True) is None


def test_classes_stand_beside_each_other_by_hand(tmp_path):
    dice = [[0.9, 0.5, 0.25], [0.7, 0.7, 0.75]]
    write_result(tmp_path / "acdc-quick" / "pce-fold1-seed1.json", result("pce", 1, dice))
    (pce,) = read_suites(tmp_path)["acdc-quick"]
    found = class_table([pce], "plain")
    assert (found.classes, found.unit) == (CLASSES, "mm")
    assert found.rows == (("pce", ("0.800 / 2.0", "0.600 / 4.0", "0.500 / 5.0")),)
    (spread,) = spread_tables([pce], "plain")
    cells = [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in spread.rows[0][1]]
    assert (spread.what, spread.classes) == ("Dice", (*CLASSES, "all classes"))
    assert cells == ["0.800 ± 0.100", "0.600 ± 0.100", "0.500 ± 0.250", "0.633 ± 0.083"]  # of cases of .55 and .7167
    page = benchmark_page({"acdc-quick": [pce]})
    assert "Dice, class by class" in page
    assert spread.rows[0][1][0] in page


def test_intervals_take_five_cases_and_undefined_ones_are_counted(tmp_path):
    one = result("pce", 1, [[0.1 * i, 0.5, 0.5] for i in range(6)])
    summary, rows = one["readings"]["plain"]["summary"], one["readings"]["plain"]["cases"]["rows"]
    for line in summary:
        line["undefined"] = 2 * (line["class"] == "LV")
    rows[2][2] = None  # the left ventricle's Dice of the first case
    write_result(tmp_path / "acdc-quick" / "pce-fold1-seed1.json", one)
    (pce,) = read_suites(tmp_path)["acdc-quick"]
    (spread,) = spread_tables([pce], "plain")
    cells = [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in spread.rows[0][1]]
    low, high = interval(np.arange(6) / 10)
    assert cells[0] == f"0.250 ± 0.171 [{low:.3f}, {high:.3f}]"
    assert cells[2] == "0.500 ± 0.000 [0.500, 0.500] (5 cases)"
    assert class_table([pce], "plain").rows[0][1][1:] == ("0.500 / 5.0", "0.500 / 5.0 (2 undefined)")


def test_one_class_needs_no_table_of_classes(tmp_path):
    one = result("pce", 1, [[0.9, 0.5, 0.25]])
    summary = one["readings"]["plain"]["summary"]
    summary[:] = [line for line in summary if line["class"] == "RV"]
    write_result(tmp_path / "kept" / "pce-fold1-seed1.json", one)
    assert class_table(read_suites(tmp_path)["acdc-quick"], "plain") is None


def test_voxels_stand_in_where_nothing_is_known_in_millimetres(tmp_path):
    one = result("pce", 1, [[0.9, 0.5, 0.25]])
    for line in one["readings"]["plain"]["summary"]:
        line["unit"] = line["unit"].replace("mm", "voxel")
    one["readings"]["plain"]["summary"] = [
        line | {"mean": None} if line["class"] == "LV" else line for line in one["readings"]["plain"]["summary"]
    ]
    write_result(tmp_path / "acdc-quick" / "pce-fold1-seed1.json", one)
    found = class_table(read_suites(tmp_path)["acdc-quick"], "plain")
    assert found.unit == "voxel"
    assert found.rows[0][1] == ("0.900 / 1.0", "0.500 / 5.0", "– / –")


def test_methods_are_compared_with_whom_one_asks_for(folder):
    suites = read_suites(folder)
    other = {"other-suite": [one for one in suites["acdc-quick"] if one.method in ("pce", "full")]}
    page = benchmark_page(suites | other, reference="gated_crf start=0.0")
    assert "DSC against gated_crf start=0.0, case by case" in page
    assert "DSC against pce, case by case" in page  # in the suite that lacks the reference
    with pytest.raises(InputError, match="no method of these results is called so") as error:
        benchmark_page(suites, reference="dmplss")
    assert "did you mean 'dmpls'" in error.value.todo


def test_the_page_shows_the_papers_figures_and_escapes(folder):
    page = benchmark_page(read_suites(folder))
    assert "made up &lt;b&gt;" in page
    assert "PCLMix, table 1, ACDC: published against obtained" in page
    assert "0.872 · " in page  # DMPLS in PCLMix's table 1
    assert "best Dice on the test fold (code)" in page
    assert page.count("<svg") >= 2
    assert "DSC against pce, case by case" in page
    assert "gated_crf start=0.0" in page


def test_a_row_names_its_folds_and_machines_where_the_suite_has_several(folder):
    entrants = {one.label: one for one in read_suites(folder)["acdc-quick"]}
    everyone, heads = tuple(entrants.values()), {"DSC": HEADS["DSC"]}
    alike = row_of(entrants["dmpls"], heads, everyone)
    assert (alike["seeds"], alike["minutes"]) == ("1", "2")
    assert "Hardware: one (1 threads" in made_by(everyone)
    entrants["dmpls"].results[0]["fold"] = 2
    entrants["pce"].results[1]["hardware"]["precision"] = "bf16-mixed"
    rows = {label: row_of(one, heads, everyone) for label, one in entrants.items()}
    assert (rows["dmpls"]["seeds"], rows["dmpls"]["minutes"]) == ("1 × fold 2", "2 [1]")
    assert (rows["pce"]["seeds"], rows["pce"]["minutes"]) == ("1, 2 × fold 1", "3 [1] [2]")
    assert "[1] one (1 threads a run, 32-true, torch 2), [2] one (1 threads a run, bf16-mixed" in made_by(everyone)


def test_the_page_shows_learning_curves_and_rules_of_selection(tmp_path):
    for groups, dice in ((5, 0.5), (10, 0.6), (20, 0.66)):
        one = result("pce", 1, np.full((4, 3), dice))
        one |= {"run": f"pce-{groups:08d}/fold1-seed1", "title": f"pce groups={groups}"}
        one["data"]["training_groups"] = groups
        one["kept"] = [
            {"step": step, "partial_ce": 0.1, "summary": one["readings"]["plain"]["summary"]} for step in (5, 9)
        ]
        write_result(tmp_path / "acdc-cases" / f"{groups}.json", one | {"suite": "acdc-cases"})
    page = benchmark_page(read_suites(tmp_path))
    assert "expected from 10 more" in page
    assert "Within 0.01 of the best of them: last iterate: 100%; best on held-out marks: 100%" in page


def test_the_table_holds_every_number_and_the_papers_beside(folder):
    rows = list(csv.DictReader(long_table(read_suites(folder)).splitlines()))
    mine = [row for row in rows if (row["method"], row["class"], row["metric"]) == ("dmpls", "LV", "dsc")]
    assert {(row["reading"], row["paper"]) for row in mine} == {
        (reading, paper)
        for reading in ("plain", "recalibrated")
        for paper in ("AttenScribble, table 1, ACDC", "PCLMix, table 1, ACDC")
    }
    for row in mine:
        assert float(row["difference"]) == pytest.approx(float(row["mean"]) - float(row["published"]), abs=1e-5)
    assert {row["published"] for row in rows if row["method"] == "dmpls" and row["metric"] == "hd95_pooled"} >= {"9.9"}


def test_the_command_takes_a_folder_of_results(folder, tmp_path, capsys):
    report(folder, out=tmp_path / "page.html", reading="recalibrated")
    assert "page.csv" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "page.csv").read_text().splitlines()) > 50


def test_a_folder_without_the_reading_is_named(folder, tmp_path):
    with pytest.raises(InputError, match="holds no results"):
        read_suites(folder, reading="bordered")
    with pytest.raises(InputError, match="holds no run"):
        report(tmp_path / "nowhere")
