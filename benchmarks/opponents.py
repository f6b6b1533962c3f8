"""The same scenes by satpy; for :mod:`~benchmarks.child`.

*The original way* is the sequence of calls of the software that convml-data replaces: whole files, all channels brought
to the finest pixels of the whole disk, then the crop; the composite is computed once for the netCDF file and again for
the picture, and the regridder is built for each scene. That one used xESMF, which pip cannot install; here pyresample's
bilinear resampler takes its place, which is faster. Large domains are not regridded at all in the original way.

*Tuned satpy* is the same result with the same library, as well as we can: small chunks, the crop first, one
computation, and pyresample's gradient search, which is its fastest bilinear one.

Neither corrects for Rayleigh scattering, whose tables come from the internet.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import satpy
import xarray as xr
from pyresample import AreaDefinition, SwathDefinition
from pyresample.bilinear import NumpyBilinearResampler
from satpy.enhancements.enhancer import get_enhanced_image

from benchmarks.child import repeated
from convml_data.geometry.local import LocalDomain

COMPOSITE = "true_color_raw"
#: Bytes of a dask chunk with which satpy is fastest here.
TUNED_CHUNK = "2MiB"

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


def original(
    files: Sequence[str], domain: Sequence[float], resolution: float, out: str, regrid: bool
) -> dict[str, float]:
    """One scene the original way."""
    folder, local = Path(out), LocalDomain(*domain)

    def work() -> None:
        scene = satpy.Scene(reader="abi_l1b", filenames=list(files))
        scene.load([COMPOSITE])
        crop = scene.resample(resampler="native").crop(ll_bbox=_box(local))
        data = crop[COMPOSITE]
        lon, lat = data.attrs["area"].get_lonlats()
        values = _plain(data).assign_coords(lon=(("y", "x"), lon), lat=(("y", "x"), lat))
        values.to_netcdf(folder / "crop.nc")
        crop.save_dataset(COMPOSITE, filename=str(folder / "crop.png"), writer="simple_image")
        if not regrid:
            return
        source = values.load()
        resampler = NumpyBilinearResampler(SwathDefinition(lon, lat), _area(local, resolution), 5000.0)
        bands = [resampler.resample(source.sel(bands=band).values) for band in source["bands"]]
        _local(np.stack(bands), source["bands"].values).to_netcdf(folder / "regridded.nc")

    return repeated(work, 1, lambda: _empty(folder))


def tuned(files: Sequence[str], domain: Sequence[float], resolution: float, out: str, times: int) -> dict[str, float]:
    """One scene by satpy with all the means it has."""
    folder, local = Path(out), LocalDomain(*domain)

    def work() -> None:
        with dask.config.set({"array.chunk-size": TUNED_CHUNK}):
            crop = tuned_crop(files, COMPOSITE, local)
            regridded = crop.resample(_area(local, resolution), resampler="gradient_search", method="bilinear")
            picture = get_enhanced_image(crop[COMPOSITE]).data
            values, on_grid, picture = dask.base.compute(  # type: ignore[no-untyped-call]
                _plain(crop[COMPOSITE]), _plain(regridded[COMPOSITE]), picture
            )
        values.to_netcdf(folder / "crop.nc")
        _save_picture(picture, folder / "crop.png")
        on_grid.to_netcdf(folder / "regridded.nc")

    return repeated(work, times, lambda: _empty(folder))


def tuned_crop(files: Sequence[str], name: str, domain: LocalDomain) -> satpy.Scene:
    """A dataset over a domain, on the finest pixels, not computed."""
    scene = satpy.Scene(reader="abi_l1b", filenames=list(files))
    scene.load([name], generate=False)
    return scene.crop(ll_bbox=_box(domain)).resample(resampler="native")


def _box(domain: LocalDomain) -> tuple[float, float, float, float]:
    """West, south, east and north of the corners, degrees."""
    lon, lat = domain.to_world(*domain.lattice(2))
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def _area(domain: LocalDomain, resolution: float) -> AreaDefinition:
    width, height = domain.l_zonal, domain.l_meridional
    extent = (-width / 2, -height / 2, width / 2, height / 2)
    shape = (round(height / resolution), round(width / resolution))
    return AreaDefinition("local", "", "", domain.crs.to_dict(), shape[1], shape[0], extent)


def _plain(data: xr.DataArray) -> xr.DataArray:
    """Without attributes that netCDF cannot hold."""
    return data.drop_vars("crs", errors="ignore").drop_attrs().astype(np.float32).rename("rgb")


def _local(values: npt.NDArray[Any], bands: npt.NDArray[Any]) -> xr.DataArray:
    return xr.DataArray(values.astype(np.float32), dims=("bands", "y", "x"), coords={"bands": bands}, name="rgb")


def _save_picture(values: xr.DataArray, path: Path) -> None:
    from PIL import Image

    bands = values.transpose("y", "x", "bands").values
    Image.fromarray((np.nan_to_num(bands).clip(0, 1) * 255).astype(np.uint8)).save(path)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
