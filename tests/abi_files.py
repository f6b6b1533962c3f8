"""Small L1b radiance files in the real ones' form, which both this program and satpy open."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.scenes.ledger import SourceFile
from convml_data.sources.goes.calibration import Packing, looked_up, radiance_table, sort_out
from convml_data.sources.goes.names import AbiFileName

PERSPECTIVE_HEIGHT = 35786023.0
SUB_LONGITUDE = {"goes16": -75.0, "goes17": -137.0}

#: Pixel in microradians, esun, fill and packing of the channels of truecolor.
CHANNELS = {
    1: (28, 2041.6865, 1023, 0.8121064, -25.936647),
    2: (14, 1628.0801, 4095, 0.15859237, -20.289911),
    3: (28, 955.5531, 1023, 0.37691253, -12.037643),
    13: (56, None, 4095, 0.04572892, -1.6443),
}
WAVELENGTHS = {1: 0.47, 2: 0.64, 3: 0.87, 13: 10.33}


def radiance_of(
    counts: npt.NDArray[np.integer], dqf: npt.NDArray[np.uint8], packing: Packing
) -> npt.NDArray[np.float32]:
    """Of all pixels that have a value, whatever their flags."""
    told = sort_out(counts, dqf, packing, np.ones(256, np.bool_))
    return looked_up(told.counts, radiance_table(packing, told.counts.dtype))


def write_abi(
    folder: Path,
    channel: int,
    counts: npt.NDArray[np.integer],
    start: datetime,
    *,
    west_edge_urad: int = -28000,
    north_edge_urad: int = 84000,
    dqf: npt.NDArray[np.integer] | None = None,
    satellite: str = "goes16",
    sector: str = "M1",
    chunk: int = 64,
    mode: int = 6,
    sub_longitude: float | None = None,
) -> SourceFile:
    """Write a file whose pixels lie east of and below the given outer edges, in scan angles."""
    pixel, esun, fill, scale, offset = CHANNELS[channel]
    rows, columns = counts.shape
    if sub_longitude is None:
        sub_longitude = SUB_LONGITUDE[satellite]
    first_x, first_y = west_edge_urad + pixel / 2, north_edge_urad - pixel / 2
    if dqf is None:
        dqf = np.where(counts == fill, 255, 0)
    scalars = {
        "goes_imager_projection": np.int32(-2147483647),
        "nominal_satellite_subpoint_lat": np.float32(0.0),
        "nominal_satellite_subpoint_lon": np.float32(sub_longitude - 0.2),
        "nominal_satellite_height": np.float32(35786.023),
        "yaw_flip_flag": np.int8(1),
        "esun": np.float32(-999 if esun is None else esun),
        "kappa0": np.float32(0.0015),
        "earth_sun_distance_anomaly_in_AU": np.float32(0.9938448),
        "planck_fk1": np.float32(-999 if esun else 10803.3),
        "planck_fk2": np.float32(-999 if esun else 1392.74),
        "planck_bc1": np.float32(-999 if esun else 0.07550),
        "planck_bc2": np.float32(-999 if esun else 0.99975),
        "t": np.float64((start - datetime(2000, 1, 1, 12)).total_seconds()),
    }
    dataset = xr.Dataset(
        {
            "Rad": (
                ("y", "x"),
                counts.astype(np.uint16).view(np.int16),
                {
                    "_FillValue": np.int16(fill),
                    "_Unsigned": "true",
                    "scale_factor": np.float32(scale),
                    "add_offset": np.float32(offset),
                    "grid_mapping": "goes_imager_projection",
                    "units": "W m-2 sr-1 um-1" if esun else "mW m-2 sr-1 (cm-1)-1",
                },
            ),
            "DQF": (
                ("y", "x"),
                dqf.astype(np.uint8).view(np.int8),
                {"_FillValue": np.int8(-1), "_Unsigned": "true"},
            ),
            "band_id": ("band", np.array([channel], np.int8)),
            "band_wavelength": ("band", np.array([WAVELENGTHS[channel]], np.float32)),
            **{name: ((), value) for name, value in scalars.items()},
            **{
                name: (
                    name,
                    np.arange(size, dtype=np.int16),
                    {"scale_factor": np.float32(step), "add_offset": np.float32(first), "units": "rad"},
                )
                for name, size, step, first in (
                    ("x", columns, pixel * 1e-6, first_x * 1e-6),
                    ("y", rows, -pixel * 1e-6, first_y * 1e-6),
                )
            },
        },
        attrs={
            "platform_ID": satellite.replace("goes", "G"),
            "orbital_slot": "GOES-Test",
            "scene_id": "Mesoscale",
            "spatial_resolution": f"{pixel / 28:g}km at nadir",
            "time_coverage_start": f"{start:%Y-%m-%dT%H:%M:%S}.{start.microsecond // 100_000}Z",
            "time_coverage_end": f"{start + timedelta(seconds=5):%Y-%m-%dT%H:%M:%S}.0Z",
        },
    )
    dataset["goes_imager_projection"].attrs = {
        "grid_mapping_name": "geostationary",
        "perspective_point_height": PERSPECTIVE_HEIGHT,
        "semi_major_axis": 6378137.0,
        "semi_minor_axis": 6356752.31414,
        "inverse_flattening": 298.2572221,
        "latitude_of_projection_origin": 0.0,
        "longitude_of_projection_origin": sub_longitude,
        "sweep_angle_axis": "x",
    }
    end = start + timedelta(seconds=5)
    name = AbiFileName("L1b", "Rad", sector, mode, channel, satellite, start, end, end)
    packed = {
        "zlib": True,
        "complevel": 1,
        "shuffle": False,
        "chunksizes": (min(chunk, rows), min(chunk, columns)),
    }
    path = folder / name.path
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.to_netcdf(path, engine="h5netcdf", encoding={"Rad": packed, "DQF": packed})
    return source_file(path)


def source_file(path: Path) -> SourceFile:
    """A file as an archive's listing shows it."""
    return SourceFile(f"file://{path}", path.stat().st_size)


def textured_counts(shape: tuple[int, int], low: int, high: int, seed: int) -> npt.NDArray[np.uint16]:
    """Smooth waves with noise on top."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    waves = 0.5 + 0.3 * np.sin(9 * columns + seed) * np.cos(7 * rows)
    noise = np.random.default_rng(seed).uniform(-0.2, 0.2, shape)
    return (low + (high - low) * np.clip(waves + noise, 0, 1)).astype(np.uint16)
