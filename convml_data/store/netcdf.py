"""Opening netCDF files of other programs, whichever of the two formats they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

#: First bytes of the netCDF formats that are no HDF5: classic, 64-bit offset and 64-bit data.
_CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")


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
    OSError, ValueError
        The file is not there or is no netCDF file.
    """
    with path.open("rb") as stream:
        engine = "scipy" if stream.read(4) in _CLASSIC else "h5netcdf"
    return xr.open_dataset(path, engine=engine, **options)
