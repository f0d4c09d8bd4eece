import json

import pytest

from pointillist.errors import PointillistError
from pointillist.runtime.events import EventLog, EventReader, read_events


def test_what_is_written_is_read(tmp_path):
    with EventLog(tmp_path / "run" / "events.jsonl") as log:
        log.write("start", method="pce")
        log.write("step", step=1, terms={"pce": 0.5})
    events = list(read_events(tmp_path / "run" / "events.jsonl"))
    assert [event["event"] for event in events] == ["start", "step"]
    assert events[1]["terms"] == {"pce": 0.5}
    assert events[0]["time"] <= events[1]["time"]


def test_a_second_process_appends(tmp_path):
    for kind in ("start", "resume"):
        with EventLog(tmp_path / "e.jsonl") as log:
            log.write(kind)
    assert [event["event"] for event in read_events(tmp_path / "e.jsonl")] == ["start", "resume"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_cut_by_a_kill_is_left_out_and_overwritten(tmp_path, cut):
    path = tmp_path / "e.jsonl"
    with EventLog(path) as log:
        log.write("start")
        log.write("step", step=1)
    path.write_bytes(path.read_bytes()[:-cut])
    assert [event["event"] for event in read_events(path)] == ["start"]
    with EventLog(path) as log:
        log.write("resume")
    assert [event["event"] for event in read_events(path)] == ["start", "resume"]


def test_numbers_that_json_lacks_are_refused(tmp_path):
    with EventLog(tmp_path / "e.jsonl") as log, pytest.raises(ValueError, match="JSON"):
        log.write("step", loss=float("nan"))


def test_a_missing_log_is_empty(tmp_path):
    assert list(read_events(tmp_path / "none")) == []


@pytest.mark.parametrize("line", ["{", json.dumps([1]), json.dumps({"no": "event"})])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "e.jsonl").write_text(f"{line}\n")
    with pytest.raises(PointillistError, match="damaged") as error:
        list(read_events(tmp_path / "e.jsonl"))
    assert "line 1" in error.value.where


def test_a_reader_gives_what_came_since_and_never_half_a_line(tmp_path):
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert list(reader.new()) == []
    path.write_bytes(b'{"event": "start"}\n{"event": "st')
    assert [event["event"] for event in reader.new()] == ["start"]
    assert list(reader.new()) == []
    with path.open("ab") as file:
        file.write(b'ep", "step": 1}\n')
    assert [event["step"] for event in reader.new()] == [1]
    with path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(PointillistError, match="line 3"):
        list(reader.new())
