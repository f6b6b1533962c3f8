"""Data of many scenes in one Zarr store that grows as scenes come: a part of rows for each scene.

What is there is not written again. A reader that opens the store while it grows may see rows whose scenes are not
noted yet; a run that is killed leaves such rows, and the next one makes the store anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5netcdf
import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from convml_data.store.arrays import UNREADABLE
from convml_data.store.claims import claimed
from convml_data.store.files import Files
from convml_data.store.own_netcdf import write_netcdf

#: Attribute that says of each part what it was made from, and from which row to which it is.
PARTS = "parts"

#: Attribute that says what all parts are made from.
SETTINGS = "settings"

#: Values in a chunk, about: one part where parts are large, many where they are small.
CHUNK_VALUES = 1 << 18

#: Parts that are written at a time.
AT_A_TIME = 32

_TIME_UNITS = "seconds since 1970-01-01"


@dataclass(frozen=True)
class Growth:
    """How many parts were added and replaced, how many stayed as they were, and whether all were written anew."""

    added: int
    replaced: int
    kept: int
    rewritten: bool


@dataclass(frozen=True)
class Parts:
    """What the data of all scenes are made of.

    Parameters
    ----------
    dim
        The dimension along which parts follow each other.
    made_from
        For each part, in order, what it is made from.
    settings
        What all parts are made from, and what is the same for all.
    read
        Gives the data of a part, whose variables that have ``dim`` are its own; others are the same for all.
    attributes
        Of the whole.
    """

    dim: str
    made_from: Mapping[str, str]
    settings: str
    read: Callable[[str], xr.Dataset]
    attributes: Mapping[str, Any]


def grow(files: Files, name: str, parts: Parts) -> Growth:
    """Bring a Zarr store up to date.

    Parts that are new are put behind those that are there, and those made from something else are replaced where they
    are, as long as they have as many rows. Where that cannot be, or there are parts that are none any longer, all
    are written anew, whole or not at all.
    """
    with claimed(files, name):
        there = _parts_there(files, name, parts)
        stale = [key for key, made_from in parts.made_from.items() if key in there and there[key][0] != made_from]
        new = [key for key in parts.made_from if key not in there]
        if there and not there.keys() - parts.made_from.keys() and _grown(files, name, parts, there, stale, new):
            return Growth(len(new), len(stale), len(parts.made_from) - len(new) - len(stale), rewritten=False)
        with files.writing(name) as path:
            group = zarr.open_group(str(path), mode="w", zarr_format=3)
            rows: dict[str, Any] = {}
            for some in _in_turns(list(parts.made_from)):
                _append(group, parts, rows, some)
            _note(group, parts, rows)
        return Growth(len(new), len(stale), 0, rewritten=True)


def write_whole(files: Files, name: str, parts: Parts) -> None:
    """Write the data of all parts to one netCDF file, one part at a time in memory but for small variables."""
    keys = list(parts.made_from)
    small, large = [], ""
    lengths = []
    for key in keys:
        data = parts.read(key)
        (large,) = map(str, data.data_vars)
        lengths.append(data.sizes[parts.dim])
        small.append(data.drop_vars(large))
    like = parts.read(keys[0])[large]
    own = [str(name) for name, variable in small[0].variables.items() if parts.dim in variable.dims]
    joined = small[0].drop_vars(own)
    for variable in own:
        values = np.concatenate([each[variable].values for each in small])
        joined = joined.assign_coords({variable: (small[0][variable].dims, values, small[0][variable].attrs)})
    with files.writing(name) as path:
        joined.attrs = {**parts.attributes, SETTINGS: parts.settings}
        write_netcdf(path, joined)
        with h5netcdf.File(path, "a") as file:
            for dim, size in like.sizes.items():
                if dim not in file.dimensions:
                    file.dimensions[str(dim)] = size
            rows = sum(lengths)
            shape = (rows, *like.shape[1:])
            variable = file.create_variable(
                large,
                tuple(map(str, like.dims)),
                like.dtype,
                fillvalue=np.float32(np.nan),
                chunks=(min(rows, _rows_per_chunk(like)), *shape[1:]),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
            for attribute, value in like.attrs.items():
                variable.attrs[attribute] = value
            variable.attrs["coordinates"] = " ".join(map(str, set(joined.coords) - set(joined.dims)))
            start = 0
            for key, length in zip(keys, lengths, strict=True):
                variable[start : start + length] = parts.read(key)[large].values
                start += length


def _parts_there(files: Files, name: str, parts: Parts) -> dict[str, Any]:
    """What each part was made from and its rows, nothing where there is no whole store of these settings."""
    try:
        group = zarr.open_group(_place(files, name), mode="r", zarr_format=3)
        there: dict[str, Any] = json.loads(str(group.attrs[PARTS]))
        rows = sum(stop - start for _, start, stop in there.values())
        lengths = {array.shape[0] for array in _growing_arrays(group, parts.dim).values()}
        whole = lengths == {rows} and group.attrs[SETTINGS] == parts.settings
    except UNREADABLE:
        return {}
    return there if whole else {}


def _grown(
    files: Files, name: str, parts: Parts, there: dict[str, Any], stale: Sequence[str], new: Sequence[str]
) -> bool:
    """Whether the store could be brought up to date where it lies."""
    group: Any = zarr.open_group(_place(files, name, writable=True), mode="r+", zarr_format=3)
    own = _growing_arrays(group, parts.dim).keys()
    for key in [*stale, *new[:1]]:
        data = parts.read(key)
        same_rows = key in new or data.sizes[parts.dim] == there[key][2] - there[key][1]
        if not same_rows or _growing(data, parts.dim).keys() != own:
            return False
    rows = dict(there)
    for key in stale:
        start, stop = there[key][1:]
        for variable, values in _growing(parts.read(key), parts.dim).items():
            group[variable][start:stop] = values
        rows[key] = [parts.made_from[key], start, stop]
    for some in _in_turns(new):
        _append(group, parts, rows, some)
    _note(group, parts, rows)
    return True


def _append(group: Any, parts: Parts, rows: dict[str, Any], keys: Sequence[str]) -> None:
    """Write parts behind those that are there."""
    read = [parts.read(key) for key in keys]
    start = max((stop for _, _, stop in rows.values()), default=0)
    if not rows:
        _begin(group, read[0], parts.dim)
    growing = [_growing(data, parts.dim) for data in read]
    for variable in growing[0]:
        values = np.concatenate([each[variable] for each in growing])
        array = group[variable]
        array.resize((start + len(values), *array.shape[1:]))
        array[start:] = values
    for key, data in zip(keys, read, strict=True):
        stop = start + data.sizes[parts.dim]
        rows[key] = [parts.made_from[key], start, stop]
        start = stop


def _begin(group: Any, like: xr.Dataset, dim: str) -> None:
    """The arrays of a new store, without rows, and what is the same for all parts."""
    for name, variable in like.variables.items():
        attributes, values = dict(variable.attrs), _values(variable)
        if variable.dtype.kind == "M":
            attributes |= {"units": _TIME_UNITS, "calendar": "proleptic_gregorian"}
        grows = dim in variable.dims
        shape = (0, *variable.shape[1:]) if grows else variable.shape
        array = group.create_array(
            str(name),
            shape=shape,
            dtype=str if values.dtype.kind in "OU" else values.dtype,
            chunks=(_rows_per_chunk(variable), *variable.shape[1:]) if grows else (shape or "auto"),
            fill_value=np.nan if values.dtype.kind == "f" else None,
            dimension_names=list(map(str, variable.dims)),
            attributes=attributes,
            config={"write_empty_chunks": True},  # so that a missing chunk is known to be missing
        )
        if not grows:
            array[...] = values


def _note(group: Any, parts: Parts, rows: Mapping[str, Any]) -> None:
    """Say of which parts the store is made, which is what makes them count."""
    arrays = dict(group.arrays())
    dims = {dim for array in arrays.values() for dim in _dims(array)}
    largest = max(arrays, key=lambda name: arrays[name].ndim)
    coordinates = sorted(arrays.keys() - dims - {largest})
    noted = {"coordinates": " ".join(coordinates), SETTINGS: parts.settings, PARTS: json.dumps(rows)}
    group.update_attributes({**parts.attributes, **noted})


def _growing_arrays(group: Any, dim: str) -> dict[str, Any]:
    return {name: array for name, array in group.arrays() if dim in _dims(array)}


def _dims(array: Any) -> tuple[str, ...]:
    return tuple(array.metadata.dimension_names or ())


def _growing(data: xr.Dataset, dim: str) -> dict[str, npt.NDArray[Any]]:
    return {str(name): _values(variable) for name, variable in data.variables.items() if dim in variable.dims}


def _values(variable: xr.Variable) -> npt.NDArray[Any]:
    values = variable.values
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]").astype(np.int64)
    return values.astype(object) if values.dtype.kind == "U" else values


def _rows_per_chunk(variable: xr.Variable | xr.DataArray) -> int:
    of_row = int(np.prod(variable.shape[1:], dtype=int)) if variable.ndim > 1 else 64
    return max(1, CHUNK_VALUES // of_row)


def _in_turns(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), AT_A_TIME):
        yield keys[start : start + AT_A_TIME]


def _place(files: Files, name: str, *, writable: bool = False) -> Any:
    if files.is_local:
        return files.path(name)
    return zarr.storage.FsspecStore.from_url(files.url(name), read_only=not writable)
