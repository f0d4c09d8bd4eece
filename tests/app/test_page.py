"""The page's files: kept by the browser, and asked for anew after an upgrade."""

import http.client
import re

from tests.app.marking import pictures
from tests.app.served import TOKEN, served
from tests.patience import PATIENCE_S


def test_files_are_kept_under_a_name_of_their_version(tmp_path):
    with served(pictures(tmp_path / "D").root, tmp_path / "runs") as client:

        def get(path):
            connection = http.client.HTTPConnection("127.0.0.1", client._port, timeout=PATIENCE_S)
            connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, answer.headers["cache-control"], content

        status, kept, content = get("/")
        assert (status, kept) == (200, "no-cache")
        addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', content.decode())
        assert len(addresses) > 40
        for address in addresses:
            status, kept, _ = get(address)
            assert (status, kept) == (200, "max-age=31536000, immutable"), address
        assert get("/static/js/main.js")[:2] == (200, "no-cache")
        assert get("/static/0000/js/main.js")[0] == 404
