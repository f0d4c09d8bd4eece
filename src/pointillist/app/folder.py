"""A plain folder of images becomes a dataset beside it; the folder itself is only read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pointillist.data.readers import split_ending
from pointillist.data.source import files_below
from pointillist.errors import DatasetError, InputError

_ENDING = "-dataset"


def dataset_of(source: Path, target: Path | None) -> tuple[Path, str]:
    """The dataset that a path names, made from a folder of images if need be.

    A folder ``scans`` becomes ``scans-dataset`` beside it, at its first opening; later openings go on with that.

    Args:
        source: a dataset, or a folder of images.
        target: where the dataset of a folder is, or is to be; None: beside the folder.

    Returns:
        The dataset's folder, and what to tell the user.

    Raises:
        InputError: if there is no such folder, or it holds no images that could be a dataset.
    """
    if (source / "dataset.json").exists():
        return source, ""
    if not source.is_dir():
        raise InputError(
            "there is nothing to annotate",
            where=source,
            expected="a dataset, or a folder of images",
            received="a file" if source.exists() else "nothing",
            todo="give the folder that the images are in",
        )
    folder = source.resolve()
    target = target or folder.with_name(folder.name + _ENDING)
    if (target / "dataset.json").exists():
        return target, f"Going on with the dataset that was made from {source}: {target}{_new_images(folder, target)}"
    _check_apart(folder, target)
    _import(folder, target)
    return target, f"Made a dataset of the images in {source}, which stays as it is: {target}"


def _check_apart(folder: Path, target: Path) -> None:
    if folder == target.resolve() or folder in target.resolve().parents:
        raise DatasetError(
            "a dataset cannot lie inside the folder that it is made from",
            where=target,
            expected=f"a place outside {folder}",
            received=target,
            todo="choose another --dataset",
        )


def _import(folder: Path, target: Path) -> None:
    """Run the import in a process of its own: it decodes every image, and the server shall stay small."""
    command = [sys.executable, "-m", "pointillist", "import", "folder", str(folder), str(target)]
    print(f"Making a dataset of the images in {folder} …", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if done.returncode:
        raise DatasetError(
            "the images in the folder cannot become a dataset",
            where=folder,
            expected="2-D images alone, or NIfTI volumes alone",
            received=done.stderr.strip().removeprefix("error: "),
            todo="mend or move away what is named; `pointillist import folder --help` has more ways to read a folder",
        )
    notes = [line for line in done.stdout.splitlines() if line.strip()]
    print("\n".join(notes))


def _new_images(folder: Path, target: Path) -> str:
    """How many images of the folder are not in the dataset that was made from it."""
    try:
        cases = json.loads((target / "import.json").read_bytes())["cases"].values()
        known = {name for case in cases for name in case["files"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    images = [path for path in files_below(folder) if split_ending(path)[1] and not path.name.startswith(".")]
    new = sum(path.relative_to(folder).as_posix() not in known for path in images)
    return f"\n{new} images of the folder are newer than it and left aside" if new else ""
