"""Which netCDF files there are, and opening one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from convml_data.errors import ArchiveError
from convml_data.scenes.ledger import SourceFile
from convml_data.sources.cf import FloatArray, decode
from convml_data.store.netcdf import open_netcdf

#: Where files are looked for, below the folder of ``meta.yaml``.
FOLDERS = ("source_data/LES", "source_data/LES/source_files")

DEFAULT_PATTERN = "*.nc"

#: Kinds of stored numbers: signed and unsigned integers, floating point, truth values.
NUMBERS = "iufb"


def list_files(directory: Path, pattern: str | None) -> list[Path]:
    """Files of the user in name order, each once; what this program has cropped from them is none of them.

    Raises
    ------
    ArchiveError
        There is none.
    """
    folders = [directory / folder for folder in FOLDERS]
    try:
        named = [path for folder in folders for path in folder.glob(pattern or DEFAULT_PATTERN)]
    except (ValueError, NotImplementedError) as error:
        raise ArchiveError(
            f"`files` is {pattern!r}, which is no pattern of names below {folders[0]} ({error})",
            remedy="Write a pattern such as run1_*.nc, or **/run1_*.nc for folders within",
        ) from error
    found: dict[Path, Path] = {}
    for path in sorted((path.absolute() for path in named), key=_by_number):
        if not path.is_dir() and path.parent.name != "cropped":
            found.setdefault(path.resolve(), path)
    if not found:
        raise ArchiveError(
            f"there is no file {pattern or DEFAULT_PATTERN!r} of the model in {folders[0]} or {folders[1]}",
            remedy="Put the netCDF files, or links to them, into one of these folders"
            + (", or correct `files` in meta.yaml" if pattern else ", or name them by `files` in meta.yaml"),
        )
    return list(found.values())


def _by_number(path: Path) -> list[str | int]:
    """Text and numbers in turn, so that run_10 comes after run_2."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", str(path))]


def source_file(path: Path) -> SourceFile:
    """A file as it is now; its version is the time of its last change.

    Raises
    ------
    ArchiveError
        It is absent.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return SourceFile(str(path), status.st_size, version=str(status.st_mtime_ns))


@contextmanager
def opened(path: Path) -> Iterator[xr.Dataset]:
    """A file, with numbers and times as they are stored.

    Raises
    ------
    ArchiveError
        The file is absent, empty, cut off, or no netCDF file of a form that can be read.
    """
    try:
        data = open_netcdf(path, decode_times=False, decode_coords=False, mask_and_scale=False, cache=False)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise _broken(path, error) from error
    try:
        with data:
            yield data
    except (OSError, RuntimeError) as error:  # values that are not where the file says they are
        raise _broken(path, error) from error


def values_of(variable: xr.DataArray | xr.Variable, name: str, where: str) -> FloatArray:
    """Values of a variable of :func:`opened`, NaN where they are missing.

    Raises
    ------
    ArchiveError
        It does not hold numbers, or its attributes do not say how to decode them.
    """
    if variable.dtype.kind not in NUMBERS:
        raise no_numbers(name, where)
    try:
        return decode(variable.values, {str(key): value for key, value in variable.attrs.items()})
    except ValueError as error:
        raise ArchiveError(
            f"{name!r} cannot be decoded: {error}", where=where, remedy="Correct its attributes in the file"
        ) from error


def no_numbers(name: str, where: str) -> ArchiveError:
    """For a variable of text or of records."""
    return ArchiveError(f"{name!r} does not hold numbers", where=where, remedy="Name another variable")


def _unreadable(path: Path, error: OSError) -> ArchiveError:
    return ArchiveError(f"the file cannot be read ({error})", where=str(path))


def _broken(path: Path, error: Exception) -> ArchiveError:
    return ArchiveError(
        f"this is no whole netCDF file ({error})",
        where=str(path),
        remedy="Replace it, take it out of the folder, or choose the others by `files` in meta.yaml",
    )


def units_in_words(variable: xr.DataArray) -> str:
    """``the units 'm'`` or ``no units``, for messages."""
    units = variable.attrs.get("units")
    return f"the units {units!r}" if units else "no units"
