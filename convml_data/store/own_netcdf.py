"""netCDF 4 files as this program keeps them: written in one pass, and opened without looking at more than is asked for.

netCDF 4 is HDF5 with conventions for dimensions. They are written here by h5py alone, since xarray and h5netcdf take
six times as long for files of this size: `docs/decisions/010-writing.md`. xarray encodes and decodes the values by
the CF conventions, and any program that knows netCDF 4 reads the files.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr
from h5py import h5a, h5d, h5ds, h5f, h5g, h5p, h5s, h5t
from isal import isal_zlib
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.conventions import cf_encoder, decode_cf_variables, encode_dataset_coordinates
from xarray.core import indexing

from convml_data.errors import StoreError
from convml_data.side_by_side import each_of

#: Longest side of a chunk: that of most tiles, which are then one chunk for each band.
CHUNK_SIDE = 256

#: As small as zlib's level 1 makes clouds, in an eighth of its time.
_DEFLATE_LEVEL = 1

#: By so many bytes a file grows in memory.
_GROWTH = 2**20

_TEXT = h5py.string_dtype()
_TEXT_ON_DISK = h5t.py_create(_TEXT, logical=True)
_SINGLE = h5s.create(h5s.SCALAR)
#: So that programs that change netCDF files can open them for that.
_ORDERED = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED

#: What marks a dimension that no variable has the values of, as the netCDF library knows it.
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable."
_WRITER = f"version=2,h5py={h5py.version.version},hdf5={h5py.version.hdf5_version}"
#: Attributes by which HDF5 and netCDF note dimensions, and nobody's to read.
_DIMENSION, _DIMENSIONS = "_Netcdf4Dimid", "_Netcdf4Coordinates"
_OF_THE_FORMAT = frozenset(
    {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", _DIMENSION, _DIMENSIONS, "_NCProperties", "_nc3_strict"}
)


def write_netcdf(path: Path, data: xr.Dataset) -> None:
    """Write a dataset as netCDF 4: fields compressed, and those of floating-point numbers filled with NaN.

    The same data give the same bytes.

    Raises
    ------
    StoreError
        A variable or an attribute is of a type that netCDF has not.
    OSError
        There is no space left, or no such folder.
    """
    variables, attributes = _encoded(data)
    access, creation = h5p.create(h5p.FILE_ACCESS), h5p.create(h5p.FILE_CREATE)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_fapl_core(_GROWTH, False)  # in memory: a file that cannot be written to disk could not be closed either
    creation.set_obj_track_times(False)
    creation.set_link_creation_order(_ORDERED)
    creation.set_attr_creation_order(_ORDERED)
    file = h5f.create(os.fsencode(path), h5f.ACC_TRUNC, fcpl=creation, fapl=access)
    try:
        _write(h5g.open(file, b"/"), variables, attributes)
        h5f.flush(file)
        content = file.get_file_image()
    finally:
        file.close()
    path.write_bytes(content)


def _encoded(data: xr.Dataset) -> tuple[Mapping[str, xr.Variable], Mapping[str, Any]]:
    """Variables and attributes as they are kept by the CF conventions."""
    computed = data.drop_encoding().compute()
    for variable in computed.variables.values():  # xarray would fill coordinates too
        if not _is_field(variable):
            variable.encoding["_FillValue"] = None
    variables, attributes = cf_encoder(*encode_dataset_coordinates(computed))
    return {str(name): variable for name, variable in variables.items()}, {**attributes}


def _is_field(variable: xr.Variable) -> bool:
    return variable.ndim >= 2 and variable.dtype.kind in "fiu" and variable.size > 0


def _is_number(dtype: np.dtype[Any]) -> bool:
    """Whether netCDF has such numbers; its library crashes on files with longer ones."""
    return dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8))


def _write(root: Any, variables: Mapping[str, xr.Variable], attributes: Mapping[str, Any]) -> None:
    sizes = {str(dim): size for variable in variables.values() for dim, size in variable.sizes.items()}
    numbers = {dim: number for number, dim in enumerate(sizes)}
    _note(root, "_NCProperties", np.array(_WRITER.encode()))
    scales = {}
    for dim, size in sizes.items():
        if dim not in variables:
            scales[dim] = h5d.create(root, dim.encode(), h5t.IEEE_F32BE, h5s.create_simple((size,)), _creation())
            h5ds.set_scale(scales[dim], f"{_NO_VARIABLE}{size:10d}".encode())
        elif variables[dim].dims != (dim,):
            raise StoreError(f"{dim} is a dimension, and a variable with the dimensions {variables[dim].dims}")
        else:
            scales[dim] = _new_dataset(root, dim, variables[dim])
            h5ds.set_scale(scales[dim], dim.encode())
        _note(scales[dim], _DIMENSION, np.array(numbers[dim], np.int32))
    for name, variable in variables.items():
        dataset = scales.get(name)
        if dataset is None:
            dataset = _new_dataset(root, name, variable)
            for axis, of_axis in enumerate(variable.dims):
                h5ds.attach_scale(dataset, scales[str(of_axis)], axis)
        if variable.dims:
            _note(dataset, _DIMENSIONS, np.array([numbers[str(dim)] for dim in variable.dims], np.int32))
        _set_attributes(dataset, variable.attrs)
    _set_attributes(root, attributes)


def _new_dataset(root: Any, name: str, variable: xr.Variable) -> Any:
    """A variable and its values, without its attributes."""
    values = variable.values
    creation, space = _creation(), h5s.create_simple(values.shape) if values.ndim else _SINGLE
    if values.dtype.kind in "OSTU":
        dataset = h5d.create(root, name.encode(), _TEXT_ON_DISK, space, creation)
        dataset.write(h5s.ALL, h5s.ALL, _texts(name, values))
        return dataset
    if not _is_number(values.dtype):
        raise StoreError(f"{name} is of type {values.dtype}, which netCDF files cannot hold")
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    if not _is_field(variable):
        dataset = h5d.create(root, name.encode(), h5t.py_create(values.dtype), space, creation)
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values))
        return dataset
    chunk = tuple([1] * (values.ndim - 2) + [_chunk_side(side) for side in values.shape[-2:]])
    creation.set_chunk(chunk)
    creation.set_shuffle()
    creation.set_deflate(_DEFLATE_LEVEL)
    creation.set_fill_value(np.array(np.nan if values.dtype.kind == "f" else 0, values.dtype))
    dataset = h5d.create(root, name.encode(), h5t.py_create(values.dtype), space, creation)
    for start, content in _compressed_chunks(values, chunk):
        dataset.write_direct_chunk(start, content)
    return dataset


def _creation() -> Any:
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    creation.set_attr_creation_order(_ORDERED)
    return creation


def _texts(name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    texts = [value.decode() if isinstance(value, bytes) else value for value in values.flat]
    if not all(isinstance(text, str) for text in texts):
        raise StoreError(f"{name} holds other things than text and numbers, which netCDF files cannot")
    return np.array(texts, _TEXT).reshape(values.shape)


def _chunk_side(side: int) -> int:
    """Of chunks that are all about as long, so that the last is not mostly fill."""
    return math.ceil(side / math.ceil(side / CHUNK_SIDE))


def _chunks(values: npt.NDArray[Any], shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], npt.NDArray[Any]]]:
    """Where each chunk begins, and its values, filled up where it reaches beyond the array."""
    for start in product(*(range(0, size, step) for size, step in zip(values.shape, shape, strict=True))):
        part = values[tuple(slice(first, first + step) for first, step in zip(start, shape, strict=True))]
        if part.shape != shape:
            whole = np.full(shape, np.nan if values.dtype.kind == "f" else 0, values.dtype)
            whole[tuple(map(slice, part.shape))] = part
            part = whole
        yield start, part


def _compressed_chunks(values: npt.NDArray[Any], shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Where each chunk begins, and its bytes in the file."""
    starts, parts = zip(*_chunks(values, shape), strict=True)
    yield from zip(starts, each_of(parts, _compressed, values.nbytes), strict=True)


