"""The files of scans at hand: in the archive itself where that is on this machine, else copies of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec

from convml_data.errors import ArchiveError, SceneError
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.sources.ceres.archive import FILE
from convml_data.sources.ceres.folders import open_folders
from convml_data.store.files import Files


class _CountingFile(io.FileIO):
    """A file of this machine that counts what is read of it."""

    bytes_read = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self.bytes_read += count
        return count


@dataclass(frozen=True)
class RawFile:
    """The bytes of a scan's file, where they lie, and how many of them were fetched from elsewhere for this."""

    stream: BinaryIO
    where: str
    bytes_fetched: int = 0

    @property
    def bytes_read(self) -> int:
        """Bytes that the archive has given so far."""
        return self.bytes_fetched + getattr(self.stream, "bytes_read", 0)


def raw_name(scan: Scan) -> str:
    """What the copy of a scan's file is called, whichever variable it is wanted for."""
    return f"{scan.start:%Y%m%d%H%M}__{scan.satellite}.nc"


@contextmanager
def open_raw_file(scan: Scan, cache: str) -> Iterator[RawFile]:
    """The file of a scan, from the archive itself where that is on this machine.

    Otherwise the file is fetched whole, once, into ``cache``, a folder or URL, where it appears when it
    is complete and from then on serves every variable.

    Raises
    ------
    ArchiveError
        The archive cannot be reached or read, or wants a login that there is not.
    SceneError
        The file is no longer there, or is empty.
    StoreError
        The copy cannot be written or read.
    """
    file = scan.files[FILE]
    protocol, path = fsspec.core.split_protocol(file.url)
    if protocol == "file":
        with _open_local(path, file.url) as stream:
            yield RawFile(cast(BinaryIO, stream), file.url)
        return
    copies, name = Files(cache), raw_name(scan)
    fetched = 0 if copies.exists(name) else _fetch(file, copies, name)
    if copies.is_local:
        with Path(copies.path(name)).open("rb") as copy:
            yield RawFile(copy, copies.url(name), fetched)
    else:
        yield RawFile(io.BytesIO(copies.read_bytes(name)), copies.url(name), fetched)


def _fetch(file: SourceFile, copies: Files, name: str) -> int:
    with copies.writing(name) as path:
        return open_folders(file.url).fetch(file, path)


def _open_local(path: str, url: str) -> _CountingFile:
    try:
        return _CountingFile(path)
    except FileNotFoundError:
        raise SceneError(
            "the file is no longer there",
            where=url,
            remedy="Run `convml-data scene-ids` again to list what the archive holds now",
        ) from None
    except OSError as error:
        raise ArchiveError(
            f"the file cannot be read ({error.strerror or error})", where=url, remedy="Check the permission to read"
        ) from error
