"""The files of scans at hand: in the archive itself where that is on this machine, else copies of them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import fsspec

from convml_data.errors import ArchiveError, SceneError
from convml_data.fingerprints import fingerprint
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.sources.ceres.archive import FILE
from convml_data.sources.ceres.folders import open_folders
from convml_data.store.files import Files


@dataclass(frozen=True)
class RawFile:
    """The bytes of a scan's file.

    Parameters
    ----------
    stream
        Of them.
    where
        They lie.
    identity
        Changes with the place and the content: where they lie, how many they are, and when they were written.
    """

    stream: BinaryIO
    where: str
    identity: tuple[str, int, int]

    @property
    def size(self) -> int:
        """How many they are."""
        return self.identity[1]


def raw_name(file: SourceFile) -> str:
    """What the copy of a file is called: as the archive calls it, and by all that tells it from other files.

    Files of other archives, and files that have replaced it in the same one, have copies of their own.
    """
    stem, _, suffix = file.url.rpartition("/")[2].rpartition(".")
    return f"{stem}__{fingerprint([file.url, file.size, file.version])}.{suffix}"


@contextmanager
def open_raw_file(scan: Scan, cache: str) -> Iterator[RawFile]:
    """The file of a scan, from the archive itself where that is on this machine.

    Otherwise the file is fetched whole, once, into ``cache``, a folder or URL, where it appears when it
    is complete and from then on serves every variable, until the archive is listed with another version of it.

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
            yield _local(stream, file.url)
        return
    copies, name = Files(cache), raw_name(file)
    if not copies.exists(name):
        with copies.writing(name) as path_of_copy:
            open_folders(file.url).fetch(file, path_of_copy)
    if copies.is_local:
        with Path(copies.path(name)).open("rb") as copy:
            yield _local(copy, copies.url(name))
    else:
        content, where = copies.read_bytes(name), copies.url(name)
        yield RawFile(io.BytesIO(content), where, (where, len(content), 0))


def _local(stream: io.BufferedReader, where: str) -> RawFile:
    status = os.fstat(stream.fileno())
    return RawFile(stream, where, (where, status.st_size, status.st_mtime_ns))


def _open_local(path: str, url: str) -> io.BufferedReader:
    try:
        return Path(path).open("rb")
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