def _compressed(chunk: npt.NDArray[Any]) -> bytes:
    """As HDF5 does it, by its filters *shuffle* and *deflate*, and without the lock that it holds meanwhile."""
    of_each = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).reshape(-1, chunk.itemsize)
    return bytes(isal_zlib.compress(np.ascontiguousarray(of_each.T), _DEFLATE_LEVEL))


def _set_attributes(of: Any, attributes: Mapping[Any, Any]) -> None:
    for name, value in attributes.items():
        _set_attribute(of, str(name), value)


def _set_attribute(of: Any, name: str, value: Any) -> None:
    """A list where it is a number, if of one: netCDF knows no other numbers. Text is none."""
    values = np.asarray(value)
    if isinstance(value, str):
        text = value.encode()
        # Of fixed length, as the netCDF library writes it, and in place: HDF5 may search a damaged heap for ever.
        _note(of, name, np.array(text, h5py.string_dtype(length=max(1, len(text)))))
    elif values.dtype.kind == "U" and values.ndim < 2:
        _note(of, name, values.astype(_TEXT))
    elif _is_number(values.dtype) and values.ndim < 2:
        _note(of, name, np.atleast_1d(values))
    else:
        raise StoreError(f"the attribute {name} is {value!r}, and netCDF has text, numbers and lists of them only")


