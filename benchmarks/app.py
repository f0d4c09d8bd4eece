"""Speed and memory of the annotation app's server on 2,000 slices, as volumes and as pictures.

Run: python benchmarks/app.py [--large]

Writes benchmarks/results/app.json. Requests go over the loopback address, one at a time, as a page sends them; a stroke
is acknowledged when it is on the disk. ``--large`` adds a picture of 20,000 × 20,000 pixels (2 GB of disk, minutes).
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from pointillist.benchmark.provenance import code_version
from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import Grid, Image
from pointillist.data.writers import write_json
from pointillist.spec import TaskSpec
from pointillist.train.plan import processor

RESULT = Path(__file__).parent / "results" / "app.json"
TOKEN = "a-token-of-the-benchmark"
SLICES = 2000
STROKES = 500
LARGE = 20_000


class Client:
    """A page, as far as the server can tell."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """The content of an answer."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {"Authorization": f"Bearer {TOKEN}"})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content.decode())
        return content

    def timed(self, method: str, path: str, body: object = None) -> float:
        """Milliseconds until an answer is here."""
        start = time.perf_counter()
        self.ask(method, path, body)
        return (time.perf_counter() - start) * 1000


def volumes(root: Path) -> None:
    spec = TaskSpec(("background", "RV", "Myo", "LV"), ("MRI",))
    grid = Grid((216, 256, 10), (1.5, 1.5, 8.0), np.diag([1.5, 1.5, 8.0, 1.0]), np.array([[0.0, 1], [1, 1], [2, 1]]))
    build(root, spec, ".nii.gz", grid, SLICES // 10, np.int16)


def pictures(root: Path) -> None:
    build(root, TaskSpec(("background", "nucleus"), ("R", "G", "B")), ".png", Grid((256, 256)), SLICES, np.uint8)


def build(root: Path, spec: TaskSpec, ending: str, grid: Grid, cases: int, kind: type) -> None:
    rng = np.random.default_rng(0)
    shape = (*grid.shape, 3) if len(spec.channels) == 3 else grid.shape
    array = np.cumsum(rng.integers(-20, 21, shape), axis=1).clip(0, 255).astype(kind)
    with DatasetBuilder(root, name=root.name, spec=spec, ending=ending, kind="benchmark") as builder:
        for number in range(cases):
            builder.add(NewCase(f"case{number:04d}", Image(np.roll(array, number, axis=0), grid), f"case{number:04d}"))
        builder.finish([])


def large(root: Path) -> None:
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    wave = (np.sin(np.linspace(0, 400, LARGE))[:, None] * np.cos(np.linspace(0, 300, LARGE)) * 90 + 128).astype(
        np.uint8
    )
    options = {"compression": "zlib", "metadata": None, "rowsperstrip": 512}
    picture = np.stack([wave, wave // 2 + 60, 255 - wave], axis=-1)
    tifffile.imwrite(root / "imagesTr" / "case0000_0000.tif", picture, photometric="rgb", **options)
    tifffile.imwrite(root / "labelsTr" / "case0000.tif", np.full_like(wave, 2), photometric="minisblack", **options)
    write_json(
        root / "dataset.json",
        {
            "channel_names": {"0": "R", "1": "G", "2": "B"},
            "labels": {"background": 0, "gland": 1, "ignore": 2},
            "numTraining": 1,
            "file_ending": ".tif",
        },
    )


@contextmanager
def server(root: Path) -> Iterator[tuple[Client, int, float]]:
    """A client, the server's process, and the seconds until it listened."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pointillist", "annotate", str(root), "--port", str(port)]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--token", TOKEN, "--no-browser"], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - start > 300:
                    raise
                time.sleep(0.02)
        client = Client(port)
        client.ask("GET", "/api/dataset")
        yield client, process.pid, time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def looked_through(client: Client) -> float:
    """Wait until the server knows every case; seconds."""
    start = time.perf_counter()
    while any(case["shape"] is None for case in json.loads(client.ask("GET", "/api/dataset"))["cases"]):
        time.sleep(0.2)
    return time.perf_counter() - start


def strokes(client: Client, case: str, depth: list[int]) -> list[float]:
    """Acknowledgements of scribbles of 60 vertices, while label files are being saved too."""
    times = []
    rng = np.random.default_rng(1)
    for number in range(STROKES):
        places = (rng.random(2) * 150 + np.cumsum(rng.random((60, 2)), axis=0)).round(2).tolist()
        stroke = {"id": f"s{number}", "class": 1, "points": [[*place, *depth] for place in places], "width_px": 3}
        times.append(
            client.timed(
                "POST", f"/api/cases/{case}/ops", {"ops": [{"op": "draw", "id": f"o{number}", "stroke": stroke}]}
            )
        )
        time.sleep(0.01)
    return times


def memory(pid: int) -> dict[str, float]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: round(int(status[key].split()[0]) / 1024, 1) for name, key in (("now", "VmRSS"), ("most", "VmHWM"))}


def quantiles(times: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(times, q)), 2) for q in (50, 95, 99)}


def measured(root: Path, axis: str, slices: int, depth: list[int], cases: int) -> dict[str, object]:
    with server(root) as (client, _, _):
        found: dict[str, object] = {"look through all cases, first time (s)": round(looked_through(client), 2)}
        client.ask("GET", "/api/cases/case0000")
    with server(root) as (client, pid, started):
        found["start, second time (s)"] = round(started, 2)
        found["page and list of cases (ms)"] = quantiles(
            [client.timed("GET", "/") + client.timed("GET", "/api/dataset") for _ in range(20)]
        )
        found["open a case (ms)"] = quantiles(
            [client.timed("GET", f"/api/cases/case{number:04d}") for number in range(min(cases, 40))]
        )
        rng = np.random.default_rng(2)
        addresses = [f"/api/cases/case0000/tiles/{axis}/{rng.integers(slices)}/0/0_0" for _ in range(200)]
        found["slice or tile (ms)"] = quantiles([client.timed("GET", address) for address in addresses])
        found["stroke acknowledged (ms)"] = quantiles(strokes(client, "case0000", depth))
        found["memory of the server (MB)"] = memory(pid)
    return found


def measured_large(root: Path) -> dict[str, object]:
    with server(root) as (client, pid, _):
        first = client.timed("GET", "/api/cases/case0000") / 1000
        rng = np.random.default_rng(3)
        places = [(level, *rng.integers(0, -(-LARGE // (512 << level)), 2)) for level in range(6) for _ in range(40)]
        times = [client.timed("GET", f"/api/cases/case0000/tiles/-/0/{n}/{x}_{y}") for n, x, y in places]
        return {
            "first opening (s)": round(first, 1),
            "tile (ms)": quantiles(times),
            "memory of the server (MB)": memory(pid),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true")
    wanted = parser.parse_args()
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        volumes(Path(folder, "volumes"))
        found["200 volumes of 10 slices, 216 × 256"] = measured(Path(folder, "volumes"), "2", 10, [4], 200)
        pictures(Path(folder, "pictures"))
        found["2,000 colour pictures, 256 × 256"] = measured(Path(folder, "pictures"), "-", 1, [], 2000)
        if wanted.large:
            large(Path(folder, "large"))
            found["one colour picture, 20,000 × 20,000"] = measured_large(Path(folder, "large"))
    made_by = {"code": code_version(), "processor": processor(), "load": round(os.getloadavg()[0], 1)}
    write_json(RESULT, {**made_by, "figures": found})
    print(json.dumps({**made_by, "figures": found}, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
