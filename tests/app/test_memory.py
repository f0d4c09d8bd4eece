"""The server stays small: images and networks live in other processes."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.app.marking import draw, many
from tests.app.test_faults import Server

SLICES = 2000
MOST_MEGABYTES = 200


def test_the_server_loads_no_torch_and_draws_nothing_itself():
    code = "import sys, pointillist.app.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "skimage", "matplotlib", "pointillist.train", "pointillist.methods"} & set(loaded)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_two_thousand_slices_need_less_than_200_megabytes(tmp_path):
    server = Server(many(tmp_path / "D", SLICES, (128, 128)))
    server.wait()
    rng = np.random.default_rng(0)
    for number in range(40):
        ops = [draw(f"s{number}-{one}", 1, (rng.random((60, 2)) * 100).tolist()) for one in range(50)]
        assert server.send(f"pic{number % 20}", *ops)[0] == 200
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    server.end(signal.SIGTERM)
    assert peak < MOST_MEGABYTES
