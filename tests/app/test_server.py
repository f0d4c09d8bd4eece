"""The server as a page sees it: marks, tiles, classes, hints, events; other programs and tabs at the same time."""

import gzip
import http.client
import io
import itertools
import json
import threading
import time
import urllib.parse
import zipfile

import numpy as np
import pytest
from PIL import Image

from pointillist.app.places import log_path, read_saved
from pointillist.data.dataset import Dataset
from pointillist.data.exchange.bring import bring_marks
from pointillist.data.marked import Marked, read_marked, write_marked
from pointillist.data.phantoms import make_phantoms
from pointillist.data.writers import write_label
from pointillist.types import IGNORE, Stroke
from tests.app.marking import draw, op, pictures
from tests.app.served import TOKEN, served
from tests.data.conftest import raw_png
from tests.patience import PATIENCE_S, wait_until


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("server") / "D", 60).root


@pytest.fixture(scope="module")
def client(root, tmp_path_factory):
    with served(root, tmp_path_factory.mktemp("runs")) as client:
        yield client


_numbers = itertools.count()


class Page:
    """What a page does to one case that no other test looks at."""

    def __init__(self, client, root):
        self.client, self.root = client, root
        self.id = f"pic{next(_numbers)}"
        self.dataset = Dataset.open(root)
        self.case = self.dataset.case(self.id)

    def send(self, *ops):
        status, content = self.client.ask("POST", f"/api/cases/{self.id}/ops", {"ops": list(ops)})
        assert status == 200, content
        return content["revision"]

    def get(self, rest="", **query):
        return self.client.get(f"/api/cases/{self.id}{rest}", **query)

    @property
    def strokes(self):
        return [one["id"] for one in self.get()["strokes"]]

    @property
    def labels(self):
        return self.dataset.sparse_labels(self.case).array


@pytest.fixture
def page(client, root):
    return Page(client, root)


