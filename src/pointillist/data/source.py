"""What an importer reads from: a folder or a zip archive, seen alike and never unpacked to disk."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pointillist.data.compressed import MAX_DECODED_BYTES, read_bytes
from pointillist.errors import ArchiveError, DamagedFileError, InputError

_MAX_MEMBERS = 200_000
_MAX_TOTAL_BYTES = 1 << 36  # 64 GiB
_MAX_RATIO = 1100  # deflate cannot do better than 1032:1
_REGULAR_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: written by a system that states no kind


class Source(ABC):
    """Files by relative name.

    Attributes:
        root: the folder or archive.
        names: every file in it, as sorted relative POSIX paths; hidden files and macOS resource forks are left out.
        hashes: SHA-256 of every file read so far, by name.
    """

    def __init__(self, root: Path, names: list[str]) -> None:
        self.root = root
        self.names = sorted(name for name in names if not _is_clutter(name))
        self.hashes: dict[str, str] = {}

    @abstractmethod
    def _bytes(self, name: str) -> bytes: ...

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            DamagedFileError: if it cannot be read to its end.
        """
        data = self._bytes(name)
        self.hashes[name] = hashlib.sha256(data).hexdigest()
        return data

    def path(self, name: str) -> Path:
        """Where a file is, for messages and for its ending."""
        return self.root / name


def open_source(path: Path) -> Source:
    """Open a folder, or a ``.zip`` archive after checking its members.

    Raises:
        InputError: if there is neither.
        DamagedFileError: if the archive is not a zip file or is cut off.
        ArchiveError: if a member is a link, encrypted, has an absolute path or ``..`` in it, appears twice, or if
            there are too many, or if they would unpack to too much.
    """
    if path.is_dir():
        return _Folder(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _Zip(path)
    raise InputError(
        "there is nothing to import",
        where=path,
        expected="a folder or a .zip archive",
        received="a file of another kind" if path.exists() else "nothing",
        todo="check the path; unpack other archives first",
    )


def files_below(root: Path) -> Iterator[Path]:
    """Every file of a folder and its folders, linked ones included, each folder once.

    Real folders come first: what a link repeats is left out, whatever the links' names.
    """
    visited: set[Path] = set()
    folders, links = [root], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        if folder.resolve() in visited:
            continue
        visited.add(folder.resolve())
        for entry in sorted(folder.iterdir()):
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            else:
                yield entry


class _Folder(Source):
    def __init__(self, root: Path) -> None:
        super().__init__(root, [path.relative_to(root).as_posix() for path in files_below(root)])

    def _bytes(self, name: str) -> bytes:
        return read_bytes(self.root / name)


class _Zip(Source):
    def __init__(self, root: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(root)
        except Exception as error:  # BadZipFile, OSError, ValueError, NotImplementedError (version), struct.error …
            raise DamagedFileError(
                "the archive cannot be opened",
                where=root,
                expected="a complete zip file",
                received=str(error),
                todo="download it again",
            ) from error
        members = [member for member in self._archive.infolist() if not member.filename.endswith("/")]
        _check_members(members, root)
        super().__init__(root, [member.filename for member in members])

    def _bytes(self, name: str) -> bytes:
        try:
            return self._archive.read(name)
        except Exception as error:  # BadZipFile (CRC), zlib.error, EOFError, NotImplementedError (method)
            raise DamagedFileError(
                "an archive member cannot be read to its end",
                where=self.path(name),
                expected="data that matches its checksum",
                received=f"{type(error).__name__}: {error}",
                todo="download the archive again",
            ) from error


def _is_clutter(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _check_members(members: list[zipfile.ZipInfo], root: Path) -> None:
    if len(members) > _MAX_MEMBERS:
        raise _refused(root, "too many members", f"at most {_MAX_MEMBERS:,}", f"{len(members):,}")
    total = sum(member.file_size for member in members)
    if total > _MAX_TOTAL_BYTES:
        raise _refused(root, "too much data", f"at most {_MAX_TOTAL_BYTES:,} bytes", f"{total:,} bytes")
    seen: set[str] = set()
    for member in members:
        where = root / member.filename
        complaint = _complaint(member)
        if complaint:
            raise _refused(where, complaint, "plain files below the archive's own folder", member.filename)
        if member.filename in seen:
            raise _refused(where, "the same name twice", "every name once", member.filename)
        seen.add(member.filename)


def _complaint(member: zipfile.ZipInfo) -> str:
    """What is wrong with an archive member, or nothing."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    complaints = {
        "a member without a name": not name.parts,
        "a path that leads out of the archive": name.is_absolute()
        or ".." in name.parts
        or ":" in "".join(name.parts[:1]),
        "a link": kind not in _REGULAR_KINDS,
        "an encrypted member": bool(member.flag_bits & 0x1),
        "a member that unpacks to more than it may": member.file_size > MAX_DECODED_BYTES
        or member.file_size > _MAX_RATIO * max(member.compress_size, 1),
    }
    return next((text for text, wrong in complaints.items() if wrong), "")


def _refused(where: Path, what: str, expected: str, received: str) -> ArchiveError:
    return ArchiveError(
        f"the archive holds {what}",
        where=where,
        expected=expected,
        received=received,
        todo="get the archive from its original source; do not unpack it with other tools",
    )
