"""Nothing outside of a dataset's folder is read or written through it, whatever links somebody put there."""

from __future__ import annotations

import os
from pathlib import Path

from pointillist.errors import DatasetError


def refuse_links_out(root: Path) -> None:
    """See that every link in a dataset leads to another place in it.

    Args:
        root: the dataset, without links in its own path.

    Raises:
        DatasetError: naming the first one that leads out.
    """
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                raise DatasetError(
                    "a link leads out of the dataset",
                    where=path,
                    expected="files and folders of the dataset's own",
                    received=f"link to {path.readlink()}",
                    todo="put a copy of what it leads to in its place (`cp -rL` copies a dataset without links)",
                )
