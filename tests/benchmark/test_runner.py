"""Real data's layouts, failures, restrictions, and several processes."""

import json
from pathlib import Path

import pytest
import typer

from pointillist.benchmark import runner
from pointillist.benchmark.claims import claim
from pointillist.benchmark.results import read_result
from pointillist.benchmark.runner import run_jobs
from pointillist.cli.benchmark import benchmark
from pointillist.cli.report import report
from pointillist.data.dataset import Dataset
from pointillist.data.importers.acdc import import_acdc
from pointillist.data.phantoms import make_phantoms
from pointillist.errors import InputError, PointillistError
from pointillist.train.plan import read_plan
from pointillist.train.trainer import Stopped
from tests.benchmark.suites import MACHINE, SMALL, small_jobs, suite_file
from tests.conftest import nuclei, png

DIVERGES = {"name": "pce", "recipe": {"lr": 1e30}}


def test_folds_of_acdc_with_simulated_points(tmp_path, acdc_folder):
    dataset = {"importer": "acdc", "source": "acdc", "marks": {"generator": "random_point", "seed": 4}}
    path = suite_file(tmp_path, dataset=dataset, folds=[1, 2], methods=["pce", "full"], iterations=4)
    options = {"data": tmp_path, "threads": 1, "precision": "32-true", "device": "cpu"}
    benchmark(str(path), tmp_path / "out", only="full", folds="2", **options)
    (file,) = (tmp_path / "out" / "results").rglob("*.json")
    assert file.name == "fold2-seed1.json"
    result = read_result(file)
    assert {row[0].split("_")[0] for row in result["readings"]["plain"]["cases"]["rows"]} == {"patient021"}
    assert result["data"]["source"]["marks"] == {"generator": "random_point", "seed": 4}
    made = sorted(path.name for path in (tmp_path / "out" / "datasets").iterdir() if path.is_dir())
    benchmark(str(path), tmp_path / "out", only="pce", folds="1", **options)
    assert sorted(path.name for path in (tmp_path / "out" / "datasets").iterdir() if path.is_dir()) == made
    assert len(made) == 2


def test_nuclei_are_read_as_objects_too(tmp_path, dsb_zip):
    dataset = {"importer": "dsb2018", "source": dsb_zip.name, "subset": "BF", "marks": {"generator": "s2l"}}
    changes = {"grid": "native", "normalisation": "unit", "augmentation": "cells", "instances": True, "iterations": 2}
    jobs = small_jobs(tmp_path, dataset=dataset, folds=[1], batch=2, **changes)
    assert run_jobs(jobs, tmp_path, MACHINE).done == tuple(jobs)
    for reading in read_result(jobs[0].result)["readings"].values():
        lines = {(line["class"], line["metric"], line["unit"]) for line in reading["summary"]}
        assert {("objects", metric, "1") for metric in ("iou", "mdice_strict", "mdice_published", "aji")} <= lines
        assert ("nucleus", "hd95_pooled", "voxel") in lines
        assert not any(unit == "mm" for _, _, unit in lines)


def test_regions_are_read_a_case_and_pooled(tmp_path):
    before = small_jobs(tmp_path, iterations=2)[0].fingerprint
    jobs = small_jobs(tmp_path, iterations=2, regions=True)
    assert jobs[0].fingerprint != before
    assert run_jobs(jobs, None, MACHINE).done == tuple(jobs)
    for reading in read_result(jobs[0].result)["readings"].values():
        assert {"accuracy", "precision", "recall", "kappa", "auc"} <= {line["metric"] for line in reading["summary"]}
        assert {"pooled_dsc", "pooled_kappa", "pooled_auc"} <= {line["metric"] for line in reading["pooled"]}
        assert all(0 <= line["value"] <= 1 for line in reading["pooled"] if line["metric"] == "pooled_auc")


