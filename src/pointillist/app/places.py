"""Where the files of the app are: logs beside the marks, and what can be made again in a cache."""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pointillist.data.case import Case

_FORMAT = "3"


def log_folder(root: Path) -> Path:
    """The logs of a dataset."""
    return root / "marks" / "log"


def log_path(root: Path, case: str) -> Path:
    """The log of a case."""
    return log_folder(root) / f"{case}.jsonl"


def saved_path(root: Path, case: str) -> Path:
    """Where it is said what the files of a case hold."""
    return log_folder(root) / f"{case}.saved.json"


@dataclass(frozen=True)
class Saved:
    """What the files of a case hold.

    Attributes:
        revision: that is saved completely.
        writing: that was being written when this was said; None when it was done.
        raster: hash of labelsTr before the writing, or after it when it was done.
        log_bytes: size of the log that holds the revision.
    """

    revision: int
    writing: int | None = None
    raster: str | None = None
    log_bytes: int = 0


def read_saved(root: Path, case: str) -> Saved | None:
    """What is saved of a case, if that was ever said."""
    try:
        return Saved(**json.loads(saved_path(root, case).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def cache_folder(root: Path) -> Path:
    """The dataset's own folder for what can be made again; a temporary one where it cannot be written."""
    folder = root / "cache" / "app"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="pointillist-app-"))
    return folder


def image_path(cache: Path, case: Case) -> Path:
    """Where the decoded image of a case is, or would be."""
    return cache / f"{case.id}.{key_of(*case.images)}.image"


def base_path(cache: Path, case: Case) -> Path:
    """Where the decoded base raster of a case is, or would be."""
    assert case.sparse is not None  # noqa: S101 - training cases alone are marked
    files = (case.base,) if case.base.exists() or case.marks.exists() else (case.sparse,)
    return cache / f"{case.id}.{key_of(*files)}.base"


def thumbnail_path(cache: Path, case: Case) -> Path:
    """Where the small picture of a case is, or would be."""
    assert case.sparse is not None  # noqa: S101 - training cases alone are marked
    return cache / "thumbnails" / f"{case.id}.{key_of(*case.images, case.sparse)}.jpg"


def key_of(*paths: Path) -> str:
    """What changes when one of the files does."""
    digest = hashlib.sha256(_FORMAT.encode())
    for path in paths:
        found = path.stat() if path.exists() else None
        digest.update(f"{path.name}|{found and (found.st_size, found.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:16]
