"""Files under a dataset's root, local or any file system that fsspec knows.

Whatever is written appears under its name whole or not at all: it is made under a temporary name
and renamed, or uploaded in one piece. What a killed run leaves behind lies in ``.partial`` of the
root and can be deleted whenever nothing runs.
"""

from __future__ import annotations

import contextlib
import glob
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec

from convml_data.errors import StoreError

PARTIAL = ".partial"


@dataclass(frozen=True)
class Files:
    """A root folder: everything else is named relative to it, with ``/`` between parts."""

    root: str

    @cached_property
    def _located(self) -> tuple[Any, str]:
        try:
            # What other processes write shows at once: nothing is listed from memory.
            filesystem, path = fsspec.core.url_to_fs(self.root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"there is no way to write to this root ({error})",
                where=self.root,
                remedy="Correct `storage.root` in meta.yaml or install the package it names",
            ) from error
        return filesystem, path.rstrip("/")

    @property
    def filesystem(self) -> Any:
        """The fsspec file system of the root."""
        return self._located[0]

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "file" in _protocols(self.filesystem)

    def path(self, name: str) -> str:
        """Path of a file in the file system's own words."""
        return f"{self._located[1]}/{name}"

    def url(self, name: str) -> str:
        """The file's path on this machine or its URL, for people and metadata."""
        return self.path(name) if self.is_local else str(self.filesystem.unstrip_protocol(self.path(name)))

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of that name."""
        with self._explained(name, "looked up"):
            return Path(self.path(name)).exists() if self.is_local else bool(self.filesystem.exists(self.path(name)))

    def read_bytes(self, name: str) -> bytes:
        """Content of a file; StoreError where there is none."""
        with self._explained(name, "read"):
            try:
                return bytes(self.filesystem.cat_file(self.path(name)))
            except FileNotFoundError as error:
                raise StoreError("there is no such file", where=self.url(name)) from error

    def names(self, pattern: str) -> list[str]:
        """Sorted names that match a glob pattern, relative to the root."""
        with self._explained(pattern, "listed"):
            found = self.filesystem.glob(f"{glob.escape(self._located[1])}/{pattern}")
        return sorted(path[len(self._located[1]) + 1 :] for path in found)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file, replacing one of that name."""
        with self.writing(name) as path:
            path.write_bytes(content)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A local path to write a file or a folder to, which then appears under ``name``.

        Nothing appears where the block raises.

        Raises
        ------
        StoreError
            There is no space left, no permission, no such bucket, …
        """
        if self.is_local:
            with self._explained(name, "written"):
                target = Path(self.path(name))
                folder = Path(self.path(PARTIAL))
                folder.mkdir(parents=True, exist_ok=True)
                partial = folder / f"{uuid4().hex}.{target.name}"
                try:
                    yield partial
                    target.parent.mkdir(parents=True, exist_ok=True)
                    if partial.is_dir():
                        self._replace_folder(partial, target)
                    else:
                        partial.replace(target)
                finally:
                    _remove(partial)
        else:
            with tempfile.TemporaryDirectory() as folder_name:
                partial = Path(folder_name) / "partial"
                yield partial
                with self._explained(name, "written"):
                    self._upload(partial, name)

    @contextlib.contextmanager
    def _explained(self, name: str, done: str) -> Iterator[None]:
        """Give errors of the file system the file's name and a remedy."""
        # Client libraries of remote file systems raise whatever they like.
        raised = OSError if self.is_local else Exception
        try:
            yield
        except StoreError:
            raise
        except raised as error:
            raise StoreError(
                f"this cannot be {done} ({getattr(error, 'strerror', None) or error})",
                where=self.url(name),
                remedy="Check the permissions there, the space left and `storage.root` in meta.yaml",
            ) from error

    def _replace_folder(self, partial: Path, target: Path) -> None:
        if target.exists():  # a folder cannot be replaced in one step, only moved out of the way
            old = partial.with_name(f"{uuid4().hex}.old")
            target.rename(old)
            partial.rename(target)
            shutil.rmtree(old)
        else:
            partial.rename(target)

    def _upload(self, partial: Path, name: str) -> None:
        if partial.is_dir():
            self.remove(name)
            # All at once, but a Zarr group opens once its own metadata is there, so that goes last.
            files = [path for path in partial.rglob("*") if path.is_file() and path != partial / "zarr.json"]
            places = [self.path(f"{name}/{file.relative_to(partial).as_posix()}") for file in files]
            self.filesystem.put([str(file) for file in files], places)
            self.filesystem.put_file(str(partial / "zarr.json"), self.path(f"{name}/zarr.json"))
        else:
            self.filesystem.put_file(str(partial), self.path(name))

    def move(self, old: str, new: str) -> None:
        """Rename a file, replacing one of the new name; nothing happens where another run has done it."""
        with self._explained(new, "written"):
            if self.is_local:
                target = Path(self.path(new))
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    Path(self.path(old)).replace(target)
                except FileNotFoundError:
                    if not target.exists():
                        raise
            else:
                try:
                    self.filesystem.mv(self.path(old), self.path(new))
                except FileNotFoundError:
                    if not self.filesystem.exists(self.path(new)):
                        raise

    def remove(self, name: str) -> None:
        """Delete a file or folder; nothing happens where there is none."""
        with self._explained(name, "deleted"):
            if self.is_local:
                _remove(Path(self.path(name)))
            elif self.filesystem.exists(self.path(name)):
                self.filesystem.rm(self.path(name), recursive=True)


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
