"""A server of a dataset in a thread, and runs that look as if they had been trained."""

import http.client
import json
import socket
import threading
import time
import urllib.parse
from contextlib import contextmanager

import numpy as np
import uvicorn

from pointillist.app.context import Context
from pointillist.app.security import Door
from pointillist.app.server import build
from pointillist.data.dataset import Dataset
from pointillist.data.writers import write_image, write_json, write_label
from tests.patience import PATIENCE_S

TOKEN = "t" * 24


class Client:
    """Asks a server, with the token; ``(status, JSON or bytes)``."""

    def __init__(self, port):
        self._port = port

    def ask(self, method, path, body=None, **query):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        address = path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = None if body is None else json.dumps(body)
        connection.request(method, address, data, {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if "json" in answer.headers["content-type"] else content

    def get(self, path, **query):
        status, content = self.ask("GET", path, **query)
        assert status == 200, content
        return content

    @contextmanager
    def events(self, kind):
        """What pages are told from now on, of one kind."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        connection.request("GET", "/api/events", headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        assert b"id:" in answer.readline()

        def told():
            wanted = False
            for line in iter(answer.readline, b""):
                if line.startswith(b"event: "):
                    wanted = line.strip() == f"event: {kind}".encode()
                elif wanted and line.startswith(b"data: "):
                    yield json.loads(line[6:])

        try:
            yield told()
        finally:
            connection.close()

    def until(self, path, holds):
        """Ask again until something holds."""
        end = time.monotonic() + PATIENCE_S
        while not holds(found := self.get(path)):
            assert time.monotonic() < end, found
            time.sleep(0.2)
        return found


@contextmanager
def served(root, runs):
    """A client of the server of a dataset."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    context = Context(Dataset.open(root), Door(port, TOKEN), runs=runs)
    server = uvicorn.Server(uvicorn.Config(build(context), log_config=None, access_log=False, lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Client(port)
    finally:
        context.events.close()
        server.should_exit = True
        thread.join()
        listening.close()


def add_run(runs, name, dataset, found):
    """A finished run with predictions: ``found`` gives labels and uncertainty of a case from its marks' image."""
    run = runs / name
    write_json(run / "run.json", {"plan": {"method": "pce", "iterations": 20, "settings": {}, "augmentation": "acdc"}})
    write_json(run / "model.json", {"size": 32, "grid": "zoom0", "normalisation": "acdc", "net": "unet"})
    terms = {"pce": 0.5}
    events = [
        {"event": "start", "total": 20},
        {"event": "step", "step": 10, "terms": terms, "seconds_left": 3.0},
        {"event": "step", "step": 20, "terms": {"pce": 0.25}, "seconds_left": 0.0},
        {"event": "validation", "step": 20, "partial_ce": 0.125, "improved": True},
        {"event": "model", "step": 20},
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    for case in dataset.training:
        labels = dataset.sparse_labels(case)
        classes, doubt = found(labels)
        write_label(run / "predictions" / f"{case.id}.nii.gz", classes, labels.grid)
        write_image(run / "predictions" / "uncertainty" / f"{case.id}.nii.gz", doubt.astype(np.float32), labels.grid)
    return run
