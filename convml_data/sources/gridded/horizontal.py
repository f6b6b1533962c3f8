"""Which dimensions of a field lie in space, and on which grid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import ArchiveError
from convml_data.geometry.model_grids import CurvilinearGrid, LatLonGrid, ModelGrid, PlaneGrid, continuous
from convml_data.sources.gridded.coordinates import Coordinates
from convml_data.sources.gridded.files import units_in_words, values_of

_METRES = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 1000.0),
}
_PLAIN_DEGREES = ("", "degrees", "degree", "deg")


@dataclass(frozen=True)
class _Angle:
    """Longitude or latitude, as files show which variable it is.

    Parameters
    ----------
    name
        By CF, as a standard name.
    units
        The pattern of the units that CF allows.
    names
        Of variables that are taken for it where neither of the two is there.
    """

    name: str
    units: str
    names: tuple[str, ...]

    def fits(self, name: str, attributes: dict[str, object]) -> bool:
        units = str(attributes.get("units", ""))
        if attributes.get("standard_name") == self.name:
            return True
        return re.fullmatch(self.units, units) is not None or (name.lower() in self.names and units in _PLAIN_DEGREES)


_LON = _Angle("longitude", r"degrees?_?(east|E)", ("lon", "longitude", "long", "xlong", "nav_lon"))
_LAT = _Angle("latitude", r"degrees?_?(north|N)", ("lat", "latitude", "xlat", "nav_lat"))


@dataclass(frozen=True)
class Horizontal:
    """Dimensions of a field in space and what gives them a place.

    Parameters
    ----------
    y_dim, x_dim
        Dimensions of rows and columns.
    u, v
        Variables along x and y, or steps in metres.
    on_earth
        Whether ``u`` and ``v`` are longitude and latitude.
    """

    y_dim: str
    x_dim: str
    u: str | float
    v: str | float
    on_earth: bool


def horizontal_of(data: xr.Dataset, field: str, time_dim: str | None, given: Coordinates, where: str) -> Horizontal:
    """The dimensions of a field in space.

    Longitude and latitude are taken before x and y. Without names in ``given``, longitude and latitude are
    recognised as CF has it, x and y by their attribute ``axis`` or a name that begins with the letter.

    Raises
    ------
    ArchiveError
        They cannot be told, or are not what was given.
    """
    dims = [str(dim) for dim in data[field].dims if dim != time_dim]
    if len(dims) < 2:
        raise ArchiveError(
            f"{field!r} has no rows and columns; its dimensions are {', '.join(map(str, data[field].dims)) or 'none'}",
            where=where,
            remedy="Choose a field on a grid; values on an unstructured mesh must be put on one before",
        )
    u: str | float | None = given.lon if given.lon is not None else given.x
    v: str | float | None = given.lat if given.lat is not None else given.y
    for name in (u, v):
        if isinstance(name, str) and name not in data.variables:
            raise ArchiveError(
                f"there is no variable {name!r}, which `coordinates` in meta.yaml names",
                where=where,
                remedy="Correct it",
            )
    if u is None or v is None:
        u, v = _angles(data, field, time_dim, where) or _lengths(data, field, dims, where)
    y_dim, x_dim = _spatial_dims(data, dims, time_dim, u, v, field, where)
    on_earth = [
        given.lon is not None or (isinstance(name, str) and angle.fits(name, data[name].attrs))
        for name, angle in ((u, _LON), (v, _LAT))
    ]
    if on_earth[0] != on_earth[1]:
        raise ArchiveError(
            f"{u!r} and {v!r} are not both in metres, and not longitude and latitude", where=where, remedy=_REMEDY
        )
    return Horizontal(y_dim, x_dim, u, v, on_earth[0])


def grid_at(data: xr.Dataset, place: Horizontal, time_dim: str | None, number: int, where: str) -> ModelGrid:
    """The whole grid, at a time of the file where it moves.

    Raises
    ------
    ArchiveError
        The coordinates make no grid.
    """
    shape = data.sizes[place.y_dim], data.sizes[place.x_dim]

    def values(name: str | float, size: int) -> npt.NDArray[np.float64]:
        if not isinstance(name, str):
            return np.asarray(float(name) * np.arange(size), np.float64)
        variable = data[name]
        if time_dim in variable.dims:
            variable = variable.isel({time_dim: number})
        order = [dim for dim in (place.y_dim, place.x_dim) if dim in variable.dims]
        factor = _degrees(variable, where) if place.on_earth else _metres(variable, where)
        return values_of(variable.transpose(*order), name, where) * factor

    u, v = values(place.u, shape[1]), values(place.v, shape[0])
    try:
        if not place.on_earth:
            return PlaneGrid.centred(u, v)
        if u.ndim == 1:
            return LatLonGrid(continuous(u), v)
        _check_places(u, v)
        return CurvilinearGrid(u, v)
    except ValueError as error:
        raise ArchiveError(f"{place.u!r} and {place.v!r} make no grid: {error}", where=where, remedy=_REMEDY) from error


def _check_places(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> None:
    """Models of an ideal world may write longitude and latitude that mean nothing."""
    placed = np.isfinite(lon) & np.isfinite(lat)
    if not placed.any():
        raise ValueError("they are missing everywhere")
    if np.ptp(lon[placed]) == np.ptp(lat[placed]) == 0:
        raise ValueError(f"all pixels are at {lat[placed][0]:g}N {lon[placed][0]:g}E")


_REMEDY = (
    "Name the right variables by `coordinates: {lon: <name>, lat: <name>}` or `coordinates: {x: <name>, y: <name>}`, "
    "or give the steps between the cells in metres by `coordinates: {x: <step>, y: <step>}`"
)


def _angles(data: xr.Dataset, field: str, time_dim: str | None, where: str) -> tuple[str, str] | None:
    """Longitude and latitude of a field, None where there are none."""
    named = str(data[field].attrs.get("coordinates", "")).split()
    dims = set(data[field].dims)
    found = []
    for angle in (_LON, _LAT):
        fitting = [
            str(name)
            for name, variable in data.variables.items()
            if variable.dtype.kind in "iuf"
            and set(variable.dims) <= dims
            and set(variable.dims) - {time_dim}
            and angle.fits(str(name), variable.attrs)
        ]
        chosen = [name for name in fitting if name in named] or fitting
        if len(chosen) > 1:
            raise ArchiveError(
                f"{', '.join(sorted(chosen))} may each be the {angle.name} of {field!r}",
                where=where,
                remedy="Choose by `coordinates: {lon: <name>, lat: <name>}`",
            )
        found += chosen
    return (found[0], found[1]) if len(found) == 2 else None


def _lengths(data: xr.Dataset, field: str, dims: Sequence[str], where: str) -> tuple[str, str]:
    """The variables along x and y of a field."""
    found = []
    for axis in "XY":
        along = [dim for dim in dims if dim in data.variables and data[dim].dims == (dim,)]
        fitting = [dim for dim in along if str(data[dim].attrs.get("axis", "")).upper() == axis] or [
            dim for dim in along if dim.lower().startswith(axis.lower())
        ]
        if len(fitting) != 1:
            raise ArchiveError(
                f"the file has no coordinates that give the dimensions {', '.join(dims)} of {field!r} a place",
                where=where,
                remedy=_REMEDY,
            )
        found += fitting
    return found[0], found[1]


def _spatial_dims(
    data: xr.Dataset, dims: Sequence[str], time_dim: str | None, u: str | float, v: str | float, field: str, where: str
) -> tuple[str, str]:
    """Dimensions of rows and columns."""

    def along(name: str | float, axis: str, last: int) -> list[str]:
        if isinstance(name, str):
            return [str(dim) for dim in data[name].dims if dim != time_dim]
        return [axis] if axis in dims else [dims[last]]  # CF has y and x last

    of_u, of_v = along(u, "x", -1), along(v, "y", -2)
    if len(of_u) == len(of_v) == 1:
        y_dim, x_dim = of_v[0], of_u[0]
    elif len(of_u) == 2 and set(of_u) == set(of_v):
        y_dim, x_dim = of_u
    else:
        y_dim = x_dim = ""
    if y_dim == x_dim or not {y_dim, x_dim} <= set(dims):
        raise ArchiveError(
            f"{u!r} along {', '.join(of_u) or 'nothing'} and {v!r} along {', '.join(of_v) or 'nothing'} give no "
            f"place to {field!r}, whose dimensions are {', '.join(dims)}",
            where=where,
            remedy=_REMEDY,
        )
    return y_dim, x_dim


def _metres(variable: xr.DataArray, where: str) -> float:
    units = str(variable.attrs.get("units", ""))
    if units not in _METRES:
        raise ArchiveError(
            f"{variable.name!r} has {units_in_words(variable)}, not metres or kilometres",
            where=where,
            remedy="Correct its `units`, or give the steps in metres by `coordinates: {x: <step>, y: <step>}`",
        )
    return _METRES[units]


def _degrees(variable: xr.DataArray, where: str) -> float:
    units = str(variable.attrs.get("units", ""))
    if units not in _PLAIN_DEGREES and not any(re.fullmatch(angle.units, units) for angle in (_LON, _LAT)):
        raise ArchiveError(
            f"{variable.name!r} has the units {units!r}, not degrees",
            where=where,
            remedy="Correct its attribute `units`",
        )
    return 1.0