def _note(of: Any, name: str, values: npt.NDArray[Any]) -> None:
    space = h5s.create_simple(values.shape) if values.ndim else _SINGLE
    h5a.create(of, name.encode(), h5t.py_create(values.dtype, logical=True), space).write(values)


def open_own_netcdf(source: str | io.BytesIO) -> xr.Dataset:
    """Open a netCDF 4 file but for its groups; values of fields are read when they are used.

    Raises
    ------
    OSError, KeyError, ValueError, RuntimeError
        It is absent, damaged or none.
    """
    return xr.open_dataset(source, engine=_Backend)


class _Backend(BackendEntrypoint):
    """What xarray opens files with."""

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None) -> xr.Dataset:
        file = h5py.File(filename_or_obj, "r")
        try:
            members = {name: file[name] for name in file}  # not its items, which skip what is damaged
            datasets = {name: each for name, each in members.items() if isinstance(each, h5py.Dataset)}
            scales = {name: each for name, each in datasets.items() if "CLASS" in each.attrs}
            dimensions = {int(scale.attrs[_DIMENSION]): name for name, scale in scales.items()}
            variables = {
                name: _variable(dataset, [dimensions[number] for number in dataset.attrs.get(_DIMENSIONS, ())])
                for name, dataset in datasets.items()
                if not (name in scales and dataset.attrs["NAME"].startswith(_NO_VARIABLE.encode()))
            }
            found, attributes, coordinates = decode_cf_variables(
                variables, _attributes(file), decode_coords="all", drop_variables=drop_variables
            )
            data = xr.Dataset(found, attrs=attributes)
            data = data.set_coords(coordinates.intersection(data.variables))
        except BaseException:
            file.close()
            raise
        data.set_close(file.close)
        return data


def _variable(dataset: Any, dimensions: Sequence[str]) -> xr.Variable:
    values: Any = indexing.LazilyIndexedArray(_Values(dataset))
    if dataset.dtype == _TEXT:
        values = np.asarray(dataset.asstr()[()], str)
    elif dataset.ndim < 2:
        values = np.asarray(dataset[()])
    return xr.Variable(dimensions, values, _attributes(dataset))


def _attributes(of: Any) -> dict[str, Any]:
    return {name: _one(of.attrs[name]) for name in of.attrs if name not in _OF_THE_FORMAT}


def _one(value: Any) -> Any:
    """Text, or the only one of a list of one."""
    if isinstance(value, bytes):
        return value.decode()
    return value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value


class _Values(BackendArray):
    """The values of a dataset, read as they are asked for."""

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.shape, self.dtype = dataset, dataset.shape, dataset.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        one_list = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, one_list, self.dataset.__getitem__)
