"""Tiles for those who read them, in files of their own or packed: the same tile either way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import StoreError
from convml_data.store.arrays import UNREADABLE, ArrayStore
from convml_data.store.files import Files
from convml_data.store.packed_tiles import PackedTiles


class ShownTiles(Protocol):
    """The tiles of a collection, by name."""

    @property
    def files(self) -> Files:
        """The dataset's root."""

    @property
    def folder(self) -> str:
        """Of the collection, relative to the root."""

    @property
    def place(self) -> str:
        """Folder or store of the tiles, relative to the root."""

    def name(self, key: str) -> str:
        """Where a tile's data lie, relative to the root."""

    def url(self, key: str) -> str:
        """Where a tile's data lie, for people and metadata."""

    def yml_url(self, key: str) -> str:
        """Where it says what a tile is, for people and metadata."""

    def stored(self) -> list[str]:
        """Names of the tiles, sorted."""

    def attributes(self, key: str) -> dict[str, Any] | None:
        """Attributes of a tile's data, None where there is none that opens."""

    def open(self, key: str) -> xr.Dataset:
        """A tile's data; StoreError where there is none that opens."""

    def values(self, key: str, variable: str) -> npt.NDArray[Any]:
        """Values of a variable of a tile alone; StoreError where they cannot be read."""

    def yml(self, key: str) -> str:
        """What the tile is, as YAML; StoreError where nothing says so."""


@dataclass(frozen=True)
class TileFolder(ArrayStore):
    """Tiles in netCDF files, each with its yml."""

    def values(self, key: str, variable: str) -> npt.NDArray[Any]:
        """Values of a variable. Not through xarray, which takes ten times as long for a file of this size."""
        try:
            with h5py.File(self._hdf5_source(key), "r") as file:
                return np.asarray(file[variable][...])
        except UNREADABLE as error:
            raise StoreError(f"this tile cannot be read ({error})", where=self.url(key)) from error

    def yml_url(self, key: str) -> str:
        """Path or URL of the tile's yml."""
        return self.files.url(self._yml_name(key))

    def yml(self, key: str) -> str:
        """Content of the tile's yml."""
        return self.files.read_bytes(self._yml_name(key)).decode()

    def _yml_name(self, key: str) -> str:
        return f"{self.folder}/{key}.yml"


def tiles_there(files: Files, folder: str) -> ShownTiles:
    """The tiles of a folder, packed or in files, whichever there are.

    Raises
    ------
    StoreError
        There are both.
    """
    in_files, packed = TileFolder(files, folder, "netcdf"), PackedTiles(files, folder)
    if not packed.is_there:
        return in_files
    if in_files.stored():
        raise StoreError(
            f"there are tiles both in {in_files.place} and in {packed.place}",
            where=files.root,
            remedy="Run `convml-data tiles`, which removes those that `sampling.format` in meta.yaml does not name",
        )
    return packed
