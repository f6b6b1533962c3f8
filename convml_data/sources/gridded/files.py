"""Which netCDF files there are, and opening one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from convml_data.errors import ArchiveError

#: Where files are looked for, below the folder of ``meta.yaml``.
FOLDERS = ("source_data/LES", "source_data/LES/source_files")

DEFAULT_PATTERN = "*.nc"

#: What the libraries raise for files that are cut off, overwritten or of a form they do not know.
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, EOFError, AttributeError)


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


@contextmanager
def opened(path: Path) -> Iterator[xr.Dataset]:
    """A file, fills as NaN and scale factors applied when values are read, times as they are written.

    Raises
    ------
    ArchiveError
        The file is absent, empty, cut off, or no netCDF file of a form that can be read.
    """
    engine = _engine_of(path)
    try:
        data = xr.open_dataset(path, engine=engine, decode_times=False, decode_coords=False, cache=False)
    except _UNREADABLE as error:
        raise _unreadable(path, str(error)) from error
    try:
        with data:
            yield data
    except (OSError, RuntimeError) as error:  # values that are not where the file says they are
        raise _unreadable(path, str(error)) from error


def _engine_of(path: Path) -> str:
    """The library for the form that the file's first bytes tell."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise ArchiveError(f"the file cannot be read ({error})", where=str(path)) from error
    if head == b"\x89HDF\r\n\x1a\n":
        return "h5netcdf"
    if head[:4] in (b"CDF\x01", b"CDF\x02"):
        return "scipy"
    if head[:4] == b"CDF\x05":
        raise ArchiveError(
            "the file has the form CDF-5, which cannot be read",
            where=str(path),
            remedy="Convert it, for example with `nccopy -k nc4 <file> <new file>`",
        )
    raise _unreadable(path, "it is empty" if not head else "its first bytes are of another kind of file")


def _unreadable(path: Path, why: str) -> ArchiveError:
    return ArchiveError(
        f"this is no whole netCDF file ({why})",
        where=str(path),
        remedy="Replace it, take it out of the folder, or choose the others by `files` in meta.yaml",
    )


def units_in_words(variable: xr.DataArray) -> str:
    """``the units 'm'`` or ``no units``, for messages."""
    units = variable.attrs.get("units")
    return f"the units {units!r}" if units else "no units"