@pytest.mark.slow
def test_points_are_drawn_for_each_number_and_make_a_curve(tmp_path):
    changes = {"marks": {"generator": "random_point"}, **SMALL["dataset"]}
    jobs = small_jobs(
        tmp_path, dataset=changes, methods=[{"name": "pce", "count": count} for count in (1, 2, 4)], iterations=2
    )
    assert run_jobs(jobs, None, MACHINE).done == tuple(jobs)
    results = [read_result(job.result) for job in jobs]
    assert [result["data"]["source"]["marks"]["count"] for result in results] == [1, 2, 4]
    assert len({result["data"]["hash"] for result in results}) == 3
    plans = [json.loads((job.folder / "run.json").read_text())["plan"]["dataset"] for job in jobs]
    assert [points_in(plan) for plan in plans] == [points_in(plans[0]) * factor for factor in (1, 2, 4)]
    report(tmp_path / "out", out=tmp_path / "page.html", reading="plain")
    assert "expected from 1 more" in (tmp_path / "page.html").read_text()


def points_in(dataset):
    opened = Dataset.open(Path(dataset))
    return sum(len(opened.read_marks(case).strokes) for case in opened.training)


def test_a_suite_asks_its_question_of_another_dataset(tmp_path):
    mine = make_phantoms(tmp_path / "Dataset009_Mine", training=2, testing=1, seed=5)
    changes = {"importer": "acdc", "source": "acdc", "marks": {"generator": "random_point", "seed": 4}}
    path = suite_file(tmp_path, dataset=changes, folds=[1], iterations=2, border=0.1)
    benchmark(str(path), tmp_path / "out", dataset=mine, threads=1, precision="32-true", device="cpu")
    (file,) = (tmp_path / "out" / "results").rglob("*.json")
    assert file.parts[-3:] == ("small-Dataset009_Mine", "pce", "test-seed1.json")  # phantoms have no folds
    result = read_result(file)
    assert result["data"]["source"]["marks"] == {"generator": "random_point", "seed": 4}
    assert result["protocol"].startswith("small on other data, ")
    assert set(result["readings"]) == {"plain", "recalibrated"}


def test_a_folder_of_images_and_dense_labels(tmp_path):
    for index in range(4):
        image, masks = nuclei(index)
        for name, pixels in (("images", image[..., 0]), ("labels", masks[0].astype("uint8") * 255)):
            path = tmp_path / "mine" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(pixels))
    dataset = {"importer": "folder", "source": "mine", "name": "Mine", "folds": 2, "classes": ["0=rest", "255=cell"]}
    dataset["marks"] = {"generator": "skeleton"}
    jobs = small_jobs(tmp_path, dataset=dataset, folds=[2], batch=2, iterations=2, normalisation="unit")
    assert run_jobs(jobs, tmp_path, MACHINE).done == tuple(jobs)
    result = read_result(jobs[0].result)
    assert (result["data"]["name"], result["data"]["evaluated_cases"]) == ("Mine", 2)


def test_a_dataset_that_was_imported_already_is_used_where_it_is(tmp_path, acdc_folder):
    import_acdc(acdc_folder, tmp_path / "Dataset027_ACDC")
    jobs = small_jobs(tmp_path, dataset={"importer": "acdc", "source": "Dataset027_ACDC"}, folds=[5], iterations=2)
    run_jobs(jobs, tmp_path, MACHINE)
    plan = json.loads((jobs[0].folder / "run.json").read_text())["plan"]
    assert plan["dataset"] == str((tmp_path / "Dataset027_ACDC").resolve())


@pytest.mark.parametrize("data", [None, "."])
def test_missing_data_is_named_before_anything_runs(tmp_path, data):
    jobs = small_jobs(tmp_path, dataset={"importer": "acdc", "source": "acdc"}, folds=[1])
    with pytest.raises(InputError, match="acdc"):
        run_jobs(jobs, None if data is None else tmp_path, MACHINE)
    assert not (tmp_path / "out" / "runs").exists()


