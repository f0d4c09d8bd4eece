"""Files read to their last byte: gzip streams are checked for length and checksum, and bounded in size."""

from __future__ import annotations

import zlib
from pathlib import Path

from pointillist.errors import DamagedFileError

MAX_DECODED_BYTES = 1 << 32
"""No image may decode to more than this (4 GiB): a small file that claims more is a bomb or a mistake."""

_CHUNK = 1 << 20
_GZIP = 31  # zlib's code for "gzip wrapper, check its CRC and length"


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        DamagedFileError: if it is missing, a link that leads nowhere, not a file, or larger than any image may be.
    """
    if path.is_symlink() and not path.exists():
        raise DamagedFileError(
            "a link leads nowhere",
            where=path,
            expected="a file at the link's target",
            received=f"link to {path.readlink()}",
            todo="restore the target, or remove the link",
        )
    if not path.is_file():
        received = "a folder" if path.is_dir() else "a device or pipe" if path.exists() else "nothing"
        raise DamagedFileError("no such file", where=path, expected="a file", received=received, todo="check the path")
    size = path.stat().st_size
    if size > MAX_DECODED_BYTES:
        raise DamagedFileError(
            "the file is larger than an image may be",
            where=path,
            expected=f"at most {MAX_DECODED_BYTES:,} bytes",
            received=f"{size:,} bytes",
            todo="check that this is the right file, or divide the image",
        )
    return path.read_bytes()


def gunzip(data: bytes, *, where: Path, limit: int = MAX_DECODED_BYTES) -> bytes:
    """Decompress gzip data to its end, checking every member's CRC and length.

    Zeros after the last member are padding, as gzip itself has it (tapes and some archives round files up).

    Args:
        data: the compressed bytes.
        where: the file, for messages.
        limit: stop with an error when more bytes than this come out.

    Raises:
        DamagedFileError: if the stream is cut, its checksum is wrong, something follows it, or it exceeds limit.
    """
    out = bytearray()
    start = 0
    while start == 0 or (start < len(data) and not _only_zeros(data, start)):
        start = _gunzip_member(data, start, out, where, limit)
    return bytes(out)


def _gunzip_member(data: bytes, start: int, out: bytearray, where: Path, limit: int) -> int:
    """Append what the member that begins at ``start`` holds to ``out``; where the next one begins."""
    view = memoryview(data)
    stream = zlib.decompressobj(_GZIP)
    while not stream.eof:
        piece = view[start : start + _CHUNK]  # small pieces: zlib copies what it leaves over
        if not piece:
            raise DamagedFileError(
                "the file is cut off",
                where=where,
                expected="a complete gzip stream",
                received=f"{len(data):,} bytes that end in the middle of the stream",
                todo="copy the file again from its source",
            )
        try:
            out += stream.decompress(piece, limit + 1 - len(out))
        except zlib.error as error:
            raise DamagedFileError(
                "the compressed data is corrupt",
                where=where,
                expected="a gzip stream with a matching checksum",
                received=str(error),
                todo="copy the file again from its source",
            ) from error
        if len(out) > limit:
            raise DamagedFileError(
                "the file decompresses to more than it may hold",
                where=where,
                expected=f"at most {limit:,} bytes",
                received=f"more than {limit:,} bytes from {len(data):,}",
                todo="get the file again from its source; do not open it with other tools",
            )
        start += len(piece)
    return start - len(stream.unused_data)


def _only_zeros(data: bytes, start: int) -> bool:
    return data[start] == 0 and data.count(0, start) == len(data) - start
