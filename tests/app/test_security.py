"""Only the browser that opened the printed address gets anything; the rest is refused, logged, and changes nothing."""

import http.client
import json
import logging
import socket

import pytest

from pointillist.app.links import refuse_links_out
from pointillist.app.security import MOST_BODY_BYTES, MOST_UPLOAD_BYTES, Door
from pointillist.cli.main import main
from tests.app.marking import draw, pictures
from tests.app.served import TOKEN, served
from tests.patience import PATIENCE_S


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    root = pictures(tmp_path_factory.mktemp("security") / "D").root
    (root.parent / "secret.txt").write_text("secret")
    with served(root, tmp_path_factory.mktemp("runs")) as client:
        yield client


def ask(client, method, path, headers, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", client._port, timeout=PATIENCE_S)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None and "Content-Length" not in headers:
        connection.putheader("Content-Length", str(len(data)))
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(data)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


ALLOWED = {"Authorization": f"Bearer {TOKEN}"}


def test_the_printed_address_gives_a_cookie_and_the_cookie_opens_the_rest(client):
    answer, _ = ask(client, "GET", f"/?token={TOKEN}", {})
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"pointillist-{client._port}={TOKEN};")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    answer, content = ask(client, "GET", "/api/dataset", {"Cookie": cookie.split(";")[0]})
    assert answer.status == 200
    assert json.loads(content)["name"] == "Mine"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/api/dataset", "/static/index.html", "/api/events", "/api/cases/pic0"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "pointillist-1=x"},
        {"Cookie": "a=\x80b"},
    ],
)
def test_without_the_token_there_is_nothing(client, path, headers, caplog):
    caplog.set_level(logging.WARNING)
    answer, content = ask(client, "GET", path, headers)
    assert answer.status == 401
    assert "lacks the token" in json.loads(content)["error"]["what"]
    assert "refused" in caplog.text
    assert TOKEN not in caplog.text


def test_a_wrong_token_in_the_address_gives_no_cookie(client):
    answer, _ = ask(client, "GET", "/?token=wrong", {})
    assert (answer.status, answer.headers["set-cookie"]) == (401, None)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:PORT", ""])
def test_another_host_is_refused(client, host):
    answer, content = ask(client, "GET", "/api/dataset", {"Host": host.replace("PORT", str(client._port)), **ALLOWED})
    assert answer.status == 403
    assert "another server" in json.loads(content)["error"]["what"]


def test_localhost_is_ours(client):
    address = f"localhost:{client._port}"
    answer, _ = ask(client, "GET", "/api/dataset", {"Host": address, "Origin": f"http://{address}", **ALLOWED})
    assert answer.status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:PORT"])
def test_another_origin_is_refused(client, origin):
    headers = {"Origin": origin.replace("PORT", str(client._port)), **ALLOWED}
    answer, content = ask(client, "POST", "/api/cases/pic0/ops", headers, {"ops": [draw("a")]})
    assert answer.status == 403
    assert "another site" in json.loads(content)["error"]["what"]


def test_another_sites_request_is_refused(client):
    answer, _ = ask(
        client, "GET", "/api/dataset", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", **ALLOWED}
    )
    assert answer.status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../secret.txt",
        "/static/%2e%2e/%2e%2e/secret.txt",
        "/static/..%2f..%2f..%2fsecret.txt",
        "/static//etc/passwd",
        "/api/cases/..%2f..%2fsecret.txt",
        "/api/cases/../../secret.txt/thumbnail",
        "/api/cases/%00/tiles/-/0/0/0_0",
        "/api/cases/pic0/tiles/-/0/0/..%2f..",
        "/nowhere",
    ],
)
def test_no_path_leads_out(client, path):
    answer, content = ask(client, "GET", path, ALLOWED)
    assert answer.status in (400, 404)
    assert b"secret" not in content.replace(b"secret.txt", b"")
    assert set(json.loads(content)["error"]) >= {"what", "where", "expected", "received", "todo"}


@pytest.mark.parametrize("name", ["imagesTr/pic0_0000.png", "labelsTr/pic0.png", "labelsTr", "marks", "dataset.json"])
def test_a_dataset_with_a_link_that_leads_out_is_not_opened(tmp_path, capsys, name):
    root, outside = pictures(tmp_path / "D").root, tmp_path / "outside"
    if (root / name).exists():
        (root / name).rename(outside)
    else:
        outside.mkdir()
    before = outside.stat().st_mtime_ns
    (root / name).symlink_to(outside)
    with pytest.raises(SystemExit) as ended:
        main(["annotate", str(root), "--no-browser", "--port", "0"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "a link leads out of the dataset" in said
    assert name in said
    assert outside.stat().st_mtime_ns == before


def test_links_within_a_dataset_and_broken_ones_are_harmless(tmp_path):
    root = pictures(tmp_path / "D").root
    (root / "same").symlink_to(root / "imagesTr")
    (root / "loop").symlink_to("loop")
    refuse_links_out(root)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"\x00" * (MOST_BODY_BYTES + 1), 413),
        ({"Content-Length": "99999999999"}, b"", 413),
        ({}, b"not json", 422),
        ({}, b"", 422),
        ({}, b"[" * 200_000, 422),
        ({}, b'{"ops": [' + b'{"op":' * 100_000, 422),
        ({}, b'{"ops": []}', 422),
        ({}, b'{"ops": [{"op":"spent","id":"x","seconds":NaN}]}', 422),
        ({}, b'{"ops": [{"op":"spent","id":"x","seconds":1e999}]}', 422),
        ({}, b'{"ops": [{"op":"spent","id":"../x","seconds":1}]}', 422),
        ({}, b'{"ops": [{"op":"done","id":"x","value":true,"more":1}]}', 422),
    ],
)
def test_bodies_that_are_too_large_or_nonsense_are_refused_and_the_server_lives(client, headers, body, status):
    answer, content = ask(client, "POST", "/api/cases/pic0/ops", headers | ALLOWED, body)
    assert answer.status == status
    assert all(json.loads(content)["error"][part] for part in ("what", "where", "expected", "received", "todo"))
    assert client.get("/api/cases/pic0")["revision"] == 0


def test_an_upload_that_is_too_large_is_refused_before_it_comes(client):
    headers = {"Content-Length": str(MOST_UPLOAD_BYTES + 1), "Content-Type": "multipart/form-data; boundary=b"}
    answer, content = ask(client, "POST", "/api/import", headers | ALLOWED, b"")
    assert answer.status == 413
    assert "marks import" in json.loads(content)["error"]["todo"]


def test_a_body_that_says_less_than_it_brings_is_cut_off(client):
    with socket.create_connection(("127.0.0.1", client._port), timeout=PATIENCE_S) as raw:
        head = (
            f"POST /api/cases/pic0/ops HTTP/1.1\r\nHost: 127.0.0.1:{client._port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        )
        raw.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(2 * MOST_BODY_BYTES // (1 << 20)):
                raw.sendall(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
            raw.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # it hung up
        else:
            assert b" 413 " in raw.recv(200)
    assert client.get("/api/cases/pic0")["revision"] == 0


def test_other_methods_are_refused(client):
    for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"):
        assert ask(client, method, "/api/cases/pic0", ALLOWED)[0].status == 405


def test_a_door_answers_to_its_own_names_alone():
    assert Door(80, "t").addresses == {"127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost"}
    assert Door(8000, "t", ("10.0.0.5",)).addresses == {"10.0.0.5:8000"}
