"""Fields of single and several channels on real granules, against satpy and plain block logic."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes.source import GoesSource

satpy = pytest.importorskip("satpy")

NIGHT = datetime(2019, 12, 1, 10, 27)
DAY = datetime(2019, 10, 27, 20, 0)


def source_of(shared_data: Path, product: str) -> GoesSource:
    return GoesSource("goes17", product, "M1", f"file://{shared_data / 'noaa-goes17'}", rayleigh_correction=False)


def scan_of(source: GoesSource, time: datetime) -> Scan:
    (scan,) = (
        scan for scan in source.find([Interval(time, time)]) if scan.start.replace(second=0, microsecond=0) == time
    )
    assert scan.reason is None
    return scan


def middle_of(scan: Scan) -> LocalDomain:
    """A domain of 120 x 80 km in the middle of the sector, which moves from day to day."""
    from convml_data.sources.goes.abi import AbiFile

    with AbiFile(next(iter(scan.files.values()))) as file:
        rows, columns = file.grid.shape
        centre = FixedGrid(file.grid.view, *_centre(file.grid, rows, columns), file.grid.dx, file.grid.dy, (1, 1))
    lon, lat = centre.lonlat()
    return LocalDomain(float(lat[0, 0]), float(lon[0, 0]), 120e3, 80e3)


def _centre(grid: FixedGrid, rows: int, columns: int) -> tuple[float, float]:
    return grid.x0 + grid.dx * (columns // 2), grid.y0 + grid.dy * (rows // 2)


def by_satpy(scan: Scan, channel: int, calibration: str, pixels: FixedGrid) -> np.ndarray:
    """The same pixels through satpy's reader, placed by its own coordinates."""
    path = scan.files[str(channel)].url.removeprefix("file://")
    scene = satpy.Scene(reader="abi_l1b", filenames=[path])
    name = f"C{channel:02d}"
    scene.load([satpy.DataQuery(name=name, calibration=calibration)])
    whole = scene[name]
    column = int(np.abs(whole.x.values - pixels.x[0]).argmin())
    row = int(np.abs(whole.y.values - pixels.y[0]).argmin())
    return whole[row : row + pixels.shape[0], column : column + pixels.shape[1]].values


@pytest.mark.parametrize(
    ("product", "time", "calibration", "units"),
    [
        ("singlechannel__13", NIGHT, "radiance", "mW m-2 sr-1 (cm-1)-1"),
        ("singlechannel__3", DAY, "radiance", "W m-2 um-1 sr-1"),
        ("singlechannel__bt_13", NIGHT, "brightness_temperature", "K"),
        ("singlechannel__bt_7", DAY, "brightness_temperature", "K"),
        ("singlechannel__refl_1", DAY, "reflectance", "%"),
    ],
)
def test_a_single_channel_is_what_satpy_reads(
    shared_data: Path, product: str, time: datetime, calibration: str, units: str
) -> None:
    source = source_of(shared_data, product)
    scan = scan_of(source, time)
    made = source.read(scan, middle_of(scan))
    (field,) = made.data_vars.values()
    assert field.dims == ("y", "x")
    assert field.attrs["units"] == units
    assert field.attrs["standard_name"]
    theirs = by_satpy(scan, *source.channels, calibration, FixedGrid.from_dict(json.loads(made.attrs["source_grid"])))
    assert theirs.shape == field.shape
    np.testing.assert_array_equal(np.isnan(field), np.isnan(theirs))
    np.testing.assert_allclose(field, theirs, rtol=1e-6, atol=0.01 if units == "K" else 0)


def test_channels_of_three_resolutions_stack_exactly(shared_data: Path) -> None:
    stacked_source = source_of(shared_data, "multichannel__bt_13__refl_2__1")
    scan = scan_of(stacked_source, NIGHT)
    domain = middle_of(scan)
    stacked = stacked_source.read(scan, domain)
    field = stacked["multichannel"]
    assert field["bands"].values.tolist() == ["bt_13", "refl_2", "radiance_1"]
    assert field["band_units"].values.tolist() == ["K", "%", "W m-2 um-1 sr-1"]
    assert "units" not in field.attrs
    for band, product, factor in ((0, "bt_13", 4), (1, "refl_2", 1), (2, "1", 2)):
        alone_source = source_of(shared_data, f"singlechannel__{product}")
        alone = alone_source.read(scan_of(alone_source, NIGHT), domain)
        (single,) = alone.data_vars.values()
        # Where a window of one channel alone lies in the stack, by the edges of its pixels.
        grid, fine = (FixedGrid.from_dict(json.loads(d.attrs["source_grid"])) for d in (alone, stacked))
        column = round(((grid.x0 - grid.dx / 2) - (fine.x0 - fine.dx / 2)) / fine.dx)
        row = round(((grid.y0 - grid.dy / 2) - (fine.y0 - fine.dy / 2)) / fine.dy)
        blocks = np.kron(single.values, np.ones((factor, factor), np.float32))
        rows = slice(max(row, 0), min(row + blocks.shape[0], fine.shape[0]))
        columns = slice(max(column, 0), min(column + blocks.shape[1], fine.shape[1]))
        assert (rows.stop - rows.start) * (columns.stop - columns.start) > 0.5 * field[band].size
        np.testing.assert_array_equal(
            field.values[band, rows, columns],
            blocks[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column],
        )
