"""One file of named arrays: written atomically, checked in full when opened, mapped rather than read.

Layout: 8 bytes of magic, the header's position, length and SHA-256, then the arrays at multiples of 64 bytes, then
the header as JSON. The header comes last so that arrays are written as they come, with their checksums.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from pointillist.data.writers import atomic_file
from pointillist.errors import DamagedFileError
from pointillist.types import AnyArray

_MAGIC = b"PNTL\x00arr"
_PREAMBLE = struct.Struct("<8sQQ32s")
_ALIGN = 64
_CHUNK = 1 << 24
_KINDS = ("uint8", "int32", "int64", "uint64", "float16", "float32")


@dataclass(frozen=True, eq=False)
class Container:
    """An opened file.

    Attributes:
        meta: what was stored beside the arrays.
        arrays: by name, mapped copy-on-write: the file never changes, and pages are shared between processes.
    """

    meta: dict[str, Any]
    arrays: dict[str, AnyArray]


def write_container(path: Path, arrays: Mapping[str, Sequence[AnyArray]], meta: Mapping[str, Any]) -> None:
    """Write a file that appears under its name complete, or not at all.

    Args:
        path: final name; its folder is made if need be.
        arrays: by name, each in parts that are joined along the first axis; at least one part each.
        meta: anything that JSON holds.

    Raises:
        OSError: naming the file, if the disk is full or the folder cannot be written.
    """
    with atomic_file(path) as file:
        _write(file, arrays, meta)


def is_container(path: Path) -> bool:
    """Whether a file begins as one that ``write_container`` wrote, damaged or not."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_meta(path: Path) -> dict[str, Any]:
    """What was stored beside the arrays; the arrays themselves are not looked at.

    Raises:
        DamagedFileError: if the file is missing, of another kind, cut off, or its header was changed.
    """
    meta: dict[str, Any] = _read_header(path)["meta"]
    return meta


def open_container(path: Path) -> Container:
    """Check every byte and map the arrays.

    Raises:
        DamagedFileError: if the file is missing, of another kind, cut off, or differs from its checksums.
    """
    header = _read_header(path)
    size = path.stat().st_size
    arrays = {name: _map(path, name, entry, size) for name, entry in header["arrays"].items()}
    return Container(header["meta"], arrays)


def _write(file: IO[bytes], arrays: Mapping[str, Sequence[AnyArray]], meta: Mapping[str, Any]) -> None:
    file.write(bytes(_PREAMBLE.size))
    entries = {}
    for name, parts in arrays.items():
        file.write(bytes(-file.tell() % _ALIGN))
        offset, digest = file.tell(), hashlib.sha256()
        for part in parts:
            whole = np.ascontiguousarray(part)
            digest.update(whole.data)
            file.write(whole.data)
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        entries[name] = {
            "kind": parts[0].dtype.name,
            "shape": [int(n) for n in shape],
            "offset": offset,
            "sha256": digest.hexdigest(),
        }
    header = json.dumps({"format": 1, "meta": meta, "arrays": entries}, allow_nan=False).encode()
    where = file.tell()
    file.write(header)
    file.seek(0)
    file.write(_PREAMBLE.pack(_MAGIC, where, len(header), hashlib.sha256(header).digest()))


def _read_header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise _damaged(path, "nothing")
    with path.open("rb") as file:
        start = file.read(_PREAMBLE.size)
        if len(start) < _PREAMBLE.size or start[: len(_MAGIC)] != _MAGIC:
            raise _damaged(path, "a file of another kind")
        _, where, length, digest = _PREAMBLE.unpack(start)
        size = path.stat().st_size
        if where + length != size:
            raise _damaged(path, f"{size:,} bytes where {where + length:,} were written")
        file.seek(where)
        text = file.read(length)
    if hashlib.sha256(text).digest() != digest:
        raise _damaged(path, "a header that differs from its checksum")
    header: dict[str, Any] = json.loads(text)
    if header["format"] != 1:
        raise _damaged(path, f"format {header['format']}, which a later version wrote")
    return header


def _map(path: Path, name: str, entry: dict[str, Any], size: int) -> AnyArray:
    shape, offset = tuple(entry["shape"]), entry["offset"]
    if entry["kind"] not in _KINDS:
        raise _damaged(path, f"array {name} of kind {entry['kind']}")
    kind = np.dtype(entry["kind"])
    if offset + int(np.prod(shape)) * kind.itemsize > size:
        raise _damaged(path, f"array {name} beyond the end of the file")
    empty = 0 in shape
    array = np.zeros(shape, kind) if empty else np.memmap(path, kind, mode="c", offset=offset, shape=shape)
    digest = hashlib.sha256()
    flat = array.reshape(-1)
    for begin in range(0, len(flat), _CHUNK):
        digest.update(flat[begin : begin + _CHUNK].data)
    if digest.hexdigest() != entry["sha256"]:
        raise _damaged(path, f"array {name} differs from its checksum")
    return array


def _damaged(path: Path, received: str) -> DamagedFileError:
    return DamagedFileError(
        "a file of arrays is damaged",
        where=path,
        expected="a complete file whose checksums agree",
        received=received,
        todo="remove it and make it anew, or copy it again",
    )
