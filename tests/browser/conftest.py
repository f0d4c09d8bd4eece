"""A real browser against a real server."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.data.writers import write_image
from tests.conftest import png
from tests.patience import PATIENCE_S

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TOKEN = "a-token-for-tests-only"
SHOWN = """(([asked, shown]) => shown >= asked)(
    ["slice asked", "slice shown"].map(name => performance.getEntriesByName(name).at(-1)?.startTime))"""
HIDE = """() => {
    document.querySelectorAll("#zoom, #readout, #letters").forEach(e => e.style.visibility = "hidden");
    document.getElementById("viewer").style.outline = "none";
}"""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = os.environ.get("POINTILLIST_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip("no Chromium on this machine; POINTILLIST_CHROMIUM may name one")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=found, args=arguments)
        yield chromium
        chromium.close()


@dataclass
class Server:
    """`pointillist annotate` in a process of its own, that can be killed and started again at the same address."""

    source: Path
    port: int
    token: str = TOKEN
    process: subprocess.Popen | None = field(default=None)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Server:
        command = [sys.executable, "-m", "pointillist", "annotate", self.source, "--no-browser", "--author", "ana"]
        command += ["--port", self.port, "--token", self.token]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([str(part) for part in command], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(1200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, "the server did not start"
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve() -> Iterator[Any]:
    """Start servers of a test's own."""
    with servers() as start:
        yield start


@contextlib.contextmanager
def servers() -> Iterator[Any]:
    """Start servers; they end with the block."""
    servers = []

    def start(source: Path, **options: Any) -> Server:
        servers.append(Server(source, free_port(), **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.kill()


class Page:
    """A tab of the annotation page, with the words of a user."""

    def __init__(self, tab: Any, server: Server) -> None:
        self.tab, self.server = tab, server
        self.errors: list[str] = []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type == "error" and not re.search(
            r"Failed to load resource|ERR_CONNECTION|EventSource", message.text
        ):
            self.errors.append(message.text)

    def open(self, case: str = "") -> Page:
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.server.address}/?token={self.server.token}#{case}")
        self.tab.wait_for_selector("html[data-ready]", state="attached")
        self.until(SHOWN)
        if self.tab.locator("dialog").count():  # a folder that has just become a dataset asks for its classes
            self.tab.get_by_role("button", name="Later").click()
        return self

    def until(self, condition: str) -> None:
        """Wait for a JavaScript expression; Playwright's own way needs `eval`, which the page's policy refuses."""
        end = time.monotonic() + PATIENCE_S
        while not self.tab.evaluate(condition):
            assert time.monotonic() < end, f"{condition} does not become true"
            self.tab.wait_for_timeout(50)

    def becomes(self, condition: Callable[[], Any]) -> None:
        """Wait until something holds that Python asks."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "it does not come true"
            self.tab.wait_for_timeout(50)

    def at_slice(self, number: int) -> None:
        """Wait until a slice is shown, counted from 1."""
        self.until(f"document.querySelector('#slices output').textContent.startsWith('{number} /')")
        self.until(SHOWN)

    def shows(self, case: str) -> None:
        """Wait until an image is open."""
        self.tab.locator("#case-name", has_text=case).wait_for()

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def place(self, across: float, down: float) -> tuple[float, float]:
        """A place on the viewer, as shares of its width and height."""
        box = self.tab.locator("#viewer").bounding_box()
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    def click(self, across: float, down: float) -> None:
        self.tab.mouse.click(*self.place(across, down))

    def drag(self, *places: tuple[float, float], steps: int = 8) -> None:
        self.tab.mouse.move(*self.place(*places[0]))
        self.tab.mouse.down()
        for place in places[1:]:
            self.tab.mouse.move(*self.place(*place), steps=steps)
        self.tab.mouse.up()

    def saved(self) -> None:
        self.tab.locator("#saved", has_text="All saved").wait_for()

    @property
    def case(self) -> str:
        return self.tab.inner_text("#case-name")

    def strokes(self, case: str | None = None) -> list[dict]:
        """What the server has."""
        self.saved()
        answer = self.tab.request.get(f"{self.server.address}/api/cases/{case or self.case}")
        assert answer.ok, answer.text()
        return answer.json()["strokes"]

    def new_strokes(self, before: list[dict]) -> list[dict]:
        known = {stroke["id"] for stroke in before}
        return [stroke for stroke in self.strokes() if stroke["id"] not in known]

    def picture(self) -> np.ndarray:
        """The image and its marks as they look, without buttons and brush, ``(h, w, 3)``, one value a CSS pixel.

        Taken when nothing moves any more; what is still on its way from the server may lack: ``becomes`` waits for it.
        """
        self.tab.mouse.move(640, 10)
        self.tab.evaluate(HIDE)
        viewer, data, before = self.tab.locator("#viewer"), b"", None
        while data != before:
            before, data = data, viewer.screenshot()
        return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


@pytest.fixture
def open_page(browser) -> Iterator[Any]:
    """Open tabs; `context` of another page makes them share cookies and storage. No page may report an error."""
    pages, contexts = [], []

    def start(server: Server, case: str = "", *, beside: Page | None = None, **options: Any) -> Page:
        if beside is None:
            contexts.append(browser.new_context(viewport={"width": 1280, "height": 800}, **options))
            contexts[-1].set_default_timeout(1000 * PATIENCE_S)
        context = beside.tab.context if beside else contexts[-1]
        pages.append(Page(context.new_page(), server))
        return pages[-1].open(case)

    yield start
    for context in contexts:
        context.close()
    for page in pages:
        assert page.errors == []


BRIGHT_PIXEL, BRIGHT_VOXEL = (23, 31), (40, 77, 2)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """Volumes of a few slices, with a click per class and slice; the last one is black but for a voxel."""
    folder = make_phantoms(tmp_path_factory.mktemp("phantoms") / "hearts", training=2, testing=0, seed=3)
    dataset = Dataset.open(folder)
    case = dataset.training[-1]
    image = dataset.image(case)
    array = np.zeros(image.array.shape, image.array.dtype)
    array[BRIGHT_VOXEL] = 1000
    write_image(case.images[0], array, image.grid)
    return folder


@pytest.fixture
def hearts(phantoms, tmp_path) -> Path:
    """A copy of the phantoms for a server of the test's own."""
    return Path(shutil.copytree(phantoms, tmp_path / "hearts"))


@pytest.fixture(scope="session")
def hearts_server(phantoms, tmp_path_factory) -> Iterator[Server]:
    """One server for all tests that look at what they add."""
    with servers() as start:
        yield start(Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("shared") / "hearts")))


@pytest.fixture(scope="session")
def pictures_server(tmp_path_factory) -> Iterator[Server]:
    """A folder of pictures: black, black but for a pixel, and large noise."""
    bright = grey(61, 47, value=0)
    bright[BRIGHT_PIXEL] = 255
    noise = np.random.default_rng(0).integers(0, 120, (1500, 1700), np.uint8)
    pictures = {"black": grey(40, 40, value=0), "bright": bright, "noise": noise}
    with servers() as start:
        yield start(write_pictures(tmp_path_factory.mktemp("shared") / "pictures", pictures))


def grey(*shape: int, value: int = 60) -> np.ndarray:
    return np.full(shape, value, np.uint8)


def write_pictures(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    for name, pixels in pictures.items():
        (folder / f"{name}.png").write_bytes(png(pixels))
    return folder
