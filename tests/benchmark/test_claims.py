import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pointillist.benchmark import claims
from pointillist.benchmark.claims import claim, claim_when_free, is_claimed
from tests.patience import wait_until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "one.claim"


def write(path, **owner):
    """The claim of another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "born": "1", **owner}))


def dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_at_a_time(path):
    assert not is_claimed(path)
    with claim(path) as held:
        assert held
        assert is_claimed(path)
        with claim(path) as again:
            assert not again
        assert is_claimed(path)
    assert not path.exists()


def test_a_claim_is_given_back_after_an_error(path):
    with pytest.raises(KeyboardInterrupt), claim(path):
        raise KeyboardInterrupt
    assert not is_claimed(path)


def test_what_a_dead_process_held_is_taken_over(path):
    write(path, pid=dead())
    assert not is_claimed(path)
    with claim(path) as held:
        assert held
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_number_used_again_is_not_the_process_that_had_it(path):
    write(path, pid=os.getpid(), born="1")
    assert not is_claimed(path)


def test_what_another_living_process_holds_is_left_to_it(path):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        write(path, pid=sleeper.pid, born=claims._born(sleeper.pid))
        with claim(path) as held:
            assert not held
        assert path.exists()
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_machine_that_is_heard_of_no_more_loses_its_claim(path):
    write(path, host="another", pid=1)
    assert is_claimed(path)
    long_ago = time.time() - 2 * claims.LOST_SECONDS
    os.utime(path, (long_ago, long_ago))
    with claim(path) as held:
        assert held


def test_the_heart_beats(path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    with claim(path):
        os.utime(path, (0, 0))
        wait_until(lambda: path.stat().st_mtime != 0)
        assert time.time() - path.stat().st_mtime < 10


def test_many_that_find_a_dead_claim_do_not_all_take_it(path):
    write(path, pid=dead())
    everyone = threading.Barrier(8)

    def attempt(_):
        with claim(path) as held:
            everyone.wait(30)
            return held

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_waiting_for_a_claim(path):
    order = []

    def late():
        with claim_when_free(path):
            order.append("late")

    with claim(path):
        thread = threading.Thread(target=late)
        thread.start()
        time.sleep(0.1)
        order.append("early")
    thread.join(30)
    assert order == ["early", "late"]
