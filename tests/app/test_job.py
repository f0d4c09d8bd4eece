"""What a job does, by what its folder holds; the commands themselves are not run."""

import json
from pathlib import Path

import pytest

from pointillist.app import job as jobs
from pointillist.app.job import Job
from pointillist.app.runs import END, LOCK, LOG, REQUEST
from pointillist.data.writers import write_json


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "001-pce"
    write_json(folder / REQUEST, {"dataset": "/data/D", "arguments": ["--method", "pce"]})
    return folder


@pytest.fixture
def called(monkeypatch):
    """The commands that were called, and the codes that they return."""
    calls, codes = [], {}

    def call(self, command):
        calls.append([str(part) for part in command])
        return codes.get(command[0], 0)

    monkeypatch.setattr(Job, "_call", call)
    monkeypatch.setattr(jobs, "write_suggestions", lambda _, **__: calls.append(["suggest"]))
    monkeypatch.setattr(jobs.Dataset, "open", lambda root: root)
    return calls, codes


def test_a_new_run_is_trained_predicted_and_ranked(run, called):
    assert Job(run, 0).do() == {"state": "done"}
    predict = ["predict", str(run), "/data/D/imagesTr", str(run / "predictions"), "--uncertainty"]
    assert called[0] == [["train", "/data/D", str(run), "--method", "pce"], predict, ["suggest"]]


def test_a_run_that_began_is_resumed_and_one_that_ended_is_not_trained_again(run, called):
    write_json(run / "run.json", {})
    Job(run, 0).do()
    assert called[0][0] == ["train", "/data/D", str(run), "--resume"]
    write_json(run / "model.json", {})
    (run / "events.jsonl").write_text('{"event": "model", "step": 3}\n')
    called[0].clear()
    Job(run, 0).do()
    assert [call[0] for call in called[0]] == ["predict", "suggest"]


def test_a_command_that_fails_ends_the_job_with_its_words(run, called):
    called[1]["train"] = 1
    (run / LOG).write_text("…\nerror: there is nothing to train on\n")
    assert Job(run, 0).do() == {"state": "failed", "error": "there is nothing to train on"}
    assert len(called[0]) == 1
    called[1]["train"] = -9
    assert "SIGKILL" in Job(run, 0).do()["error"]


def test_a_job_that_is_asked_to_stop_begins_nothing_more(run, called):
    job = Job(run, 0)
    job.stop(15, None)
    assert job.do() == {"state": "stopped"}
    assert [call[0] for call in called[0]] == ["train"]  # which ended, having saved


def test_how_it_ended_is_written_and_the_lock_held_meanwhile(run, monkeypatch):
    def does(self):
        assert not (run / END).exists()
        assert jobs.take(run / LOCK) is None
        raise RuntimeError

    write_json(run / END, {"state": "stopped"})
    monkeypatch.setattr(Job, "do", does)
    monkeypatch.setattr(jobs.os, "nice", lambda _: 0)
    monkeypatch.setattr(jobs.signal, "signal", lambda *_: None)
    with pytest.raises(RuntimeError):
        jobs.main(run)
    assert json.loads((run / END).read_text())["state"] == "failed"


def test_a_second_job_leaves_the_first_alone(run, monkeypatch):
    lock = jobs.take(run / LOCK)
    monkeypatch.setattr(Job, "do", lambda _: pytest.fail("two at once"))
    jobs.main(run)
    jobs.os.close(lock)
    assert not (run / END).exists()
    assert Path(run / LOCK).exists()
