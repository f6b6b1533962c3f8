"""Where a set of embeddings lies: each scene's in a file, and those of all scenes together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from convml_data.errors import StoreError
from convml_data.store.arrays import ArrayStore
from convml_data.store.files import Files

#: The folder of all sets, below the root.
FOLDER = "embeddings"

AllFormat = Literal["zarr", "netcdf"]


@dataclass(frozen=True)
class EmbeddingStore:
    """The embeddings of a set.

    Parameters
    ----------
    files
        The dataset's root.
    set_name
        As :attr:`~convml_data.meta.embeddings.Embeddings.set_name` says.
    """

    files: Files
    set_name: str

    @property
    def folder(self) -> str:
        """Of the set, relative to the root."""
        return f"{FOLDER}/{self.set_name}"

    @property
    def scenes(self) -> ArrayStore:
        """Each scene's embeddings, always netCDF: variable ``emb``.

        Of windows (emb_dim, y, x), y ascending to the north; of tiles that were cut (tile_id, emb_dim).
        """
        return ArrayStore(self.files, f"{self.folder}/scenes", "netcdf")

    def all_name(self, format_: AllFormat) -> str:
        """Of the embeddings of all scenes together, relative to the root."""
        return f"{self.folder}/all.{'zarr' if format_ == 'zarr' else 'nc'}"

    def all_formats(self) -> list[AllFormat]:
        """In which there are embeddings of all scenes together."""
        formats: tuple[AllFormat, ...] = ("zarr", "netcdf")
        return [format_ for format_ in formats if self.files.exists(self.all_name(format_))]

    def open_all(self) -> xr.Dataset:
        """The embeddings of all scenes; values are read when they are used.

        Variable ``emb``, of windows (scene_id, emb_dim, y, x), of tiles that were cut (tile_id, emb_dim). Scenes
        are in the order in which they came; ``scene_time`` says when they are.

        Raises
        ------
        StoreError
            There are none, or they cannot be read.
        """
        there = self.all_formats()
        if not there:
            raise StoreError(
                "the embeddings of all scenes are not there",
                where=self.files.url(self.folder),
                remedy="Run `convml-data embeddings`, or materialize the asset `all` of the set",
            )
        data = self._all(there[0]).open("all")
        # Zarr's text of any length is a type that few programs know.
        text = {name: held for name, held in data.coords.items() if held.dtype.kind == "T"}
        return data.assign_coords({name: held.copy(data=np.array(held.values.tolist())) for name, held in text.items()})

    def all_attributes(self, format_: AllFormat) -> Mapping[str, Any] | None:
        """What the embeddings of all scenes say about themselves, None where there are none that open."""
        return self._all(format_).attributes("all")

    def _all(self, format_: AllFormat) -> ArrayStore:
        return _All(self.files, self.folder, format_)


class _All(ArrayStore):
    """``all.zarr`` or ``all.nc`` in the folder of a set, under the key ``all``."""

    def name(self, key: str) -> str:
        return f"{self.folder}/{key}.{'zarr' if self.format == 'zarr' else 'nc'}"
