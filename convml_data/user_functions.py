"""Functions of the user: fields and pictures made by ``user_functions.py`` beside ``meta.yaml``.

The file is imported once in each process and each time its content changes. It is code of the user's
own, and runs with the user's rights.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import MetaError, SceneError
from convml_data.fingerprints import fingerprint_of_file

#: What arguments that hold a field are called.
ARGUMENT = "da_{}"


def load_function(file: Path, name: str, arguments: tuple[str, ...]) -> Callable[..., Any]:
    """A function of the user's file.

    Parameters
    ----------
    file
        The file.
    name
        Of the function.
    arguments
        Names of the arguments that it will be called with.

    Raises
    ------
    MetaError
        There is no such file or function, the file cannot be imported, or the function does not
        take these arguments.
    """
    try:
        module = _imported(file, fingerprint_of_file(file))
    except OSError as error:
        raise MetaError(
            f"the function {name} is wanted, and its file cannot be read ({error.strerror})",
            where=str(file),
            remedy=f"Write `def {name}({', '.join(arguments)}):` into this file",
        ) from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        raise MetaError(
            f"there is no function {name}",
            where=str(file),
            remedy=f"Write `def {name}({', '.join(arguments)}):` into this file",
        )
    try:
        inspect.signature(function).bind(**dict.fromkeys(arguments))
    except TypeError as error:
        raise MetaError(
            f"{name}{inspect.signature(function)} cannot be called with {', '.join(arguments)} ({error})",
            where=str(file),
            remedy=f"Write `def {name}({', '.join(arguments)}):`",
        ) from error
    return function


def _imported(file: Path, content: str) -> ModuleType:
    """The file as a module, imported by one thread and once for each content."""
    with _importing:
        return _imported_once(file, content)


_importing = threading.Lock()


@lru_cache(maxsize=8)
def _imported_once(file: Path, content: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_user_functions_{content}", file)
    assert spec is not None  # as the file ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(spec.name, None)
        raise MetaError(
            f"this file cannot be imported: {_words_of(error, file)}", where=str(file), remedy="Mend it"
        ) from error
    return module


@dataclass(frozen=True)
class _Function:
    """A function of the user's file, and in words what it is to return: ``shape`` is (y, x)."""

    file: Path
    name: str
    shape: tuple[int, int]
    wanted: str

    def __call__(self, arguments: Mapping[str, xr.DataArray], *dims: set[str]) -> xr.DataArray:
        """What it returned for copies of the arguments: of one of the sets of dims, rows and columns as given."""
        function = load_function(self.file, self.name, tuple(arguments))
        try:
            returned = function(**{key: array.copy(deep=True) for key, array in arguments.items()})
        except (Exception, SystemExit) as error:
            raise SceneError(
                f"{self.name} failed: {_words_of(error, self.file)}", where=str(self.file), remedy="Mend the function"
            ) from error
        if not isinstance(returned, xr.DataArray):
            raise self.broken(f"a {type(returned).__name__}")
        if set(returned.dims) not in dims:
            raise self.broken(f"dims {returned.dims}")
        sizes = returned.sizes
        if (sizes["y"], sizes["x"]) != self.shape or sizes.get("rgb", 3) < 3:
            rgb = f" and rgb {sizes['rgb']}" if "rgb" in sizes else ""
            between = "," if rgb else " and"
            raise self.broken(f"y {sizes['y']}{between} x {sizes['x']}{rgb} long")
        return self._aligned(returned, next(iter(arguments.values())))

    def _aligned(self, returned: xr.DataArray, given: xr.DataArray) -> xr.DataArray:
        """What was returned, with rows and columns in the order of what was given."""
        for axis in ("y", "x"):
            if axis not in returned.coords or axis not in given.coords:
                continue
            if not returned[axis].to_index().sort_values().equals(given[axis].to_index().sort_values()):
                raise self.broken(f"other values of the coordinate {axis}", f"{self.wanted}, {axis} as it was given")
            returned = returned.sel({axis: given[axis].values})
        return returned

    def broken(self, returned: str, wanted: str | None = None) -> SceneError:
        """The error that says what was returned and what was wanted."""
        return SceneError(
            f"{self.name} returned {returned}, and was to return {wanted or self.wanted}",
            where=str(self.file),
            remedy="Mend the function",
        )


