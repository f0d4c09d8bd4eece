"""The smoke suite from end to end, and what is recorded of it."""

import json
import re
from dataclasses import replace

import pytest
import torch

from pointillist.benchmark.jobs import jobs_of
from pointillist.benchmark.record import cost_of
from pointillist.benchmark.results import read_result, write_result
from pointillist.benchmark.runner import run_jobs
from pointillist.benchmark.selection import LAST, MARKS, TEST, by_rule
from pointillist.benchmark.suite import load_suite
from pointillist.cli.benchmark import benchmark
from pointillist.cli.report import report
from pointillist.data.readers import read_label
from pointillist.errors import DamagedFileError, InputError
from pointillist.predict.model import load_model
from tests.benchmark.suites import MACHINE, small_jobs, suite_file


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A finished smoke suite."""
    return tmp_path_factory.mktemp("smoke")


@pytest.fixture(scope="module")
def smoke(out):
    jobs = jobs_of(load_suite("smoke"), out)
    lines = []
    tally = run_jobs(jobs, None, MACHINE, record=out / "kept", say=lines.append)
    assert tally.done == tuple(jobs)
    assert [line.partition(": ")[0] for line in lines[::2]] == [f"[{n}/2] {job.title}" for n, job in enumerate(jobs, 1)]
    assert re.search(r"DSC plain 0\.\d{3}, bordered 0\.\d{3}, recalibrated 0\.\d{3}; trained", lines[1])
    return jobs


def test_a_results_file_says_all(smoke):
    result = read_result(smoke[1].result)
    assert set(result) == {
        "format", "suite", "run", "fingerprint", "protocol", "method", "title", "settings", "all_settings", "tuned",
        "fold", "seed", "data", "training", "code", "earlier_code", "hardware", "cost", "readings",
    }  # fmt: skip
    assert (result["method"], result["settings"], result["fold"], result["seed"]) == (
        "gated_crf",
        {"start": 0.5},
        None,
        1,
    )
    assert result["all_settings"]["radius"] == 5
    assert result["data"]["evaluated_cases"] == 2
    assert re.fullmatch("[0-9a-f]{64}", result["data"]["hash"])
    assert set(result["code"]) == {"version", "commit", "dirty"}
    assert result["hardware"]["threads"] == 1
    assert result["hardware"]["precision"] == "32-true"
    assert result["training"]["recipe"]["lr"] == 0.01
    cost = result["cost"]
    assert 0 < cost["seconds_per_iteration"] < 60
    assert cost["train_minutes"] > 0
    assert cost["processes"] == 1
    assert cost["peak_memory_mb"]["host"] > 50


def test_no_place_of_this_machine_is_recorded(smoke, out):
    for job in smoke:
        assert str(out) not in job.result.read_text()


def test_held_out_patients_are_not_counted_as_trained_on(tmp_path):
    """``contrast_map`` holds patients out although nobody asked; phantoms have two volumes a patient."""
    dataset = {"importer": "phantoms", "training": 4, "testing": 1}
    jobs = small_jobs(tmp_path, dataset=dataset, methods=["pce", "contrast_map"], iterations=2, hold_out_share=0.5)
    run_jobs(jobs, None, MACHINE)
    every, half = (read_result(job.result) for job in jobs)
    assert (every["data"]["training_groups"], every["data"]["training_cases"]) == (4, 8)
    assert (half["data"]["training_groups"], half["data"]["training_cases"]) == (2, 4)
    assert half["training"]["hold_out_share"] == 0.5
    assert "hold_out_share" not in every["training"]


def test_results_are_kept_where_they_are_asked_for(smoke, out):
    kept = {path.name: path.read_text() for path in (out / "kept" / "smoke").iterdir()}
    assert kept == {job.kept_as: job.result.read_text() for job in smoke}


class TestRecord:
    """Results of another machine, which a repository keeps."""

    def test_results_of_the_same_runs_are_taken_from_it(self, smoke, out, tmp_path, capsys):
        options = {"threads": 1, "precision": "32-true", "device": "cpu", "record": out / "kept"}
        benchmark("smoke", tmp_path / "new", dry_run=True, **options)
        assert capsys.readouterr().out.startswith("recorded ")
        benchmark("smoke", tmp_path / "new", **options)
        said = capsys.readouterr().out
        assert said.count("as recorded, commit ") == 2
        assert said.endswith("2 kept\n")
        taken = [tmp_path / "new" / job.result.relative_to(out) for job in smoke]
        assert [path.read_text() for path in taken] == [job.result.read_text() for job in smoke]
        assert not (tmp_path / "new" / "runs").exists() or not list((tmp_path / "new" / "runs").rglob("model.json"))
        report(tmp_path / "new", out=tmp_path / "page.html", reading="plain")
        assert "gated_crf" in (tmp_path / "page.html").read_text()

    def test_results_of_other_runs_are_not(self, tmp_path):
        (job,) = small_jobs(tmp_path, iterations=1)
        run_jobs([job], None, MACHINE, record=tmp_path / "kept")
        before = read_result(tmp_path / "kept" / "small" / job.kept_as)
        (longer,) = small_jobs(tmp_path, iterations=2)
        again = replace(longer, out=tmp_path / "new")
        assert again.recorded(tmp_path / "kept") == []
        assert run_jobs([again], None, MACHINE, record=tmp_path / "kept").done == (again,)
        after = read_result(tmp_path / "kept" / "small" / job.kept_as)
        assert (before["training"]["iterations"], after["training"]["iterations"]) == (1, 2)

    def test_a_run_that_another_suite_asked_for_is_taken_too_under_this_suite_s_words(self, tmp_path):
        (job,) = small_jobs(tmp_path, iterations=1)
        run_jobs([job], None, MACHINE, record=tmp_path / "kept")
        other = job.suite.model_copy(update={"name": "other", "protocol": "Asked again."})
        again = replace(job, suite=other, out=tmp_path / "new")
        assert run_jobs([again], None, MACHINE, record=tmp_path / "kept").kept == (again,)
        first, second = read_result(job.result), read_result(again.result)
        assert (second["suite"], second["protocol"]) == ("other", "Asked again.")
        assert {**first, "suite": "other", "protocol": "Asked again."} == second
        assert read_result(tmp_path / "kept" / "other" / again.kept_as) == second

    def test_what_lies_in_out_goes_to_the_record_under_the_words_of_now(self, tmp_path):
        (job,) = small_jobs(tmp_path, iterations=1)
        run_jobs([job], None, MACHINE)
        later = replace(job, suite=job.suite.model_copy(update={"protocol": "Said better."}))
        assert run_jobs([later], None, MACHINE, record=tmp_path / "kept").kept == (later,)
        assert read_result(tmp_path / "kept" / "small" / job.kept_as)["protocol"] == "Said better."

    def test_a_damaged_file_stops_its_own_suite_alone(self, tmp_path):
        (job,) = small_jobs(tmp_path, iterations=1)
        (tmp_path / "kept" / "other").mkdir(parents=True)
        (tmp_path / "kept" / "other" / job.kept_as).write_text("no results")
        assert job.recorded(tmp_path / "kept") == []
        (tmp_path / "kept" / "other").rename(tmp_path / "kept" / "small")
        with pytest.raises(DamagedFileError):
            job.recorded(tmp_path / "kept")

    def test_results_of_other_data_are_not(self, tmp_path):
        (job,) = small_jobs(tmp_path, iterations=1)
        run_jobs([job], None, MACHINE, record=tmp_path / "kept")
        path = tmp_path / "kept" / "small" / job.kept_as
        path.write_text(path.read_text().replace(read_result(path)["data"]["hash"], "0" * 64))
        lines = []
        again = replace(job, out=tmp_path / "new")
        assert run_jobs([again], None, MACHINE, record=tmp_path / "kept", say=lines.append).done == (again,)
        assert "is of other data" in lines[0]
        assert read_result(path)["data"]["hash"] == read_result(again.result)["data"]["hash"] != "0" * 64


@pytest.mark.parametrize("reading", ["plain", "bordered", "recalibrated"])
def test_summary_and_cases_agree(smoke, reading):
    content = read_result(smoke[0].result)["readings"][reading]
    columns, rows = content["cases"]["columns"], content["cases"]["rows"]
    assert columns[:3] == ["case", "class", "dsc"]
    assert set(columns[3:]) == {
        f"{metric}_{unit}" for metric in ("hd95_pooled", "hd95_pooled_bounded") for unit in ("mm", "voxel")
    }
    assert len(rows) == 2 * 3
    for line in content["summary"]:
        column = line["metric"] + ("" if line["unit"] == "1" else f"_{line['unit']}")
        values = [row[columns.index(column)] for row in rows if line["class"] in (row[1], "all classes")]
        known = [value for value in values if value is not None]
        assert (line["n"], line["undefined"]) == (len(known), len(values) - len(known))
        if line["class"] != "all classes" and known:
            assert line["mean"] == pytest.approx(sum(known) / len(known), abs=1e-5)
    bounded = [row[columns.index("hd95_pooled_bounded_mm")] for row in rows]
    assert None not in bounded


def test_the_two_readings_differ_in_batchnorm_statistics_alone(smoke):
    plain, _ = load_model(smoke[0].folder)
    again, description = load_model(smoke[0].folder / "recalibrated")
    assert description.provenance["recalibrated_bn"]
    changed = {key for key, value in plain.state_dict().items() if not torch.equal(value, again.state_dict()[key])}
    assert changed
    assert all("running" in key or "num_batches" in key for key in changed)
    readings = read_result(smoke[0].result)["readings"]
    assert readings["plain"]["cases"]["columns"] == readings["recalibrated"]["cases"]["columns"]
    assert readings["plain"]["summary"] != readings["recalibrated"]["summary"]


def test_the_bordered_reading_is_the_plain_one_within_the_border(smoke):
    for case in (smoke[0].folder / "predictions" / "plain").glob("*.nii.gz"):
        plain, bordered = (read_label(case.parents[1] / reading / case.name).array for reading in ("plain", "bordered"))
        width = round(0.45 * plain.shape[1])
        assert (plain != bordered).any()
        assert (bordered[:, width:-width] == plain[:, width:-width]).all()
        assert (bordered[:, :width] == 0).all()
        assert (bordered[:, -width:] == 0).all()


def test_the_page_of_a_benchmark_shows_cases_as_every_method_sees_them(smoke, out, tmp_path):
    report(out, out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for why in ("median", "worst"):
        assert f"{why} case of" in page
    for job in smoke:
        assert f"<figcaption>{job.entry.title}</figcaption>" in page


def test_models_on_the_way_are_evaluated_for_rules_of_selection(tmp_path):
    (job,) = small_jobs(
        tmp_path,
        select="marks",
        keep=2,
        validate_every=5,
        dataset={"importer": "phantoms", "training": 3, "testing": 1},
    )
    assert run_jobs([job], None, MACHINE).done == (job,)
    content = read_result(job.result)
    assert [one["step"] for one in content["kept"]] == [5, 10]
    assert all(one["partial_ce"] > 0 for one in content["kept"])
    rules = by_rule(content)
    assert rules[TEST] == max(rules.values())
    assert rules[LAST] == content["kept"][1]["summary"][-5]["mean"]
    best = min(content["kept"], key=lambda one: one["partial_ce"])
    assert best["summary"] == content["readings"]["plain"]["summary"]  # the run ships what the marks chose
    assert rules[MARKS] == best["summary"][-5]["mean"]


def test_running_again_does_nothing(smoke, out):
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()}
    assert run_jobs(smoke, None, MACHINE).kept == tuple(smoke)
    after = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()}
    assert before == after


def test_a_dry_run_of_finished_and_unfinished_runs(smoke, out, capsys, tmp_path):
    benchmark("smoke", out, threads=1, precision="32-true", device="cpu", dry_run=True, as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert [(run["state"], run["hours"]) for run in content["runs"]] == [("done", 0.0)] * 2
    hidden = smoke[0].result.rename(smoke[0].result.with_name("test-seed2.json"))  # as if another seed were done
    try:
        benchmark("smoke", out, threads=1, precision="32-true", device="cpu", dry_run=True, as_json=True)
        content = json.loads(capsys.readouterr().out)
        benchmark("smoke", out, threads=1, precision="bf16-mixed", device="cpu", dry_run=True)
        text = capsys.readouterr().out
    finally:
        hidden.rename(smoke[0].result)
    run = content["runs"][0]
    assert (run["state"], run["basis"]) == ("partly", "finished runs")
    evaluation = read_result(smoke[0].result)["cost"]["evaluation_minutes"] / 60
    assert run["hours"] == pytest.approx(evaluation)  # all steps are saved
    assert content["hours"] == pytest.approx(run["hours"])
    assert "(timed)" in text  # other hardware does not count


def test_a_dry_run_of_nothing_yet_writes_nothing(tmp_path, capsys):
    benchmark("acdc-quick", tmp_path / "out", threads=1, only="pce", seeds="2", dry_run=True, as_json=True)
    content = json.loads(capsys.readouterr().out)
    (run,) = content["runs"]
    assert (run["run"], run["state"], run["basis"]) == ("pce/fold1-seed2", "to do", "timed")
    assert run["hours"] > 0
    assert not (tmp_path / "out").exists()


def test_hours_are_unknown_where_the_classes_are(tmp_path, capsys):
    dataset = {"importer": "folder", "source": "mine", "name": "Mine"}
    benchmark(str(suite_file(tmp_path, dataset=dataset)), tmp_path / "out", threads=1, dry_run=True)
    assert "1 of unknown length" in capsys.readouterr().out


def test_a_damaged_results_file_is_named(smoke):
    whole = smoke[0].result.read_bytes()
    try:
        smoke[0].result.write_bytes(whole[:-20])
        with pytest.raises(DamagedFileError, match="no results file"):
            run_jobs(smoke, None, MACHINE)
    finally:
        smoke[0].result.write_bytes(whole)


def test_flat_lines_are_the_same_json(tmp_path):
    content = {"format": 1, "a": [1, 2], "b": {"c": "x [y] {z}\n w", "d": []}, "e": [[1, None], ["p  q", 0.5]], "f": {}}
    write_result(tmp_path / "r.json", content)
    assert read_result(tmp_path / "r.json") == content
    assert " [1, null]," in (tmp_path / "r.json").read_text()


def test_time_is_counted_over_all_processes():
    events = [
        {"event": "benchmark", "time": 0.0},
        {"event": "start", "time": 10.0},
        {"event": "step", "time": 30.0, "step": 10},
        {"event": "step", "time": 50.0, "step": 20},
        {"event": "benchmark", "time": 500.0},
        {"event": "resume", "time": 510.0, "step": 15},
        {"event": "step", "time": 520.0, "step": 20},
        {"event": "end", "time": 530.0},
    ]
    cost = cost_of(events)
    assert cost == {"train_minutes": 1.0, "seconds_per_iteration": 2.0, "processes": 2}
    assert cost_of([])["seconds_per_iteration"] is None


def test_a_run_of_another_suite_under_the_same_name_is_not_taken_for_done(smoke, tmp_path):
    jobs = small_jobs(tmp_path)
    run_jobs(jobs, None, MACHINE)
    for path in (jobs[0].result, None):
        other = small_jobs(tmp_path, iterations=11)
        with pytest.raises(InputError, match="another version of this suite"):
            run_jobs(other, None, MACHINE)
        if path is not None:
            path.unlink()  # begun, but not done


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 2}', "3"])
def test_what_is_no_results_file_is_named(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DamagedFileError, match="no results file"):
        read_result(tmp_path / "r.json")


def test_one_row_of_several_is_asked_for_by_its_title(tmp_path):
    suite = load_suite("acdc-quick")
    rows = jobs_of(suite, tmp_path, methods=["attenscribble start=0.3"], seeds=[1])
    assert [job.entry.settings for job in rows] == [{"start": 0.3}]
    assert len(jobs_of(suite, tmp_path, methods=["attenscribble"], seeds=[1])) == 2
    assert jobs_of(suite, tmp_path, methods=[rows[0].entry.label], seeds=[1]) == rows
    with pytest.raises(InputError, match=re.escape("attenscribble start=0.3")):
        jobs_of(suite, tmp_path, methods=["attenscribble start=0.4"])
