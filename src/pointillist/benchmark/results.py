"""Results files on the disk."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pointillist.data.compressed import read_bytes
from pointillist.data.writers import atomic_write_bytes
from pointillist.errors import DamagedFileError

_FLAT = re.compile(r"([\[{])\s+([^\[\]{}]+?)\s+([\]}])")  # a list or object with nothing nested in it


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a results file atomically, one line a case.

    Args:
        path: the file.
        result: from ``result_of``.
    """
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    flat = _FLAT.sub(lambda found: found[1] + re.sub(r"\n\s*", " ", found[2]) + found[3], text)
    atomic_write_bytes(path, (flat + "\n").encode())


def read_result(path: Path) -> dict[str, Any]:
    """A results file.

    Raises:
        DamagedFileError: if it is none.
    """
    try:
        parsed = json.loads(read_bytes(path))
    except ValueError:
        parsed = None
    content: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    if content.get("format") != 1:
        raise DamagedFileError(
            "this is no results file that this version reads",
            where=path,
            expected="the JSON object that the benchmark wrote, format 1",
            received=f"format {content['format']}" if "format" in content else "no such object",
            todo="remove it; the run is then evaluated again",
        )
    return content
