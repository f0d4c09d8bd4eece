from __future__ import annotations

import json
import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from pointillist.errors import DamagedFileError, InputError, PointillistError
from pointillist.nets import SpatialAttention
from pointillist.predict import model as model_file
from pointillist.predict.model import DESCRIPTION, WEIGHTS, load_model, save_model
from tests.predict.nets import decided_unet, described


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_model(folder, decided_unet(), described(provenance={"seed": 3, "data": {"hash": "é"}}))
    return folder


@pytest.fixture
def run(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_model_comes_back_to_the_bit_and_in_eval_mode(saved):
    net, description = load_model(saved)
    assert description.model_copy(update={"sha256": ""}) == described(provenance={"seed": 3, "data": {"hash": "é"}})
    assert len(description.sha256) == 64
    assert not net.training
    stored, original = net.state_dict(), decided_unet().state_dict()
    assert stored.keys() == original.keys()
    assert all(torch.equal(stored[name], original[name]) for name in original)


def test_grafts_come_back_with_the_model(tmp_path):
    net = decided_unet()
    net.graft(2, SpatialAttention(64, heads=2))
    written = save_model(tmp_path, net.eval(), described())
    assert json.loads((tmp_path / DESCRIPTION).read_text())["grafts"] == {
        "2": {"kind": "spatial_attention", "settings": {"channels": 64, "heads": 2, "layers": 1}}
    }
    loaded, description = load_model(tmp_path)
    assert description == written
    image = torch.rand(1, 1, 32, 32)
    assert torch.equal(loaded(image).logits, net(image).logits)


def test_another_number_of_heads_than_was_saved_is_refused(tmp_path):
    net = decided_unet()
    net.graft(2, SpatialAttention(64))
    save_model(tmp_path, net, described())
    other = {"kind": "spatial_attention", "settings": {"channels": 64, "heads": 2, "layers": 1}}
    rewrite(tmp_path / DESCRIPTION, grafts={"2": other})
    with pytest.raises(DamagedFileError, match="changed after the model was saved"):
        load_model(tmp_path)


def test_a_model_from_before_grafts_were_described_still_loads(run):
    content = json.loads((run / DESCRIPTION).read_text())
    assert content.pop("grafts") == {}
    (run / DESCRIPTION).write_text(json.dumps(content))
    with safe_open(run / WEIGHTS, framework="pt") as file:
        assert "grafts" not in json.loads(file.metadata()["description"])
    assert load_model(run)[1].grafts == {}


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    net, description = load_model(saved)
    assert save_model(tmp_path, net, description) == description
    for name in (WEIGHTS, DESCRIPTION):
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([WEIGHTS, DESCRIPTION]), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_changed_bit_goes_unnoticed(saved, tmp_path, name, place, bit):
    run = shutil.copytree(saved, tmp_path / "run", dirs_exist_ok=True)
    data = bytearray((run / name).read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (run / name).write_bytes(data)
    try:
        _, description = load_model(run)
    except PointillistError:
        return
    assert name == DESCRIPTION, "every bit of the weights counts"
    assert description == load_model(saved)[1], "only white space of the description may change"


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(run, name, kept):
    path = run / name
    path.write_bytes(path.read_bytes()[:kept].rstrip(b"}\n"))
    with pytest.raises(DamagedFileError) as caught:
        load_model(run)
    assert name in caught.value.where
    assert all([caught.value.expected, caught.value.received, caught.value.todo])


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
def test_a_missing_file_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(InputError, match="no trained model") as caught:
        load_model(run)
    assert caught.value.received == f"no {name}"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="no trained model") as caught:
        load_model(tmp_path / "nowhere")
    assert caught.value.received == "no such folder"


def test_the_weights_of_another_model_are_refused(run, tmp_path):
    save_model(tmp_path / "other", decided_unet(seed=1), described())
    shutil.copy(tmp_path / "other" / WEIGHTS, run / WEIGHTS)
    with pytest.raises(DamagedFileError, match="not those that the model's description states"):
        load_model(run)


@pytest.mark.parametrize(
    "changes", [{"classes": ["background", "LV", "Myo", "RV"]}, {"normalisation": "acdc"}, {"size": 64}]
)
def test_a_description_edited_by_hand_is_refused(run, changes):
    rewrite(run / DESCRIPTION, **changes)
    with pytest.raises(DamagedFileError, match="changed after the model was saved"):
        load_model(run)


@pytest.mark.parametrize(
    "changes",
    [{"size": 3}, {"size": "x"}, {"grid": "cubic"}, {"classes": "ab"}, {"mode": "tiles"}, {"format": 0}, {"net": None}],
)
def test_a_description_that_cannot_be_is_refused(run, changes):
    rewrite(run / DESCRIPTION, **changes)
    with pytest.raises(DamagedFileError, match="cannot be understood") as caught:
        load_model(run)
    assert next(iter(changes)) in caught.value.received


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"', '{"provenance": NaN}', "[" * 100_000])
def test_json_of_another_kind_is_refused(run, text):
    (run / DESCRIPTION).write_text(text)
    with pytest.raises(DamagedFileError, match="cannot be understood"):
        load_model(run)


def test_a_newer_format_asks_for_an_update(run):
    rewrite(run / DESCRIPTION, format=2, unheard="of")
    with pytest.raises(InputError, match="newer version") as caught:
        load_model(run)
    assert caught.value.todo == "update Pointillist"


def test_an_unknown_network_is_named(tmp_path):
    save_model(tmp_path, decided_unet(), described(net="unet9"))
    with pytest.raises(InputError, match="no such network"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path):
    save_model(tmp_path, decided_unet(), described(classes=("background", "tumour")))
    with pytest.raises(InputError, match="do not fit the network") as caught:
        load_model(tmp_path)
    assert "decoder.output" in caught.value.received


def test_a_hash_that_vouches_for_another_kind_of_file_does_not_help(run):
    import hashlib

    (run / WEIGHTS).write_bytes(b"not tensors")
    rewrite(run / DESCRIPTION, sha256=hashlib.sha256(b"not tensors").hexdigest())
    with pytest.raises(DamagedFileError, match="cannot be read"):
        load_model(run)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(run):
    before = {name: (run / name).read_bytes() for name in (WEIGHTS, DESCRIPTION)}
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_model(run, decided_unet(seed=1), described(provenance={"loss": float("nan")}))
    assert before == {path.name: path.read_bytes() for path in run.iterdir()}


def test_a_save_that_is_cut_off_never_passes_for_a_model(run, monkeypatch):
    def full_disk(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(model_file, "write_json", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(run, decided_unet(seed=1), described())
    with pytest.raises(DamagedFileError):
        load_model(run)
    assert sorted(path.name for path in run.iterdir()) == [DESCRIPTION, WEIGHTS]
