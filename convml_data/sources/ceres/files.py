"""Reading windows of a CERES file: an image of pixels, each with its latitude and longitude."""

from __future__ import annotations

from collections.abc import Hashable
from types import TracebackType
from typing import Any, BinaryIO, Self

import h5netcdf
import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import SceneError
from convml_data.geometry.model_grids import CurvilinearGrid
from convml_data.geometry.windows import Window
from convml_data.sources.base import CATEGORICAL
from convml_data.sources.ceres.products import CATEGORIES
from convml_data.sources.cf import STORAGE_ATTRIBUTES, FloatArray, code_attributes, decode
from convml_data.sources.remembered import Remembered

_BROKEN = "Delete and fetch the file again; leave this scene out if the archive's own copy is broken"
_PLACE = ("latitude", "longitude")

#: Of the files read last, since one may be read again for another variable.
_GRIDS: Remembered[CurvilinearGrid] = Remembered(2)


class CeresFile:
    """A file that is open for reading; use it in a ``with`` statement.

    Parameters
    ----------
    stream
        Its bytes; stays open when this is closed.
    where
        What the file is called in messages.
    identity
        Changes with the file or its content: files of the same are taken to have the same grid.

    Raises
    ------
    SceneError
        The file is broken, or holds no image with latitudes and longitudes.

    Attributes
    ----------
    grid
        Of all its pixels.
    """

    def __init__(self, stream: BinaryIO, where: str, identity: Hashable) -> None:
        self.where = where
        try:
            self._file = h5netcdf.File(stream, "r")
        except OSError as error:
            raise SceneError(f"this is no whole netCDF-4 file ({error})", where=where, remedy=_BROKEN) from error
        try:
            self._dims = self._dimensions()
            self.grid = _GRIDS.get(identity, self._grid)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, name: str, window: Window) -> xr.Variable:
        """A variable in a window of the image.

        Returns
        -------
        Variable
            Dims (y, x), float64, NaN where missing; attributes as in the file but for those of its storage.

        Raises
        ------
        SceneError
            The file has no such variable, has it on other pixels, or is broken there.
        """
        if name not in self._file.variables:
            held = {other for other, variable in self._file.variables.items() if variable.dimensions == self._dims}
            raise SceneError(
                f"the file has no variable {name}",
                where=self.where,
                remedy=f"It has {', '.join(sorted(held.difference(_PLACE)))}",
            )
        variable = self._file.variables[name]
        if variable.dimensions != self._dims:
            raise SceneError(
                f"variable {name} has dimensions ({', '.join(variable.dimensions)}), not those of the image's "
                f"pixels, ({', '.join(self._dims)})",
                where=self.where,
                remedy="Use another variable",
            )
        attributes = {
            key: value.decode() if isinstance(value, bytes) else value  # text of fixed length
            for key, value in variable.attrs.items()
            if key not in STORAGE_ATTRIBUTES | {"coordinates"}
        } | code_attributes(variable.dtype, variable.attrs)
        if name in CATEGORIES:
            attributes |= CATEGORICAL
        return xr.Variable(("y", "x"), self._values(name, window), attributes)

    def _dimensions(self) -> tuple[str, ...]:
        absent = [name for name in _PLACE if name not in self._file.variables]
        if absent:
            raise SceneError(f"the file has no {' and no '.join(absent)}", where=self.where, remedy=_BROKEN)
        latitude, longitude = (tuple(self._file.variables[name].dimensions) for name in _PLACE)
        if len(latitude) != 2 or longitude != latitude:
            raise SceneError(
                f"latitude ({', '.join(latitude)}) and longitude ({', '.join(longitude)}) are not of an image's pixels",
                where=self.where,
                remedy=_BROKEN,
            )
        return latitude

    def _grid(self) -> CurvilinearGrid:
        rows, columns = self._file.variables["latitude"].shape
        lat, lon = (self._values(name, Window(0, rows, 0, columns)) for name in _PLACE)
        if not np.isfinite(lat + lon).any():
            raise SceneError("no pixel has a latitude and a longitude", where=self.where, remedy=_BROKEN)
        try:
            return CurvilinearGrid(lon, lat)
        except ValueError as error:
            raise SceneError(f"this is no image ({error})", where=self.where, remedy=_BROKEN) from error

    def _values(self, name: str, window: Window) -> FloatArray:
        variable = self._file.variables[name]
        try:
            stored: npt.NDArray[Any] = np.asarray(variable[window.slices])
        except (OSError, RuntimeError) as error:  # what HDF5 makes of broken chunks
            raise SceneError(f"variable {name} cannot be read ({error})", where=self.where, remedy=_BROKEN) from error
        try:
            return decode(stored, variable.attrs)
        except ValueError as error:
            raise SceneError(f"variable {name} cannot be decoded: {error}", where=self.where, remedy=_BROKEN) from error
