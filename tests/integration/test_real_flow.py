"""Real clouds that are followed, against an independent flow that is dense."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from datasets import dagster_home_fixture, write_meta  # noqa: F401

from convml_data_dagster.cli import main

cv2 = pytest.importorskip("cv2", reason="needs the extra flow")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dagster_home", "without_s3_settings")]


def test_water_vapour_moves_as_a_dense_flow_says(shared_data: Path, tmp_path: Path) -> None:
    folder = write_meta(
        tmp_path / "vapour",
        {
            "source": "goes16",
            "product": "singlechannel__bt_10",
            "sector": "C",
            "archive": str(shared_data / "noaa-{satellite}"),
            "time": {"t_start": datetime(2022, 10, 2, 11), "t_end": datetime(2022, 10, 2, 11, 10)},
            "domain": {
                "central_latitude": 33.0,
                "central_longitude": -95.0,
                "l_zonal": 1600e3,
                "l_meridional": 1600e3,
            },
            "sampling": {"resolution": 2000.0},
        },
    )
    assert main(["flow", "--data-path", str(folder)]) == 0
    with xr.open_dataset(folder / "flow/goes16__20221002.nc", engine="h5netcdf") as data:
        found = data.load()
    assert found.sizes["trajectory"] > 200
    assert found["row_size"].values.tolist() == [2] * found.sizes["trajectory"]

    images = []
    for path in sorted((folder / "rect").glob("*.nc")):
        with xr.open_dataset(path, engine="h5netcdf") as scene:
            kelvin = scene["bt_10"].values
            images.append(np.rint(255 * np.clip((280 - kelvin) / 60, 0, 1)).astype(np.uint8))
    dense = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*images, None)

    column = np.rint((found["x"].values[::2] + 799e3) / 2e3).astype(int)
    row = np.rint((found["y"].values[::2] + 799e3) / 2e3).astype(int)
    seconds = float((found["scene_time"].values[1] - found["scene_time"].values[0]) / np.timedelta64(1, "s"))
    assert seconds == 300
    speed = np.stack([np.diff(found[name].values.reshape(-1, 2), axis=1)[:, 0] for name in ("x", "y")]) / seconds
    difference = np.hypot(*(speed - dense[row, column].T * 2e3 / seconds))
    assert np.median(np.hypot(*speed)) > 8
    assert np.median(difference) < 0.1 * np.median(np.hypot(*speed))
    assert np.percentile(difference, 90) < 4  # m/s; two cells in five minutes are 13
    eastward = found["u"].values[::2]
    assert np.hypot(eastward, found["v"].values[::2]) == pytest.approx(np.hypot(*speed), rel=0.02)
