"""Nothing is lost: servers that die, full disks, two tabs."""

import json
import resource

import pytest

from pointillist.app.places import log_path

AWAY = "The server does not answer."
KEPT = """async () => {
    const [{name}] = await indexedDB.databases();
    const result = (request) => new Promise((good, bad) => Object.assign(request, {
        onsuccess: () => good(request.result), onerror: () => bad(request.error)}));
    const data = await result(indexedDB.open(name));
    const count = await result(data.transaction(data.objectStoreNames).objectStore(data.objectStoreNames[0]).count());
    data.close();
    return count;
}"""


def scribble(page, index):
    across = 0.3 + 0.04 * (index % 10)
    page.drag((across, 0.3), (across + 0.02, 0.5), steps=3)


def test_strokes_drawn_while_the_server_is_dead_arrive_once(hearts, serve, open_page):
    server = serve(hearts)
    page = open_page(server)
    before = page.strokes()
    scribble(page, 0)
    server.kill()
    for index in range(1, 4):
        scribble(page, index)
    page.keys("z")
    page.tab.locator("#banner", has_text=AWAY).wait_for()
    assert "kept here" in page.tab.inner_text("#saved")
    server.start()
    page.tab.locator("#banner").wait_for(state="hidden")
    assert len(page.new_strokes(before)) == 3


def test_strokes_outlive_a_page_that_is_closed_before_they_are_saved(hearts, serve, open_page):
    server = serve(hearts)
    page = open_page(server)
    before, case = page.strokes(), page.case
    server.kill()
    scribble(page, 0)
    scribble(page, 1)
    page.becomes(lambda: page.tab.evaluate(KEPT) == 2)
    page.tab.context.new_page()  # the context stays open
    page.tab.close()
    server.start()
    again = open_page(server, case, beside=page)
    assert len(again.new_strokes(before)) == 2


def test_a_server_with_another_token_says_what_to_do(hearts, serve, open_page):
    server = serve(hearts)
    page = open_page(server)
    before, case = page.strokes(), page.case
    server.kill()
    server.token = "another-token-for-tests"
    server.start()
    scribble(page, 0)
    page.tab.locator("#banner", has_text="started anew").wait_for()
    other = open_page(server, case, beside=page)
    page.tab.locator("#banner").wait_for(state="hidden")
    page.saved()
    assert len(other.new_strokes(before)) == 1


def test_two_tabs_keep_each_others_strokes(hearts_server, open_page):
    one = open_page(hearts_server, "heart002_relaxed")
    other = open_page(hearts_server, one.case, beside=one)
    before = one.strokes()
    scribble(one, 0)
    scribble(other, 5)
    scribble(one, 2)
    one.saved()
    other.saved()
    assert len(one.new_strokes(before)) == 3
    for tab in (one, other):
        tab.until("[...document.querySelectorAll('.class .count')][1].textContent !== ''")
        counted = "[...document.querySelectorAll('.class .count')].reduce((sum, e) => sum + Number(e.textContent), 0)"
        tab.until(f"{counted} === {len(before) + 3}")
    one.keys("z", "z", "z")
    one.saved()
    assert len(other.new_strokes(before)) == 1


def test_a_folder_that_cannot_be_written_is_said_and_strokes_stay_in_the_page(hearts_server, open_page):
    page = open_page(hearts_server)
    before = page.strokes()
    error = {"what": "the dataset's folder cannot be written", "todo": "make the folder writable", "kind": "read-only"}
    page.tab.route("**/ops", lambda route: route.fulfill(status=507, json={"error": error}))
    scribble(page, 0)
    page.tab.locator("#banner", has_text=error["what"]).wait_for()
    scribble(page, 1)
    page.tab.unroute("**/ops")
    page.tab.locator("#banner").wait_for(state="hidden")
    assert len(page.new_strokes(before)) == 2


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the room of another process is taken on Linux alone")
def test_strokes_on_a_full_disk_are_kept_in_the_page_and_arrive_when_there_is_room(hearts_server, open_page):
    page = open_page(hearts_server, "heart002_relaxed")
    scribble(page, 0)
    before = page.strokes()
    log = log_path(hearts_server.source, page.case).stat().st_size
    leave_room(hearts_server, log + 10)
    scribble(page, 1)
    page.tab.locator("#banner", has_text="Marks cannot be saved: the disk is full").wait_for()
    page.tab.locator("#saved", has_text="Saving").wait_for()
    scribble(page, 2)
    assert page.tab.request.get(f"{page.server.address}/api/cases/{page.case}").json()["strokes"] == before
    leave_room(hearts_server, resource.RLIM_INFINITY)
    page.tab.locator("#banner").wait_for(state="hidden")
    assert len(page.new_strokes(before)) == 2


def leave_room(server, size):
    """Let the server write no file larger than this: on a full disk the system refuses in the same way."""
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_mark_that_the_server_never_takes_does_not_hold_up_the_others(hearts_server, open_page):
    page = open_page(hearts_server)
    before = page.strokes()
    refused = []

    def judge(route):
        ops = route.request.post_data_json["ops"]
        refused.append(refused[0] if refused else ops[0]["id"])
        if any(op["id"] == refused[0] for op in ops):
            error = {"what": "the stroke lies outside", "todo": "draw inside"}
            route.fulfill(status=422, content_type="application/json", body=json.dumps({"error": error}))
        else:
            route.continue_()

    page.tab.route("**/ops", judge)
    scribble(page, 0)
    scribble(page, 1)
    page.tab.locator("#banner", has_text="the stroke lies outside").wait_for()
    assert len(page.new_strokes(before)) == 1


def test_time_is_counted_while_somebody_works(hearts_server, open_page):
    page = open_page(hearts_server, "heart002_relaxed")
    case = page.case

    def seconds():
        return page.tab.request.get(f"{page.server.address}/api/cases/{case}").json()["seconds"]

    before, shown = seconds(), page.tab.inner_text("#case-note")
    scribble(page, 0)
    page.becomes(lambda: page.tab.inner_text("#case-note") != shown)
    page.keys("PageUp")
    page.becomes(lambda: page.case != case)
    page.saved()
    assert 1 <= seconds() - before < 60


def test_what_is_said_does_not_move_the_image_under_the_pen(hearts_server, open_page):
    page = open_page(hearts_server, "heart002_relaxed")
    page.tab.route("**/ops", lambda route: route.abort())
    before = page.place(0.5, 0.5)
    scribble(page, 0)
    page.tab.locator("#banner").wait_for()
    assert page.place(0.5, 0.5) == before
    page.tab.unroute("**/ops")
    page.saved()


def test_classes_named_in_one_tab_are_those_of_the_other(hearts, serve, open_page):
    server = serve(hearts)
    one = open_page(server)
    other = open_page(server, one.case, beside=one)
    one.tab.get_by_role("button", name="Name classes").click()
    one.tab.get_by_label("Name of class 2").fill("ventricle")
    one.tab.get_by_role("button", name="Save").click()
    other.tab.locator("#palette", has_text="ventricle").wait_for()
