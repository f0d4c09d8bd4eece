import pytest
import torch

from pointillist.errors import DamagedFileError
from pointillist.train.checkpoint import load_checkpoint, save_checkpoint


def state(value):
    return {"weights": torch.full((50,), float(value)), "step": value}


def test_the_newest_of_the_last_two_is_loaded(tmp_path):
    for step in (1, 2, 30):
        save_checkpoint(tmp_path, step, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step_00000002.pt", "step_00000002.sha256", "step_00000030.pt", "step_00000030.sha256"
    ]  # fmt: skip
    loaded, passed_over = load_checkpoint(tmp_path)
    assert loaded["step"] == 30
    assert (loaded["weights"] == 30).all()
    assert passed_over == []


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:300] + b"x" + data[301:]])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    save_checkpoint(tmp_path, 1, state(1))
    newest = save_checkpoint(tmp_path, 2, state(2))
    newest.write_bytes(damage(newest.read_bytes()))
    loaded, passed_over = load_checkpoint(tmp_path)
    assert loaded["step"] == 1
    assert "step_00000002.pt does not match its checksum" in passed_over[0]


def test_a_checkpoint_without_its_sum_was_never_finished(tmp_path):
    save_checkpoint(tmp_path, 1, state(1))
    save_checkpoint(tmp_path, 2, state(2)).with_suffix(".sha256").unlink()
    assert load_checkpoint(tmp_path)[0]["step"] == 1


def test_without_a_whole_checkpoint_there_is_a_message(tmp_path):
    with pytest.raises(DamagedFileError, match="no checkpoint"):
        load_checkpoint(tmp_path)


def test_only_tensors_and_plain_values_are_loaded(tmp_path):
    save_checkpoint(tmp_path, 1, {"danger": test_only_tensors_and_plain_values_are_loaded})
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        load_checkpoint(tmp_path)
