"""The wheel, in an environment of its own, does its work."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import nuclei, png

ROOT = Path(__file__).parents[1]


def run(*command, cwd=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path / "wheels", ROOT)
    (wheel,) = (tmp_path / "wheels").glob("pointillist-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    scripts = tmp_path / "venv" / "bin"
    # nothing is compiled but what is imported: that saves most of the time
    install = [
        *pip,
        "--python",
        scripts / "python",
        "install",
        "--no-compile",
        "--constraint",
        ROOT / "constraints.txt",
    ]
    run(*install, "torch")
    run(*install, wheel)
    for index in range(2):
        image, masks = nuclei(index)
        for folder, pixels in (("images", image), ("labels", masks[0].astype("uint8"))):
            path = tmp_path / "mine" / folder / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(pixels))
    program = scripts / "pointillist"
    assert run(program, "--version").startswith("pointillist ")
    run(program, "import", "folder", "mine", "D", cwd=tmp_path)
    run(program, "simulate", "D", "P", "--annotation", "points", cwd=tmp_path)
    run(program, "check", "P", cwd=tmp_path)
    assert (tmp_path / "P" / "check.html").stat().st_size > 1000
    assert "dsc" in run(program, "evaluate", "D/denseTr", "D", "--json", cwd=tmp_path)
