"""Variables of a file: where one lies in time and space, and its values there."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import ArchiveError
from convml_data.sources.cf import code_attributes
from convml_data.sources.gridded.coordinates import Coordinates
from convml_data.sources.gridded.files import NUMBERS, no_numbers, values_of
from convml_data.sources.gridded.horizontal import Horizontal, horizontal_of
from convml_data.sources.gridded.times import TimeAxis, time_axis

#: Attributes of a variable that hold for the values that are read from it.
_KEPT = ("standard_name", "long_name", "units", "cell_methods")


@dataclass(frozen=True)
class FieldLayout:
    """Where a field lies.

    Parameters
    ----------
    time
        Its time axis.
    place
        Its grid.
    level_dim, level_number, level
        The dimension that is neither, which of it is taken, and that in words; None where there is none.
    """

    time: TimeAxis
    place: Horizontal
    level_dim: str | None
    level_number: int
    level: str | None


def layout_of(data: xr.Dataset, name: str, coordinates: Coordinates, level: float | None, where: str) -> FieldLayout:
    """Where a field of a file lies.

    Raises
    ------
    ArchiveError
        There is no such field, or it cannot be told.
    """
    if name not in data.variables:
        raise _unknown(data, name, where)
    if data[name].dtype.kind not in NUMBERS:
        raise no_numbers(name, where)
    time = time_axis(data, name, coordinates.time, where)
    place = horizontal_of(data, name, time.dimension, coordinates, where)
    others = [str(dim) for dim in data[name].dims if dim not in (time.dimension, place.y_dim, place.x_dim)]
    long = [dim for dim in others if data.sizes[dim] > 1]
    if len(long) > 1:
        raise ArchiveError(
            f"{name!r} has the dimensions {', '.join(long)} beside time, rows and columns; one can be chosen from",
            where=where,
            remedy="Reduce them before, or say which dimensions are which by `coordinates` in meta.yaml",
        )
    # A size of one leaves no choice, but a level that is asked for must be there.
    level_dim = long[0] if long else others[0] if len(others) == 1 and level is not None else None
    if level_dim is None:
        return FieldLayout(time, place, None, 0, None)
    number, words = _level(data, name, level_dim, level, where)
    return FieldLayout(time, place, level_dim, number, words)


def read_field(
    data: xr.Dataset,
    name: str,
    layout: FieldLayout,
    number: int,
    rows: slice,
    columns: npt.NDArray[np.intp],
    where: str,
) -> xr.Variable:
    """Rows and columns of a field at a time of the file, given by its number.

    Returns
    -------
    Dims (y, x), float32, NaN where the value is missing, infinite or was never written; with the
    attributes that say what the values mean.

    Raises
    ------
    ArchiveError
        The file does not say how to decode the values, or they are codes that float32 cannot hold.
    """
    place = layout.place
    chosen = {layout.time.dimension: number, layout.level_dim: layout.level_number}
    field = data[name].variable.isel({place.y_dim: rows, place.x_dim: columns})
    field = field.isel({dim: at for dim, at in chosen.items() if dim in field.dims})
    field = field.isel({dim: 0 for dim in field.dims if dim not in (place.y_dim, place.x_dim)})  # of size one
    values = values_of(field.transpose(place.y_dim, place.x_dim), name, where)
    codes = code_attributes(field.dtype, field.attrs)
    attributes = {key: str(field.attrs[key]).strip() for key in _KEPT if key in field.attrs}
    attributes = {"long_name": str(field.attrs.get("description", name)).strip(), "units": "unknown"} | attributes
    if layout.level is not None:
        attributes["level"] = layout.level
    single = values.astype(np.float32)
    changed = (single != values) & np.isfinite(values)
    if codes and changed.any():
        raise ArchiveError(
            f"{name!r} holds the code {values[changed][0]:.0f}, which single precision cannot hold",
            where=where,
            remedy="Keep codes below 16777216, for example by one variable for each of the flags",
        )
    return xr.Variable(("y", "x"), single, attributes | codes)


def _level(data: xr.Dataset, name: str, dim: str, level: float | None, where: str) -> tuple[int, str]:
    """Number of a level and what it is.

    ``level`` is a value of the coordinate along the dimension where it has one, else the number of the
    level, counted from 0.
    """
    has_values = dim in data.variables and data[dim].dims == (dim,) and data[dim].dtype.kind in "iuf"
    available = values_of(data[dim], dim, where) if has_values else np.arange(data.sizes[dim], dtype=float)
    units = str(data[dim].attrs.get("units", "")) if has_values else ""
    kind = f"values of {dim}{f' in {units}' if units else ''}" if has_values else f"numbers along {dim}, from 0"
    if level is None:
        raise ArchiveError(
            f"{name!r} has {available.size} levels, and one must be chosen; there are ({kind}): {_listed(available)}",
            where=where,
            remedy="Choose one by `level` in meta.yaml",
        )
    number = int(np.nanargmin(np.abs(available - level))) if np.isfinite(available).any() else 0
    if not math.isclose(available[number], level, rel_tol=1e-5, abs_tol=1e-9):
        raise ArchiveError(
            f"{name!r} has no level {level:g}; there are ({kind}): {_listed(available)}",
            where=where,
            remedy="Choose one of these by `level` in meta.yaml",
        )
    return (
        number,
        f"{dim} = {available[number]:g}{f' {units}' if units else ''}" if has_values else f"{dim} number {number}",
    )


def _listed(values: npt.NDArray[np.float64]) -> str:
    shown = [f"{value:g}" for value in values]
    return ", ".join(shown) if len(shown) <= 40 else ", ".join([*shown[:20], "…", *shown[-20:]])


def _unknown(data: xr.Dataset, name: str, where: str) -> ArchiveError:
    fields = sorted(
        str(key) for key, variable in data.variables.items() if variable.ndim >= 2 and variable.dtype.kind in NUMBERS
    )
    close = difflib.get_close_matches(name, fields, 1, 0.5) or [
        field for field in fields if field.lower() == name.lower()
    ]
    return ArchiveError(
        f"there is no variable {name!r}; the file has {', '.join(fields) or 'no fields'}",
        where=where,
        remedy=(f"Did you mean {close[0]!r}? " if close else "")
        + "Correct the product, or choose the files that hold the variable by `files` in meta.yaml",
    )
