"""Training from the page: through the command line, past a restart of the server, stopped, resumed, deleted."""

import json
import os
import signal

import pytest

from pointillist.app.lock import holder, take
from pointillist.app.planes import Planes
from pointillist.app.recipe import form_for
from pointillist.app.runs import LOCK
from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from tests.app.served import add_run, served


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("jobs") / "D", training=2, testing=0, seed=1)


def ended(summary):
    return summary["state"] != "running"


@pytest.mark.slow
def test_the_loop_train_look_train_on_through_a_restart_and_a_stop(root, tmp_path):
    runs = tmp_path / "runs"
    with served(root, runs) as client:
        status, first = client.ask("POST", "/api/runs", {"method": "pce", "iterations": 3, "settings": {}})
        assert (status, first["state"], first["id"]) == (201, "running", "001-pce")
        assert client.ask("POST", "/api/runs", {"method": "pce", "iterations": 3})[0] == 409
        assert client.ask("DELETE", "/api/runs/001-pce")[0] == 409
    with served(root, runs) as client:  # the job went on without its server
        done = client.until("/api/runs/001-pce", ended)
        assert (done["state"], done["predicted"], done["step"]) == ("done", True, 3)
        assert {1, 3} <= {number for number, _ in done["losses"]["pce"]}
        found = client.get("/api/suggestions", run="001-pce")
        assert [one["id"] for one in found["cases"]] != []
        case, places = next(iter(found["places"].items()))
        assert set(places[0]) == {"row", "col", "slice", "score", "class"}
        tile = client.get(f"/api/runs/001-pce/overlay/{case}/2/0/0/0_0", what="uncertainty")
        assert tile.startswith(b"\x89PNG")
        wish = {"method": "pce", "minutes": 60, "init": "001-pce"}
        status, second = client.ask("POST", "/api/runs", wish)
        assert (status, second["id"]) == (201, "002-pce")
        client.until("/api/runs/002-pce", lambda run: run["step"] > 0)
        assert client.ask("POST", "/api/runs/002-pce/stop")[0] == 202
        stopped = client.until("/api/runs/002-pce", ended)
        assert (stopped["state"], stopped["error"]) == ("stopped", None)
        assert list((runs / "002-pce" / "checkpoints").glob("*.sha256"))
        plan = json.loads((runs / "002-pce" / "run.json").read_text())["plan"]
        assert plan["init"] == str(runs / "001-pce")
        assert plan["only_marked"]
        status, resumed = client.ask("POST", "/api/runs/002-pce/resume")
        assert (status, resumed["state"]) == (200, "running")
        client.until("/api/runs/002-pce", lambda run: run["step"] > stopped["step"])
        os.killpg(holder(runs / "002-pce" / LOCK), signal.SIGKILL)  # the machine goes down
        assert client.until("/api/runs/002-pce", ended)["state"] == "stopped"
        assert client.ask("DELETE", "/api/runs/002-pce")[0] == 200
        assert not (runs / "002-pce").exists()
        assert [run["id"] for run in client.get("/api/runs")] == ["001-pce"]


@pytest.mark.slow
def test_a_run_that_cannot_be_says_why_in_the_command_lines_words(root, tmp_path):
    with served(root, tmp_path / "runs") as client:
        wish = {"method": "gated_crf", "settings": {"weight": -5}, "iterations": 3}
        name = client.ask("POST", "/api/runs", wish)[1]["id"]
        failed = client.until(f"/api/runs/{name}", ended)
        assert failed["state"] == "failed"
        assert "weight" in failed["error"]
        assert "Traceback" not in failed["error"]
        methods = client.get("/api/methods")
        assert methods["pce"]["summary"]
    with served(root, tmp_path / "runs") as client:
        assert client.get("/api/methods") == methods  # without another process


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    empty_run(runs, "mine", root)
    return runs


def empty_run(runs, name, root):
    return add_run(runs, name, Dataset.open(root), lambda labels: (labels.array * 0, labels.array * 0.0))


@pytest.fixture(scope="module")
def client(root, runs):
    """One server for the tests that follow; those that change a run have one of their own."""
    with served(root, runs) as client:
        yield client


@pytest.mark.parametrize(
    "wish",
    [
        {"method": "../pce", "minutes": 1},
        {"method": "pce", "minutes": 0},
        {"method": "pce", "minutes": 1, "iterations": 2},
        {"method": "pce", "settings": {"--device": 1}},
        {"method": "pce", "settings": {"a": [1]}},
        {"method": "pce", "init": "../mine"},
        {"method": "pce", "shell": "rm"},
        {"minutes": 1},
        "pce",
    ],
)
def test_wishes_that_cannot_be_start_nothing(client, runs, wish):
    before = set(runs.iterdir())
    status, answer = client.ask("POST", "/api/runs", wish)
    assert (status, answer["error"]["what"]) == (422, "the run cannot be started as it was asked for")
    assert set(runs.iterdir()) == before


@pytest.mark.parametrize("name", ["none", "..", "%2e%2e", ".hidden", "mine%2f..%2f..", "link"])
def test_runs_outside_of_the_folder_are_not_found(client, runs, tmp_path, name):
    (tmp_path / "run.json").write_text("{}")
    (runs / "link").symlink_to(tmp_path)
    for method in ("GET", "DELETE"):
        assert client.ask(method, f"/api/runs/{name}")[0] in (404, 405)
    assert (tmp_path / "run.json").exists()
    (runs / "link").unlink()


def test_a_run_of_the_command_line_is_listed_with_its_curves(client):
    (entry,) = [run for run in client.get("/api/runs") if run["id"] == "mine"]
    assert (entry["id"], entry["state"], entry["method"]) == ("mine", "done", "pce")
    assert "losses" not in entry
    detail = client.get("/api/runs/mine")
    assert detail["losses"] == {"pce": [[10, 0.5], [20, 0.25]]}
    assert detail["validation"] == [[20, 0.125]]


def test_pages_are_told_what_changes(client, root, runs):
    run = empty_run(runs, "told", root)
    client.get("/api/runs")
    with client.events("job") as jobs:
        lock = take(run / LOCK)
        assert next(job for job in jobs if job["state"] == "running")["id"] == "told"
        os.close(lock)
        assert next(jobs)["state"] == "done"
        client.ask("DELETE", "/api/runs/told")
        assert next(jobs) == {"id": "told", "deleted": True}


def test_training_from_a_run_without_a_model_is_refused(client, root, runs):
    (empty_run(runs, "bare", root) / "model.json").unlink()
    status, answer = client.ask("POST", "/api/runs", {"method": "pce", "init": "bare"})
    assert (status, answer["error"]["what"]) == (422, "the run to begin with has no model")


def planes(tmp_path, shape, axis, dtype, *, colour=False):
    return Planes(tmp_path, shape, axis, dtype, 3 if colour else 1, colour, False, 0, 1, 0, 1)


def test_slices_are_resized_and_tissue_is_cropped(tmp_path):
    volume = form_for(planes(tmp_path, (512, 512, 9), 2, "<i2"))
    assert (volume["size"], volume["grid"]) == (128, "zoom0")
    assert form_for(planes(tmp_path, (256, 240), None, "|u1")) == volume
    tissue = form_for(planes(tmp_path, (256, 256), None, "|u1", colour=True))
    assert (tissue["grid"], tissue["normalisation"]) == ("native", "unit")
    assert form_for(planes(tmp_path, (2000, 2000), None, "<u2"))["normalisation"] == "minmax"
