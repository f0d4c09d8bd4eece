"""A server that is killed at any moment loses no acknowledged stroke and leaves no half-written file."""

import contextlib
import errno
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pointillist.app import log as logs
from pointillist.app import saving
from pointillist.app.log import read_log
from pointillist.app.places import log_folder, log_path
from pointillist.app.state import CaseState
from pointillist.data.check import check_dataset
from pointillist.data.dataset import Dataset
from pointillist.data.marked import read_marked
from pointillist.geometry.strokes import rasterise
from tests.app.marking import batch, draw, op, pictures
from tests.app.served import TOKEN, served
from tests.patience import PATIENCE_S, wait_until

CASES = 3


class Server:
    """``pointillist annotate`` in a process group of its own."""

    def __init__(self, root, **options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "pointillist", "annotate", root, "--port", self.port, "--token", TOKEN]
        self.process = subprocess.Popen(
            [*map(str, command), "--no-browser"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
        )

    def send(self, case, *ops):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            body = json.dumps({"ops": ops})
            connection.request("POST", f"/api/cases/{case}/ops", body, {"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def wait(self):
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, self.process.stderr.read().decode()
                assert time.monotonic() < end
                time.sleep(0.05)

    def end(self, how):
        self.process.send_signal(how)
        said = self.process.stderr.read().decode()
        self.process.wait(timeout=PATIENCE_S)
        self.process.stderr.close()
        return said


def stream(server, acknowledged, sent, stop):
    """Draw as fast as the server takes it, until it is gone."""
    while not stop.is_set():
        case = f"pic{random.randrange(CASES)}"
        one = draw(f"s{random.getrandbits(60)}", random.choice([0, 1, 2, None]), [(random.random() * 11, 3), (4, 9)])
        sent.setdefault(case, set()).add(one["stroke"]["id"])
        try:
            status, _ = server.send(case, one)
        except (OSError, http.client.HTTPException, ValueError):
            return
        if status == 200:
            acknowledged.setdefault(case, []).append(one["stroke"]["id"])


def sound(root):
    """Every file of the dataset can be read, and no marks contradict the labels beyond what a restart mends."""
    for path in log_folder(root).glob("*.json"):
        json.loads(path.read_bytes())
    result = check_dataset(Dataset.open(root))
    return [one for one in result.findings if one.severity == "error"]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [50 if os.environ.get("POINTILLIST_FAULTS") else 6])
def test_killed_at_random_moments_while_strokes_stream_in(tmp_path, kills):
    root = pictures(tmp_path / "D", CASES).root
    acknowledged, sent = {}, {}
    for _ in range(kills):
        server = Server(root, start_new_session=True)
        server.wait()
        stop = threading.Event()
        pages = [threading.Thread(target=stream, args=(server, acknowledged, sent, stop)) for _ in range(2)]
        for page in pages:
            page.start()
        time.sleep(random.uniform(0.2, 4))
        server.end(signal.SIGKILL)
        stop.set()
        for page in pages:
            page.join()
        for case, names in acknowledged.items():
            kept = list(read_log(log_path(root, case)).strokes)
            assert set(names) <= set(kept) <= sent[case]
        assert sound(root) == []
    server = Server(root, start_new_session=True)
    server.wait()
    assert server.send("pic0", op("spent", seconds=1))[0] == 200  # it runs, and ends politely from now on
    server.end(signal.SIGTERM)
    dataset = Dataset.open(root)
    for case, names in acknowledged.items():
        log = read_log(log_path(root, case))
        assert len(names) == len(set(names)) > 0
        marked = read_marked(dataset, dataset.case(case))
        assert marked.strokes == log.marks()
        labels = dataset.sparse_labels(dataset.case(case)).array
        assert (labels == rasterise(marked.strokes, labels.shape)).all()
    assert not list(root.rglob("*.partial"))[2 * kills :]


def test_ended_politely_everything_is_in_the_label_files(tmp_path):
    root = pictures(tmp_path / "D").root
    server = Server(root)
    server.wait()
    assert server.send("pic0", draw("a"))[0] == 200
    server.end(signal.SIGTERM)
    dataset = Dataset.open(root)
    assert (dataset.sparse_labels(dataset.case("pic0")).array == 1).sum() == 7


def test_a_worker_ends_with_its_server(tmp_path):
    root = pictures(tmp_path / "D").root
    server = Server(root)
    server.wait()
    assert server.send("pic0", draw("a"))[0] == 200
    children = subprocess.run(
        ["ps", "--ppid", str(server.process.pid), "-o", "pid="], capture_output=True, text=True, check=True
    ).stdout.split()
    assert children
    server.end(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_a_second_server_is_told_where_the_first_is(tmp_path):
    root = pictures(tmp_path / "D").root
    server = Server(root)
    server.wait()
    other = Server(root)
    said = other.process.communicate(timeout=PATIENCE_S)[1].decode()
    assert other.process.returncode == 1
    assert f"process {server.process.pid} has it open" in said
    server.end(signal.SIGTERM)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


class TestDisk:
    """What the log says when the disk does not take a stroke."""

    @pytest.fixture
    def root(self, tmp_path):
        return pictures(tmp_path / "D").root

    def ask(self, client, *ops):
        return client.ask("POST", "/api/cases/pic0/ops", {"ops": list(ops)})

    @pytest.mark.parametrize("call", ["write", "fsync"])
    @pytest.mark.parametrize(
        ("number", "kind"), [(errno.ENOSPC, "disk-full"), (errno.EROFS, "read-only"), (errno.EIO, "storage")]
    )
    def test_a_stroke_that_is_not_on_the_disk_is_not_acknowledged(
        self, root, tmp_path, monkeypatch, call, number, kind
    ):
        with served(root, tmp_path / "runs") as client:
            assert self.ask(client, draw("a"))[0] == 200
            real, halved = getattr(os, call), []

            def failing(handle, *data):
                if data and not halved:  # half of it fits
                    halved.append(True)
                    return real(handle, data[0][: len(data[0]) // 2])
                raise OSError(number, os.strerror(number))

            with monkeypatch.context() as patch:
                patch.setattr(logs.os, call, failing)
                status, content = self.ask(client, draw("b"))
            assert (status, content["error"]["kind"]) == (507, kind)
            assert content["error"]["where"].endswith("pic0.jsonl")
            assert [one["id"] for one in client.get("/api/cases/pic0")["strokes"]] == ["a"]
            assert list(read_log(log_path(root, "pic0")).strokes) == ["a"]
            assert self.ask(client, draw("b"))[0] == 200
            assert list(read_log(log_path(root, "pic0")).strokes) == ["a", "b"]

    def test_a_disk_that_cannot_even_cut_the_line_is_mended_by_the_next_stroke(self, root, monkeypatch):
        path = log_path(root, "pic0")
        logs.new_log(path, CaseState())
        log = logs.LogFile(path)
        log.append(batch(draw("a")).ops)
        real = os.write
        with monkeypatch.context() as patch:
            patch.setattr(logs.os, "write", lambda handle, data: real(handle, data[:9]) and full())
            patch.setattr(logs.os, "ftruncate", full)
            with pytest.raises(OSError, match="No space"):
                log.append(batch(draw("b")).ops)
        log.append(batch(draw("c")).ops)
        log.close()
        assert list(read_log(path).strokes) == ["a", "c"]

    def test_a_process_that_may_not_write_more_says_so(self, root):
        import resource

        limit = 3000
        server = Server(root, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        server.wait()
        kept = []
        for number in range(60):
            status, content = server.send("pic0", draw(f"s{number}"))
            if status != 200:
                break
            kept.append(f"s{number}")
        assert (status, content["error"]["kind"]) == (507, "disk-full")
        assert content["error"]["what"] == "the disk is full"
        assert "sends them again" in content["error"]["todo"]
        server.end(signal.SIGKILL)
        assert list(read_log(log_path(root, "pic0")).strokes) == kept

    @pytest.mark.slow
    def test_label_files_that_cannot_be_written_are_a_problem_that_every_page_hears_of(self, root, tmp_path):
        from tests.app.test_server import listening

        with served(root, tmp_path / "runs") as client:
            client.get("/api/cases/pic0")
            labels = root / "labelsTr"
            labels.rename(root / "elsewhere")
            labels.write_text("in the way")
            seen, thread = listening(client, lambda events: events[-1][0] == "problem")
            later, relieved = listening(client, lambda events: events[-1][:2] == ("problem", {}))
            assert self.ask(client, draw("a"))[0] == 200  # the log has it
            thread.join(PATIENCE_S)
            assert seen[-1][1]["case"] == "pic0"
            assert all(seen[-1][1][part] for part in ("what", "where", "expected", "received", "todo"))
            labels.unlink()
            (root / "elsewhere").rename(labels)
            dataset = Dataset.open(root)
            wait_until(lambda: (dataset.sparse_labels(dataset.case("pic0")).array == 1).any())
            relieved.join(PATIENCE_S)
            assert later[-1][:2] == ("problem", {})


def test_a_worker_that_dies_over_a_file_is_started_again(tmp_path):
    root = pictures(tmp_path / "D").root
    with served(root, tmp_path / "runs") as client:
        client.get("/api/cases/pic0")
        children = subprocess.run(
            ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for line in children:
            if "pointillist.app.worker" in line and str(root) in line:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(line.split()[0]), signal.SIGKILL)
        assert client.ask("POST", "/api/cases/pic0/ops", {"ops": [draw("a")]})[0] == 200
        dataset = Dataset.open(root)
        wait_until(lambda: (dataset.sparse_labels(dataset.case("pic0")).array == 1).any())
        assert client.get("/api/cases/pic1")["revision"] == 0


def test_damaged_files_are_one_cases_problem(tmp_path):
    root = pictures(tmp_path / "D").root
    (root / "imagesTr" / "pic0_0000.png").write_bytes(b"\x89PNG broken")
    log_folder(root).mkdir(parents=True)
    log_path(root, "pic1").write_bytes(b"broken\n")
    with served(root, tmp_path / "runs") as client:
        for case in ("pic0", "pic1"):
            status, content = client.ask("GET", f"/api/cases/{case}")
            assert status == 422
            assert all(content["error"][part] for part in ("what", "where", "expected", "received", "todo"))
        assert len(client.get("/api/dataset")["cases"]) == 2


def test_saving_is_right_after_any_cut_of_the_log(tmp_path):
    dataset = pictures(tmp_path / "D")
    path = log_path(dataset.root, "pic0")
    logs.new_log(path, CaseState())
    log = logs.LogFile(path)
    log.append(batch(draw("a", 1, [(1, 1)]), draw("b", 2, [(2, 2)])).ops)
    log.close()
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole), 7):
        path.write_bytes(whole[:cut])
        for other in (path.with_name("pic0.saved.json"), dataset.case("pic0").marks):
            other.unlink(missing_ok=True)
        saving.save(dataset, case="pic0")
        labels = dataset.sparse_labels(dataset.case("pic0")).array
        drawn = whole[:cut].count(b"\n") - 1
        assert [int(labels[1, 1]), int(labels[2, 2])] == [[255, 255], [1, 255], [1, 2]][drawn]
        dataset.case("pic0").sparse.write_bytes(dataset.case("pic1").sparse.read_bytes())
        assert np.unique(dataset.sparse_labels(dataset.case("pic0")).array).tolist() == [255]