def call_field_function(file: Path, name: str, fields: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """What a function makes of fields on one grid.

    Parameters
    ----------
    file, name
        Of the function.
    fields
        By name, each (y, x) with the attributes ``units`` and ``long_name``.

    Returns
    -------
    DataArray
        (y, x) or (bands, y, x), float32, NaN where it is not finite, on the fields' grid, with
        ``units`` and ``long_name``.

    Raises
    ------
    MetaError
        As :func:`load_function`.
    SceneError
        The function failed or returned something else; the message says what, and what it was to return.
    """
    (ny, nx) = next(iter(fields.values())).shape
    function = _Function(
        file,
        name,
        (ny, nx),
        f"a DataArray with dims (y, x) or (bands, y, x), y {ny} and x {nx} long, "
        "and the attributes units and long_name",
    )
    arguments = {ARGUMENT.format(field): array for field, array in fields.items()}
    returned = function(arguments, {"y", "x"}, {"bands", "y", "x"})

    if returned.dtype.kind not in "fiub":
        raise function.broken(f"values of type {returned.dtype}")
    missing = [key for key in ("units", "long_name") if not isinstance(returned.attrs.get(key), str)]
    if missing:
        raise function.broken(f"an array without {' and '.join(missing)} among its attributes")
    ordered = returned.transpose(*(dim for dim in ("bands", "y", "x") if dim in returned.dims))
    return ordered.astype(np.float32).where(np.isfinite(ordered))


def call_image_function(file: Path, name: str, field: xr.DataArray) -> npt.NDArray[np.floating]:
    """What a function makes of a scene or tile as a picture.

    Parameters
    ----------
    file, name
        Of the function.
    field
        (y, x) or (bands, y, x).

    Returns
    -------
    ndarray
        Red, green and blue from 0 to 1, shape (3, ny, nx), rows as in the field, NaN where the
        function gave NaN.

    Raises
    ------
    MetaError
        As :func:`load_function`.
    SceneError
        The function failed or returned something else; the message says what, and what it was to return.
    """
    ny, nx = field.shape[-2:]
    function = _Function(
        file,
        name,
        (ny, nx),
        f"a DataArray with dims (y, x, rgb) in any order, y {ny}, x {nx} and rgb 3 or more long, values from 0 to 1",
    )
    returned = function({ARGUMENT.format("scene"): field.squeeze(drop=True)}, {"y", "x", "rgb"})
    rgb = np.asarray(returned.transpose("rgb", "y", "x").values[:3], np.float64)
    low, high = np.nanmin(rgb, initial=0.0), np.nanmax(rgb, initial=1.0)
    if low < 0 or high > 1:
        raise function.broken(f"values from {np.nanmin(rgb):g} to {np.nanmax(rgb):g}")
    return rgb


def call_mask_function(file: Path, name: str, field: xr.DataArray) -> npt.NDArray[np.floating]:
    """What a function takes for cloud in a scene.

    Parameters
    ----------
    file, name
        Of the function.
    field
        (y, x) or (bands, y, x).

    Returns
    -------
    ndarray
        1 cloud, 0 none, NaN unknown, shape (ny, nx), rows as in the field.

    Raises
    ------
    MetaError
        As :func:`load_function`.
    SceneError
        The function failed or returned something else; the message says what, and what it was to return.
    """
    ny, nx = field.shape[-2:]
    function = _Function(
        file,
        name,
        (ny, nx),
        f"a DataArray with dims (y, x), y {ny} and x {nx} long, true or 1 where there is cloud, false or 0 elsewhere",
    )
    returned = function({ARGUMENT.format("scene"): field.squeeze(drop=True)}, {"y", "x"})
    mask = np.asarray(returned.transpose("y", "x").values, np.float64)
    if not np.isin(mask[np.isfinite(mask)], (0, 1)).all():
        raise function.broken(f"values from {np.nanmin(mask):g} to {np.nanmax(mask):g}")
    return mask


def _words_of(error: BaseException, file: Path) -> str:
    """An error in the file, with the line that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    place = f" in line {lines[-1]}" if lines else ""
    return f"{type(error).__name__}{place}: {error}"
