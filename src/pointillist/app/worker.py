"""A child process that decodes images and writes label files: what needs memory never happens in the server.

It reads one JSON request a line and answers with one line. It ends when its standard input does, so none is left over
when the server is killed; and after a task that took much memory, which goes back to the system that way.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from pointillist.app.answers import error_fields
from pointillist.data.dataset import Dataset
from pointillist.errors import PointillistError

_LARGE_KIB = 400 << 10
Task = Callable[..., Any]


def main(root: str) -> None:
    """Serve requests until the input ends.

    Args:
        root: the dataset.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what a library prints is no answer
    dataset: Dataset | None = None
    tasks()  # imports take a second, and nobody waits yet
    for line in sys.stdin:
        request = json.loads(line)
        if dataset is None or request["fresh"]:
            dataset = _opened(Path(root))
        try:
            _answer(answers, _done(dataset, request))
        except BrokenPipeError:  # the server was killed meanwhile
            os._exit(0)
        if _resident_kib() > _LARGE_KIB:
            return


def tasks() -> Mapping[str, Task]:
    """What a worker can do, by name; each takes the dataset and keyword arguments, and returns JSON."""
    from pointillist.app import classes, exchanging, pictures, predicted, saving, suggesting

    return {
        "warm_up": lambda _: None,
        "prepare_image": pictures.prepare_image,
        "prepare_base": pictures.prepare_base,
        "save": saving.save,
        "adopt": saving.adopt,
        "scan": saving.scan,
        "rename": classes.rename,
        "bring": exchanging.bring,
        "take": exchanging.take,
        "take_found": exchanging.take_found,
        "thumbnail": exchanging.thumbnail,
        "prepare_overlay": predicted.prepare_overlay,
        "suggest": suggesting.write_suggestions,
    }


def _opened(root: Path) -> Dataset | None:
    try:
        return Dataset.open(root)
    except PointillistError:
        return None


def _done(dataset: Dataset | None, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": tasks()[request["task"]](dataset, **request["arguments"])}
    except PointillistError as error:
        return {"error": error_fields(error), "kind": type(error).__name__}
    except OSError as error:
        return {"os_error": [error.errno, error.strerror or str(error), str(error.filename or "")]}


def _answer(answers: IO[str], value: dict[str, Any]) -> None:
    answers.write(json.dumps(value, ensure_ascii=True, allow_nan=False) + "\n")
    answers.flush()


def _resident_kib() -> int:
    """Largest memory of this process so far."""
    if os.name == "nt":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most


if __name__ == "__main__":
    main(sys.argv[1])