def test_a_run_that_fails_is_recorded_and_the_rest_goes_on(tmp_path, capsys):
    path = suite_file(tmp_path, methods=[DIVERGES, "pce"])
    with pytest.raises(PointillistError, match="1 runs failed") as raised:
        benchmark(str(path), tmp_path / "out", threads=1, precision="32-true", device="cpu")
    assert "pce lr=1e+30" in str(raised.value)
    (failure,) = (tmp_path / "out" / "failures").rglob("*.txt")
    assert failure.read_text().startswith("the loss is no longer a number")
    assert len(list((tmp_path / "out" / "results").rglob("*.json"))) == 1
    assert "1 done, 1 failed" in capsys.readouterr().out
    benchmark(str(path), tmp_path / "out", threads=1, dry_run=True)
    assert capsys.readouterr().out.startswith("failed")


def test_a_fault_of_the_program_is_recorded_with_its_traceback_and_tried_again(tmp_path, monkeypatch):
    jobs = small_jobs(tmp_path, iterations=2)

    def broken(*_):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "train", broken)
        assert run_jobs(jobs, None, MACHINE).failed == tuple(jobs)
    assert "Traceback" in jobs[0].failure.read_text()
    assert not jobs[0].claim.exists()
    assert run_jobs(jobs, None, MACHINE).done == tuple(jobs)
    assert not jobs[0].failure.exists()


def test_a_case_that_cannot_be_predicted_is_a_failure(tmp_path):
    jobs = small_jobs(tmp_path, iterations=2)
    dataset = Dataset.open(runner.prepared(jobs[0].source, jobs[0].out, None).root)
    image = dataset.testing[0].images[0]
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    assert run_jobs(jobs, None, MACHINE).failed == tuple(jobs)
    image.write_bytes(whole)
    assert run_jobs(jobs, None, MACHINE).done == tuple(jobs)


@pytest.mark.slow
def test_runs_with_other_numbers_of_points_have_datasets_of_their_own(tmp_path):
    dataset = SMALL["dataset"] | {"marks": {"generator": "random_point", "count": 2}}
    methods = ["pce", {"name": "pce", "count": 1}, {"name": "pce", "count": 2}]
    jobs = small_jobs(tmp_path, dataset=dataset, methods=methods, iterations=2)
    assert len({job.fingerprint for job in jobs}) == 2  # two points, said or not, are one experiment
    assert run_jobs(jobs, None, MACHINE).done == tuple(jobs)
    datasets = [Dataset.open(Path(read_plan(job.folder).dataset)) for job in jobs]
    strokes = [sum(len(one.read_marks(case).strokes) for case in one.training) for one in datasets]
    assert strokes[0] == strokes[2] == 2 * strokes[1]
    assert [read_result(job.result)["data"]["source"]["marks"]["count"] for job in jobs] == [2, 1, 2]


def test_what_another_process_works_on_is_left_to_it(tmp_path, capsys):
    path = suite_file(tmp_path, iterations=2)
    jobs = small_jobs(tmp_path, iterations=2)
    with claim(jobs[0].claim):
        assert jobs[0].state == "running"
        benchmark(str(path), tmp_path / "out", threads=1)
    assert "1 with another process" in capsys.readouterr().out
    assert not jobs[0].result.exists()


def test_a_run_that_is_asked_to_stop_is_no_failure(tmp_path, monkeypatch, capsys):
    path = suite_file(tmp_path)

    def stopped(*_):
        raise Stopped

    monkeypatch.setattr(runner, "train", stopped)
    with pytest.raises(typer.Exit) as raised:
        benchmark(str(path), tmp_path / "out", threads=1)
    assert raised.value.exit_code == 1
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "out" / "failures").exists()
    assert not list(tmp_path.rglob("*.claim"))


def test_wrong_restrictions_are_named(tmp_path):
    path = suite_file(tmp_path)
    with pytest.raises(InputError, match="no list of numbers"):
        benchmark(str(path), tmp_path / "out", seeds="one")
    with pytest.raises(InputError, match="no such methods"):
        benchmark(str(path), tmp_path / "out", only="dmpls")
