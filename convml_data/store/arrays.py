"""Gridded data on disk: one netCDF file or one Zarr group for each scene.

Everything that may run in threads writes and reads netCDF through h5py; the netCDF4 library is not
safe there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import xarray as xr
import zarr

from convml_data.errors import StoreError
from convml_data.store.files import Files
from convml_data.store.own_netcdf import open_own_netcdf, write_netcdf

Format = Literal["netcdf", "zarr"]

#: What the libraries raise for files that are absent, cut off or overwritten.
UNREADABLE = (OSError, KeyError, ValueError, TypeError, RuntimeError, zarr.errors.BaseZarrError, StoreError)


@dataclass(frozen=True)
class ArrayStore:
    """The scenes of one kind, by scene ID.

    Parameters
    ----------
    files
        The dataset's root.
    folder
        Below the root. netCDF files lie in it as ``<key>.nc``; Zarr groups lie in
        ``<folder>.zarr/<key>``, one store for all scenes.
    format
        ``netcdf`` or ``zarr``.
    """

    files: Files
    folder: str
    format: Format

    @property
    def place(self) -> str:
        """Folder or Zarr store of all keys, relative to the root."""
        return self.folder if self.format == "netcdf" else f"{self.folder}.zarr"

    def name(self, key: str) -> str:
        """File or group of a key, relative to the root."""
        return f"{self.place}/{key}.nc" if self.format == "netcdf" else f"{self.place}/{key}"

    def url(self, key: str) -> str:
        """Where the data of a key lie, for people and metadata."""
        return self.files.url(self.name(key))

    def write(self, key: str, data: xr.Dataset) -> None:
        """Keep a dataset under a key, replacing an earlier one once the new one is whole."""
        with self.files.writing(self.name(key)) as path:
            if self.format == "netcdf":
                write_netcdf(path, data)
            else:
                write_zarr(path, data)

    def open(self, key: str) -> xr.Dataset:
        """The dataset of a key; values are read when they are used.

        Raises
        ------
        StoreError
            There is none, or it cannot be opened.
        """
        try:
            if self.format == "netcdf":
                data = open_own_netcdf(self._hdf5_source(key))
            else:
                data = xr.open_dataset(self._zarr_store(key), engine="zarr", consolidated=False, decode_coords="all")
        except UNREADABLE as error:
            raise StoreError(f"this cannot be opened ({error})", where=self.url(key)) from error
        data.attrs = {name: plain(value) for name, value in data.attrs.items()}
        for variable in data.data_vars.values():
            if "grid_mapping" in variable.encoding:  # where decoding puts it, and writing would lose it
                variable.attrs["grid_mapping"] = variable.encoding.pop("grid_mapping")
        return data

    def attributes(self, key: str) -> dict[str, Any] | None:
        """Global attributes of a key's dataset, None where there is none that opens."""
        try:
            if self.format == "zarr":
                group = zarr.open_group(self._zarr_store(key), mode="r")
                # A chunk that is missing would be read as fill.
                whole = all(array.nchunks_initialized == array.nchunks for _, array in group.arrays())
                return dict(group.attrs) if whole else None
            with h5py.File(self._hdf5_source(key), "r") as file:
                return {k: plain(v) for k, v in file.attrs.items() if not k.startswith("_NC")}
        except UNREADABLE:
            return None

    def stored(self) -> list[str]:
        """Keys that have data, sorted."""
        if self.format == "netcdf":
            return [Path(name).stem for name in self.files.names(f"{self.place}/*.nc")]
        return [Path(name).name for name in self.files.names(f"{self.place}/*")]

    def _hdf5_source(self, key: str) -> str | io.BytesIO:
        """What h5py opens: a path, or all bytes of a remote file.

        HDF5 must not wait for the network: its lock is one for the whole process, and the thread that
        brings the bytes may need it.
        """
        name = self.name(key)
        return self.files.path(name) if self.files.is_local else io.BytesIO(self.files.read_bytes(name))

    def _zarr_store(self, key: str) -> Any:
        path = self.files.path(self.name(key))
        if self.files.is_local:
            if not Path(path).exists():
                raise FileNotFoundError(path)
            return path
        return zarr.storage.FsspecStore.from_url(self.files.url(self.name(key)), read_only=True)


#: What reading the values of a file raises that opened, and is damaged.
DAMAGED = (StoreError, OSError, RuntimeError, ValueError)


def write_zarr(path: Path, data: xr.Dataset) -> None:
    """Write a dataset as a Zarr 3 group."""
    # The specification has text of any length, not the text of a fixed length that numpy makes of lists.
    text = {name: variable.astype(object) for name, variable in data.variables.items() if variable.dtype.kind == "U"}
    data.drop_encoding().assign(text).to_zarr(
        path,
        mode="w",
        zarr_format=3,
        consolidated=False,
        write_empty_chunks=True,  # so that a missing chunk is known to be missing
    )


def plain(value: Any) -> Any:
    """HDF5 attributes as the plain Python values that were written."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return value.item() if value.size == 1 else value.tolist()
    return value.item() if isinstance(value, np.generic) else value
