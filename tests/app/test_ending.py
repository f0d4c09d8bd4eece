"""What is under way when the server ends is answered, not logged as a mistake."""

import asyncio

from pointillist.app.security import Door, Guard
from tests.app.loops import in_a_loop_of_its_own

SCOPE = {"type": "http", "method": "GET", "path": "/api/methods", "query_string": b"", "headers": []}
HEADERS = [(b"host", b"127.0.0.1:80"), (b"authorization", b"Bearer token")]


def cancelled(begun):
    """What is sent for a request whose task is cancelled, after its answer has begun or before."""
    sent = []

    async def waits(scope, receive, send):
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def main():
        asked = asyncio.create_task(Guard(waits, Door(80, "token"))(SCOPE | {"headers": HEADERS}, None, send))
        await asyncio.sleep(0)
        asked.cancel()
        await asked

    in_a_loop_of_its_own(main())
    return sent


def test_a_request_that_the_end_of_the_server_cuts_short_is_told_so():
    start, body = cancelled(begun=False)
    assert start["status"] == 503
    assert b"the server ends" in body["body"]


def test_an_answer_that_had_begun_just_ends():
    assert [message["type"] for message in cancelled(begun=True)] == ["http.response.start"]