def listen(client, seen, last=None, until=None, query=""):
    """Read events into a list of (kind, data, id) until something holds."""
    connection = http.client.HTTPConnection("127.0.0.1", client._port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Last-Event-ID": last} if last else {})
    connection.request("GET", f"/api/events{query}", headers=headers)
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    fields = {}
    seen.append(("open", {}, None))
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            seen.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
            fields = {}
        if until is not None and until(seen):
            break
    answer.close()
    connection.close()


def listening(client, until, last=None, query=""):
    seen = []
    thread = threading.Thread(target=listen, args=(client, seen, last, until, query), daemon=True)
    thread.start()
    while not seen:
        time.sleep(0.01)
    return seen, thread


def test_a_stroke_is_acknowledged_from_the_log_and_soon_in_the_label_file(page):
    found = page.get()
    assert (found["shape"], found["slice_axis"], found["revision"], found["strokes"]) == ([12, 20], None, 0, [])
    assert found["window"]["min"] <= found["window"]["lo"] < found["window"]["hi"] <= found["window"]["max"]
    assert page.send(draw("a"), draw("b", None, [(2, 4)])) == 2
    assert len(log_path(page.root, page.id).read_bytes().splitlines()) == 3
    wait_until(lambda: (page.labels != IGNORE).any())
    assert page.labels[2, 2:6].tolist() == [1, 1, IGNORE, 1]
    assert page.strokes == ["a", "b"]
    (summary,) = [one for one in page.client.get("/api/dataset")["cases"] if one["id"] == page.id]
    assert (summary["strokes"], summary["marked"]) == (2, True)


def test_what_cannot_be_is_refused_whole(page):
    bad = [
        draw("x", 3),
        draw("x", 1, [(2, 2, 2)]),
        draw("x", 1, [(1e7, 2)]),
        draw("x", 1, width=1e6),
        draw("x y"),
        draw("x", -1),
        draw("x", 1, []),
        op("paint"),
        op("spent", seconds=-1),
        {"op": "done", "value": True},
    ]
    for one in bad:
        status, content = page.client.ask("POST", f"/api/cases/{page.id}/ops", {"ops": [draw("fine"), one]})
        assert status == 422, one
        assert all(content["error"][part] for part in ("what", "where", "expected", "received", "todo"))
    assert page.strokes == []
    assert page.client.ask("POST", "/api/cases/pic999/ops", {"ops": [draw("a")]})[0] == 404


def test_a_retry_counts_once(page):
    once = draw("a")
    assert [page.send(once), page.send(once), page.send(once, draw("b"))] == [1, 1, 2]
    assert page.strokes == ["a", "b"]


def test_two_tabs_keep_both_their_strokes(page):
    def of_case(events):
        return [data for kind, data, _ in events if kind == "ops" and data["case"] == page.id]

    seen, thread = listening(page.client, lambda events: len(of_case(events)) == 40)

    def tab(name):
        for number in range(20):
            page.send(draw(f"{name}{number}"))

    tabs = [threading.Thread(target=tab, args=(name,)) for name in "ab"]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join()
    assert sorted(page.strokes) == sorted(f"{name}{number}" for name in "ab" for number in range(20))
    thread.join(PATIENCE_S)
    told = of_case(seen)
    assert [data["revision"] for data in told] == list(range(1, 41))
    assert {op["stroke"]["id"] for data in told for op in data["ops"]} == set(page.strokes)


def test_a_page_that_was_away_is_told_what_it_missed(page):
    seen, thread = listening(page.client, lambda events: events[-1][0] == "ops")
    page.send(draw("a"))
    thread.join(PATIENCE_S)
    last = seen[-1][2]
    page.send(draw("b"))
    again, thread = listening(page.client, lambda events: events[-1][0] == "ops", last)
    thread.join(PATIENCE_S)
    assert [data["ops"][0]["stroke"]["id"] for kind, data, _ in again if kind == "ops"] == ["b"]
    for stale in ("other-1", f"{last.split('-')[0]}-x", "nonsense"):
        other, thread = listening(page.client, lambda events: len(events) > 1, stale)
        thread.join(PATIENCE_S)
        assert other[1][0] == "reset"


def test_a_page_misses_nothing_between_the_list_of_cases_and_its_first_event(page):
    seen = page.client.get("/api/dataset")["seen"]
    page.send(draw("a"))
    told, thread = listening(page.client, lambda events: events[-1][0] == "ops", query=f"?seen={seen}")
    thread.join(PATIENCE_S)
    assert told[-1][1]["ops"][0]["stroke"]["id"] == "a"


def test_a_restart_knows_everything(tmp_path):
    root = pictures(tmp_path / "D").root
    with served(root, tmp_path / "runs") as client:
        drawn = [draw("a"), op("spent", seconds=4), op("done", value=True), draw("b"), op("remove", ids=["b"])]
        assert client.ask("POST", "/api/cases/pic0/ops", {"ops": drawn})[1] == {"revision": 5}
    dataset = Dataset.open(root)
    assert len(read_marked(dataset, dataset.case("pic0")).strokes) == 1  # saved as the server ended
    with served(root, tmp_path / "runs") as client:
        found = client.get("/api/cases/pic0")
        assert [one["id"] for one in found["strokes"]] == ["a"]
        assert (found["seconds"], found["done"], found["revision"]) == (4, True, 5)
        client.ask("POST", "/api/cases/pic0/ops", {"ops": [op("restore", ids=["b"])]})
        assert [one["id"] for one in client.get("/api/cases/pic0")["strokes"]] == ["a", "b"]


def test_another_program_and_the_page_do_not_overwrite_each_other(page):
    page.send(draw("a"), draw("b", 2))
    wait_until(lambda: (page.labels != IGNORE).any())
    seen, thread = listening(page.client, lambda events: any(data.get("reload") for _, data, _ in events))
    marked = read_marked(page.dataset, page.case)
    write_marked(page.dataset, page.case, Marked(marked.image, None, (*marked.strokes, Stroke(2, [[11, 11]]))))
    page.send(draw("c"))
    thread.join(PATIENCE_S)
    assert seen[-1][1]["notice"].endswith(f"{page.id}.1.jsonl")
    assert page.strokes == ["a", "b", "f0", "c"]
    wait_until(lambda: len(page.dataset.read_marks(page.case).strokes) == 4)


def test_labels_edited_with_another_program_become_the_base(page):
    page.send(draw("a"))
    wait_until(lambda: (page.labels != IGNORE).any())
    edited = np.full((12, 20), 3, np.uint8)
    edited[10] = 2
    wait_until(lambda: read_saved(page.root, page.id).writing is None)  # the save is over when it says what it saved
    write_label(page.case.sparse, edited, page.dataset.sparse_labels(page.case).grid)
    page.send(draw("b", 0, [(0, 0)]))
    wait_until(lambda: page.labels[0, 0] == 0)
    assert page.labels[[2, 10, 0], [2, 2, 0]].tolist() == [1, 2, 0]
    assert page.get()["base"] is True
    tile = np.array(Image.open(io.BytesIO(page.get("/base/-/0/0/0_0"))))
    assert (tile[10, :, 3] == 255).all()
    assert not tile[:10, :, 3].any()


class TestTiles:
    def test_grey_is_exact(self, page):
        tile = np.array(Image.open(io.BytesIO(page.get("/tiles/-/0/0/0_0", lo=0, hi=255))))
        assert (tile == page.dataset.image(page.case).array).all()

    def test_volumes_are_cut_across_any_axis(self, tmp_path):
        root = make_phantoms(tmp_path / "V", training=1, testing=0, seed=1)
        dataset = Dataset.open(root)
        case = dataset.training[0]
        image = dataset.image(case)
        low, high = float(image.array.min()), float(image.array.max())
        with served(root, tmp_path / "runs") as client:
            found = client.get(f"/api/cases/{case.id}")
            assert (found["slice_axis"], found["spacing"]) == (image.grid.slice_axis, list(image.grid.spacing_mm))
            for axis in range(3):
                index = image.grid.shape[axis] // 2
                data = client.get(f"/api/cases/{case.id}/tiles/{axis}/{index}/0/0_0", lo=low, hi=high)
                plane = np.take(image.array, index, axis=axis)
                expected = (plane - low) * (255 / (high - low))
                assert np.abs(np.array(Image.open(io.BytesIO(data))) - expected).max() <= 1
            half = client.get(f"/api/cases/{case.id}/tiles/{found['slice_axis']}/0/1/0_0")
            rows, columns = (-(-n // 2) for axis, n in enumerate(found["shape"]) if axis != found["slice_axis"])
            assert Image.open(io.BytesIO(half)).size == (columns, rows)
            for wrong in ("-/0/0/0_0", f"{axis}/9999/0/0_0", "0/0/0/5_5", "0/0/30/0_0", "7/0/0/0_0", "0/0/0/a_b"):
                assert client.ask("GET", f"/api/cases/{case.id}/tiles/{wrong}")[0] == 404

    def test_large_colour_images_have_levels(self, tmp_path):
        root = pictures(tmp_path / "C", 1, (700, 1100), colour=True).root
        dataset = Dataset.open(root)
        array = dataset.image(dataset.training[0]).array
        with served(root, tmp_path / "runs") as client:
            right = np.array(Image.open(io.BytesIO(client.get("/api/cases/pic0/tiles/-/0/0/2_1"))))
            assert right.shape == (700 - 512, 1100 - 1024, 3)
            assert np.abs(right.astype(int) - array[512:, 1024:]).mean() < 6  # noise, as JPEG
            small = np.array(Image.open(io.BytesIO(client.get("/api/cases/pic0/tiles/-/0/2/0_0"))))
            assert small.shape == (175, 275, 3)
            means = array.reshape(175, 4, 275, 4, 3).mean(axis=(1, 3))
            assert np.abs(small - means).mean() < 8
            assert client.ask("GET", "/api/cases/pic0/tiles/-/0/3/0_0")[0] == 404
            assert client.ask("GET", "/api/cases/pic0/tiles/-/0/0/0_0", lo="nan")[0] == 400


def test_classes_are_changed_in_the_page(tmp_path):
    root = pictures(tmp_path / "D").root
    with served(root, tmp_path / "runs") as client:
        client.ask("POST", "/api/cases/pic0/ops", {"ops": [draw("a", 2)]})
        seen, thread = listening(client, lambda events: events[-1][0] == "dataset")
        names = [{"name": name} for name in ("nothing", "gland", "tumour", "duct")]
        status, found = client.ask("PATCH", "/api/dataset", {"classes": names})
        assert (status, [one["name"] for one in found["classes"]]) == (200, ["nothing", "gland", "tumour", "duct"])
        thread.join(PATIENCE_S)
        assert seen[-1][1] == found
        assert client.ask("PATCH", "/api/dataset", {"classes": names[:2]})[0] == 422
        assert client.ask("POST", "/api/cases/pic0/ops", {"ops": [draw("b", 3, [(0, 0)])]})[0] == 200
    dataset = Dataset.open(root)
    labels = dataset.sparse_labels(dataset.case("pic0")).array
    assert (labels[2, 2], labels[0, 0], labels[5, 5]) == (2, 3, IGNORE)


class TestExchange:
    def upload(self, client, files, **query):
        border = "----border"
        parts = [
            f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
            + data
            + b"\r\n"
            for name, data in files
        ]
        connection = http.client.HTTPConnection("127.0.0.1", client._port, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": f"multipart/form-data; boundary={border}"}
        body = b"".join(parts) + f"--{border}--\r\n".encode()
        connection.request("POST", "/api/import?" + urllib.parse.urlencode(query), body, headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content

    def geojson(self, x=3.5, y=2.5, name="tumour"):
        geometry = {"type": "Point", "coordinates": [x, y]}
        properties = {"objectType": "annotation", "classification": {"name": name}}
        return json.dumps([{"type": "Feature", "geometry": geometry, "properties": properties}]).encode()

    def test_a_dry_run_shows_where_marks_would_lie_and_changes_nothing(self, page):
        before = page.case.sparse.read_bytes()
        status, found = self.upload(page.client, [(f"{page.id}.geojson", self.geojson())], dry_run=1)
        assert (status, found["points"], found["cases"], found["dry_run"]) == (200, 1, [page.id], True)
        assert found["pictures"][0]["image"].startswith("data:image/jpeg;base64,")
        assert page.strokes == []
        assert page.case.sparse.read_bytes() == before

    def test_marks_come_in_beside_those_of_the_page(self, page):
        page.send(draw("a"))
        assert self.upload(page.client, [("exported.geojson", self.geojson())], case=page.id)[0] == 200
        found = page.get()["strokes"]
        assert [(one["id"], one["class"], one.get("author")) for one in found] == [("a", 1, None), ("f0", 2, "QuPath")]
        assert found[1]["points"] == [[2.0, 3.0]]
        page.send(draw("b"))
        assert page.strokes == ["a", "f0", "b"]

    def test_marks_come_to_a_case_that_nobody_marked(self, page):
        assert page.strokes == []
        assert self.upload(page.client, [(f"{page.id}.geojson", self.geojson())])[0] == 200
        assert len(page.strokes) == 1

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("CASE.geojson", b"{"),
            ("CASE.geojson", b"[" * 100_000),
            ("CASE.geojson", b'[{"type":"Feature","geometry":{"type":"Point","coordinates":[NaN,1]}}]'),
            ("CASE.geojson", b'[{"type":"Feature","geometry":{"type":"Point","coordinates":[1e300,1e308]}}]'),
            ("CASE.zip", b"PK\x03\x04 no archive"),
            ("CASE-labels.png", b"\x89PNG\r\n\x1a\n"),
            ("stranger.geojson", b"[]"),
            ("CASE.exe", b"MZ"),
            ("..", b"x"),
            (".hidden.geojson", b"[]"),
        ],
    )
    def test_what_is_no_file_of_marks_is_refused_and_the_server_lives(self, page, name, data):
        status, content = self.upload(page.client, [(name.replace("CASE", page.id), data)])
        assert status in (400, 422)
        assert all(content["error"][part] for part in ("what", "where", "expected", "received", "todo"))
        assert "/tmp" not in content["error"]["where"]
        assert page.strokes == []

    @pytest.mark.parametrize("ending", ["-labels.nii.gz", "-labels.png", ".zip"])
    def test_a_bomb_is_refused_and_the_server_lives(self, page, ending):
        if ending == ".zip":
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a.roi", bytes(1 << 26))
            data = file.getvalue()
        elif ending.endswith(".gz"):
            member = gzip.compress(bytes(1 << 26), 1)
            data = member * 17  # more than 1 GiB
        else:
            data = raw_png(60_000, 60_000, 8, 0, b"\0" * 1000)
        status, content = self.upload(page.client, [(page.id + ending, data)])
        assert (status, "error" in content) == (422, True)
        assert page.strokes == []

    def test_a_name_never_leads_anywhere(self, page):
        name = f"../../../../{page.id}.geojson"
        assert self.upload(page.client, [(name, self.geojson())], dry_run=1)[0] == 200  # the name alone counts
        assert not list(page.root.parent.rglob("*.geojson"))

    @pytest.mark.parametrize("query", [{"format": "dicom"}, {"axes": "xyz"}, {"width_px": "wide"}, {"width_px": "nan"}])
    def test_options_that_cannot_be(self, page, query):
        assert self.upload(page.client, [(f"{page.id}.geojson", self.geojson())], **query)[0] == 400

    @pytest.mark.parametrize("form", ["qupath", "imagej", "napari", "labels"])
    def test_marks_go_out_and_are_the_same_when_they_come_back(self, page, tmp_path, form):
        page.send(draw("a", 1, [(2, 2), (2, 12)], 3.0), draw("b", None, [(2, 7)], 3.0), draw("c", 2, [(9, 4)]))
        archive = zipfile.ZipFile(io.BytesIO(page.client.get("/api/export", format=form, case=page.id)))
        assert form == "labels" or "eraser touched" in archive.read("notes.txt").decode()
        archive.extractall(tmp_path / "out")
        (tmp_path / "out" / "notes.txt").unlink(missing_ok=True)
        other = pictures(tmp_path / "Other", 60)
        bring_marks(other, [tmp_path / "out"])
        assert (Dataset.open(other.root).sparse_labels(other.case(page.id)).array == page.labels).all()

    def test_a_thumbnail_shows_the_marks(self, page):
        plain = page.get("/thumbnail")
        page.send(draw("a", 2, [(6, 2), (6, 18)], 5.0))
        wait_until(lambda: page.get("/thumbnail") != plain)
        colours = np.array(Image.open(io.BytesIO(page.get("/thumbnail"))).convert("RGB")).astype(int)
        assert np.ptp(colours, axis=2).max() > 60


def test_hints_follow_the_marks(page):
    def said():
        return " ".join(one["what"] for one in page.get("/hints"))

    page.get()
    assert "Click each structure once" in said()
    page.send(draw("a"))
    wait_until(lambda: "Mark background" in said())
    page.send(draw("b", 0, [(9, 9)]), draw("c", 2, [(11, 9)]))
    wait_until(lambda: said() == "")
