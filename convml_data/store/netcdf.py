"""Opening netCDF files of other programs, whichever of the formats they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

#: What the libraries raise for files that are cut off, overwritten or of a form that they do not know.
_BROKEN = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, EOFError, AttributeError)


def open_netcdf(path: Path, **options: Any) -> xr.Dataset:
    """A file's variables, lazily; use it in a ``with`` statement.

    Parameters
    ----------
    path
        Of the file.
    options
        For :func:`xarray.open_dataset`.

    Raises
    ------
    OSError
        The file is not there, or may not be read.
    ValueError
        It is no netCDF file of a form that can be read, or not a whole one: why.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    engine = _engine(head)
    try:
        return xr.open_dataset(path, engine=engine, **options)
    except _BROKEN as error:
        raise ValueError(str(error)) from error


def _engine(head: bytes) -> str:
    """The library for the form that a file's first bytes tell."""
    if head == b"\x89HDF\r\n\x1a\n":
        return "h5netcdf"
    if head[:4] in (b"CDF\x01", b"CDF\x02"):
        return "scipy"
    if head[:4] == b"CDF\x05":
        raise ValueError("its form is CDF-5; `nccopy -k nc4 <file> <new file>` makes one that can be read")
    raise ValueError("its first bytes are of another kind of file" if head else "it is empty")
