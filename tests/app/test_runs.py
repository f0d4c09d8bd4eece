"""What a run's folder says of it, whoever wrote it."""

import json
import os

import pytest

from pointillist.app.lock import take
from pointillist.app.runs import END, LOCK, LOG, PREDICTIONS, REQUEST, SUGGESTIONS, Run, runs_in, tail
from pointillist.data.writers import write_json


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "001-pce"
    request = {"method": "pce", "settings": {"a": 1}, "minutes": 2, "init": None, "dataset": "D", "arguments": []}
    write_json(folder / REQUEST, request)
    return Run(folder)


def log(run, *events):
    with (run.folder / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


def step(number, **terms):
    return {"event": "step", "step": number, "terms": terms, "seconds_left": 9.5}


PLAN = {"plan": {"method": "pce", "iterations": 40, "settings": {"a": 1}, "minutes": 2.0}}


def test_a_run_goes_through_its_stages(run):
    lock = take(run.folder / LOCK)
    first = run.summary()
    assert (first["state"], first["stage"], first["step"], first["steps"]) == ("running", "preparing", 0, None)
    assert (first["method"], first["settings"], first["minutes"]) == ("pce", {"a": 1}, 2)
    write_json(run.folder / "run.json", PLAN)
    log(run, {"event": "start"}, step(1, pce=2.0, crf=0.5), step(10, pce=1.0))
    second = run.summary()
    assert (second["stage"], second["step"], second["steps"], second["seconds_left"]) == ("training", 10, 40, 9.5)
    assert "losses" not in second
    log(run, {"event": "validation", "step": 20, "partial_ce": 0.25}, step(40, pce=0.5), {"event": "model", "step": 40})
    write_json(run.folder / "model.json", {})
    third = run.detail()
    assert (third["stage"], third["step"], third["seconds_left"]) == ("predicting", 40, None)
    assert third["losses"] == {"pce": [(1, 2.0), (10, 1.0), (40, 0.5)], "crf": [(1, 0.5)]}
    assert third["validation"] == [(20, 0.25)]
    assert not third["predicted"]
    write_json(run.folder / PREDICTIONS / SUGGESTIONS, {})
    write_json(run.folder / END, {"state": "done"})
    os.close(lock)
    last = run.summary()
    assert (last["state"], last["stage"], last["predicted"], last["error"]) == ("done", None, True, None)


def test_a_run_whose_process_vanished_can_be_resumed(run):
    write_json(run.folder / "run.json", PLAN)
    log(run, {"event": "start"}, step(10, pce=1.0))
    assert run.summary()["state"] == "stopped"


def test_a_run_that_failed_says_why(run):
    (run.folder / LOG).write_text("step 1 of 9\nerror: no training case holds a mark\n  where: D\n")
    write_json(run.folder / END, {"state": "failed", "error": None})
    summary = run.summary()
    assert summary["state"] == "failed"
    assert summary["error"] == "no training case holds a mark\n  where: D"


def test_a_log_without_an_error_shows_its_end(tmp_path):
    (tmp_path / "log").write_text("\n".join(f"line {number}" for number in range(9)))
    assert tail(tmp_path / "log") == "\n".join(f"line {number}" for number in range(4, 9))
    assert tail(tmp_path / "none")


def test_resumed_steps_are_not_shown_twice(run):
    log(run, {"event": "start"}, *(step(number, pce=1.0) for number in (10, 20, 30)))
    log(run, {"event": "resume", "step": 20}, step(21, pce=2.0), step(30, pce=3.0))
    assert [number for number, _ in run.detail()["losses"]["pce"]] == [10, 20, 21, 30]


def test_long_curves_are_thinned_and_keep_their_ends(run):
    log(run, *(step(number, pce=1.0) for number in range(1, 5001)))
    curve = run.detail()["losses"]["pce"]
    assert len(curve) <= 601
    assert curve[0][0] == 1
    assert curve[-1][0] == 5000


def test_only_folders_of_runs_are_listed_and_links_are_not(tmp_path):
    write_json(tmp_path / "runs" / "002-b" / REQUEST, {})
    write_json(tmp_path / "runs" / "001-a" / REQUEST, {})
    write_json(tmp_path / "runs" / "mine" / "run.json", PLAN)
    write_json(tmp_path / "elsewhere" / "run.json", PLAN)
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "runs" / "other").mkdir()
    assert [path.name for path in runs_in(tmp_path / "runs")] == ["mine", "001-a", "002-b"]
    assert list(runs_in(tmp_path / "none")) == []


def test_a_run_of_the_command_line_is_done_when_its_model_is_written(tmp_path):
    run = Run(tmp_path / "mine")
    write_json(run.folder / "run.json", PLAN)
    log(run, {"event": "start"}, step(40, pce=1.0))
    assert run.summary()["state"] == "stopped"
    write_json(run.folder / "model.json", {})
    log(run, {"event": "model", "step": 40})
    assert run.summary()["state"] == "done"
