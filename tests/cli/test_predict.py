from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer import Typer
from typer.testing import CliRunner

from pointillist.cli.predict import predict
from pointillist.data.phantoms import make_phantoms
from pointillist.errors import InputError, PointillistError
from pointillist.predict.model import save_model
from tests.predict.nets import decided_unet, described

app = Typer()
app.command()(predict)


def run(*arguments, fails=False):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=fails)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_model(folder, decided_unet(), described())
    return folder


@pytest.fixture(scope="module")
def hearts(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("phantoms") / "hearts", training=1, testing=1, seed=0)


def test_a_dataset_is_predicted_and_finished_cases_are_kept(model, hearts, tmp_path):
    out = tmp_path / "out"
    first = run(model, hearts, out, "--uncertainty", "--probabilities", "--batch", 3, "--threads", 1)
    assert first.exit_code == 0
    assert "[1/2] heart002_contracted: predicted in" in first.output
    assert f"{out}: 2 predicted" in first.output
    assert (out / "heart002_relaxed.nii.gz").is_file()
    assert (out / "uncertainty" / "heart002_relaxed.nii.gz").is_file()
    assert (out / "probabilities" / "heart002_relaxed.npz").is_file()
    again = run(model, hearts, out, "--uncertainty", "--probabilities")
    assert f"{out}: 2 kept" in again.output


def test_several_inputs_come_before_the_folder_of_predictions(model, hearts, tmp_path):
    files = sorted((hearts / "imagesTr").iterdir())
    result = run(model, *files, tmp_path / "out", "--json", "--precision", "fp32", "--argmax", "native")
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert [line["case"] for line in lines] == ["heart001_contracted", "heart001_relaxed"]
    assert {line["status"] for line in lines} == {"predicted"}


def test_a_failing_file_is_named_and_the_rest_is_done(model, hearts, tmp_path):
    import shutil

    scans = shutil.copytree(hearts / "imagesTs", tmp_path / "scans")
    broken = scans / "heart002_contracted_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:500])
    result = run(model, scans, tmp_path / "out", fails=True)
    assert isinstance(result.exception, PointillistError)
    assert result.exception.what == "1 of 2 images could not be predicted"
    assert result.exception.received == "heart002_contracted"
    assert str(broken) in result.output
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["heart002_relaxed.nii.gz"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(("--device", "cuda:99"), "no such device"), (("--fold", 3), "no such fold")],
)
def test_what_cannot_be_is_named_before_anything_is_written(model, hearts, tmp_path, arguments, what):
    with pytest.raises(InputError, match=what):
        run(model, hearts, tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_model_is_named(hearts, tmp_path):
    with pytest.raises(InputError, match="no trained model"):
        run(tmp_path, hearts, tmp_path / "out")


@pytest.mark.parametrize(
    "arguments",
    [("--as", "jpeg"), ("--min-object", -1), ("--max-hole", -1), ("--batch", 0), ("--precision", "fp8"), ("--fold", 0)],
)
def test_bad_usage_exits_with_2(model, hearts, tmp_path, arguments):
    assert run(model, hearts, tmp_path / "out", *arguments).exit_code == 2


def test_help_has_an_example_and_loads_nothing_heavy():
    assert "pointillist predict runs/hearts scans/ predictions/" in run("--help").output
    code = (
        "import sys, pointillist.cli.predict; "
        "print([m for m in ('numpy', 'scipy', 'torch', 'skimage', 'nibabel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_predicting_a_volume_leaves_its_image_alone(model, hearts, tmp_path):
    image = hearts / "imagesTs" / "heart002_relaxed_0000.nii.gz"
    before = image.read_bytes()
    run(model, image, tmp_path / "out")
    assert image.read_bytes() == before
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["heart002_relaxed.nii.gz"]


def test_objects_of_a_picture(tmp_path):
    from tests.conftest import nuclei, png

    save_model(tmp_path / "run", decided_unet(), described())
    (tmp_path / "a.png").write_bytes(png(nuclei(0)[0][..., 0].copy()))
    arguments = (tmp_path / "run", tmp_path / "a.png", tmp_path / "out", "--as", "geojson", "--instances")
    assert run(*arguments, "--min-object", 9, "--max-hole", 4).exit_code == 0
    features = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    assert {one["type"] for one in features} == {"Feature"}
    assert (tmp_path / "out" / "instances" / "a.png").is_file()
