"""Small level 2 files in the real ones' form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from abi_files import PERSPECTIVE_HEIGHT, SUB_LONGITUDE, source_file

from convml_data.scenes.ledger import SourceFile
from convml_data.sources.goes.names import AbiFileName

#: Flags of real files (GOES-16 AOD of 2018, GOES-17 ACHA of 2022).
AOD_FLAGS = "high_quality_retrieval_qf medium_quality_retrieval_qf low_quality_retrieval_qf no_retrieval_qf"
ACHA_FLAGS = (
    "good_quality_qf invalid_due_to_not_geolocated_qf invalid_due_to_LZA_threshold_exceeded_qf "
    "invalid_due_to_bad_or_missing_brightness_temp_data_qf invalid_due_to_clear_or_probably_clear_sky_qf "
    "invalid_due_to_unknown_cloud_type_qf invalid_due_to_nonconvergent_retrieval_qf"
)


@dataclass(frozen=True)
class Stored:
    """A variable as it is stored, with its attributes."""

    values: npt.NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def enumeration(values: npt.NDArray[np.integer], meanings: str) -> Stored:
    """Quality flags that count their meanings from 0, 255 where there is none."""
    numbers = np.arange(len(meanings.split()), dtype=np.int8)
    return Stored(
        values.astype(np.uint8).view(np.int8),
        {"_FillValue": np.int8(-1), "_Unsigned": "true", "flag_values": numbers, "flag_meanings": meanings},
    )


def write_level2(
    folder: Path,
    product: str,
    variables: Mapping[str, Stored],
    start: datetime,
    *,
    pixel_urad: int = 280,
    west_edge_urad: int = 9968,
    north_edge_urad: int = 80080,
    lon: npt.NDArray[np.floating] | None = None,
    lat: npt.NDArray[np.floating] | None = None,
    satellite: str = "goes16",
    sector: str = "C",
    channel: int | None = None,
    attributes: Mapping[str, str] | None = None,
) -> SourceFile:
    """Write a file on the fixed grid east of and below the given edges or, with ``lon`` and ``lat``, along these."""
    end = start + timedelta(minutes=2)
    name = AbiFileName("L2", product, sector, 6, channel, satellite, start, end, end)
    path = folder / name.path
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = next(iter(variables.values())).values.shape
    with h5py.File(path, "w") as hdf5:
        hdf5.attrs.update(
            {
                "platform_ID": satellite.replace("goes", "G"),
                "dataset_name": str(name),
                "time_coverage_start": f"{start:%Y-%m-%dT%H:%M:%S}.0Z",
                "time_coverage_end": f"{end:%Y-%m-%dT%H:%M:%S}.0Z",
                **(attributes or {}),
            }
        )
        for label, stored in variables.items():
            chunks = tuple(min(n, 32) for n in stored.values.shape)
            hdf5.create_dataset(label, data=stored.values, chunks=chunks, compression="gzip")
            hdf5[label].attrs.update(stored.attributes)
        if channel is not None:
            hdf5["band_id"] = np.array([channel], np.int8)
        if lon is not None and lat is not None:
            hdf5["lon"], hdf5["lat"] = lon, lat
            return source_file(path)
        rows, columns = shape[:2]
        for axis, size, step, edge in (
            ("x", columns, pixel_urad, west_edge_urad),
            ("y", rows, -pixel_urad, north_edge_urad),
        ):
            hdf5[axis] = np.arange(size, dtype=np.int16)
            hdf5[axis].attrs["scale_factor"] = np.float32(step * 1e-6)
            hdf5[axis].attrs["add_offset"] = np.float32((edge + step / 2) * 1e-6)
        hdf5["goes_imager_projection"] = np.int32(-2147483647)
        hdf5["goes_imager_projection"].attrs.update(
            {
                "perspective_point_height": PERSPECTIVE_HEIGHT,
                "semi_major_axis": 6378137.0,
                "semi_minor_axis": 6356752.31414,
                "latitude_of_projection_origin": 0.0,
                "longitude_of_projection_origin": SUB_LONGITUDE[satellite],
                "sweep_angle_axis": "x",
            }
        )
    return source_file(path)
