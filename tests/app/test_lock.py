"""The lock of a job says whether any of its processes lives."""

import os
import signal
import subprocess
import sys

from pointillist.app.lock import held, holder, take
from tests.patience import wait_until

PARENT = """
import subprocess, sys
from pathlib import Path
from pointillist.app.lock import take
lock = take(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(3600)"],
                         pass_fds=[lock])
print(child.pid, flush=True)
child.wait()
"""


def test_a_lock_is_held_once(tmp_path):
    path = tmp_path / "lock"
    assert not held(path)
    descriptor = take(path)
    assert held(path)
    assert holder(path) == os.getpid()
    assert take(path) is None
    os.close(descriptor)
    assert not held(path)
    assert holder(path) is None


def test_a_child_keeps_the_lock_of_a_parent_that_was_killed(tmp_path):
    path = tmp_path / "lock"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    said = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
    child = int((said - {"ready"}).pop())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert held(path)
    assert holder(path) == parent.pid  # still the number of the group
    os.killpg(parent.pid, signal.SIGTERM)
    wait_until(lambda: not held(path))
    assert child
