"""Level 2 and quality flags on real granules, against another decoder, from disk and over S3."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes.quality import Quality
from convml_data.sources.goes.source import GoesSource

ACHA = datetime(2022, 5, 1, 0, 56, 17, 700_000)
AOD = datetime(2018, 11, 15, 14, 2, 15, 700_000)
PACIFIC = LocalDomain(35, -130, 1500e3, 1000e3)
FLORIDA = LocalDomain(28, -81, 800e3, 600e3)

AOD_HIGH_AND_MEDIUM = ("high_quality_retrieval_qf", "medium_quality_retrieval_qf")


def source_at(root: str, satellite: str, product: str, sector: str, quality: Quality) -> GoesSource:
    return GoesSource(satellite, product, sector, f"{root}/noaa-{satellite}", quality=quality)


def scans_of(source: GoesSource, start: datetime, end: datetime) -> list[Scan]:
    scans = [scan for scan in source.find([Interval(start, end)]) if start <= scan.start <= end]
    assert {scan.reason for scan in scans} == {None}
    return scans


def by_netcdf4(scan: Scan, key: str, variable: str, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The crop's pixels and their flags, placed by the file's own axes."""
    grid = json.loads(data.attrs["source_grid"])
    with netCDF4.Dataset(scan.files[key].url.removeprefix("file://")) as dataset:
        row = int(np.abs(dataset["y"][:] - grid["y0"]).argmin())
        column = int(np.abs(dataset["x"][:] - grid["x0"]).argmin())
        window = slice(row, row + grid["rows"]), slice(column, column + grid["columns"])
        flags = dataset["DQF"]
        flags.set_auto_maskandscale(False)
        return np.ma.filled(dataset[variable][window].astype(float), np.nan), flags[window].astype(np.uint8)


@pytest.mark.parametrize(
    ("quality", "kept"), [("good", [0]), ("any", range(256)), (("invalid_due_to_clear_or_probably_clear_sky_qf",), [4])]
)
def test_cloud_top_heights_are_those_of_another_decoder(shared_data: Path, quality: Quality, kept: list[int]) -> None:
    source = source_at(f"file://{shared_data}", "goes17", "ACHA", "C", quality)
    (scan,) = scans_of(source, ACHA, ACHA)
    data = source.read(scan, PACIFIC)
    theirs, flags = by_netcdf4(scan, "ACHA", "HT", data)
    keeps = np.isin(flags, kept)
    np.testing.assert_allclose(data["HT"], np.where(keeps, theirs, np.nan), rtol=1e-6)
    assert data.attrs["rejected_share"] == pytest.approx((np.isfinite(theirs) & ~keeps).mean())
    assert data.attrs["on_earth_share"] == 1
    assert data["HT"].attrs["units"] == "m"
    if quality == "good":
        assert np.isfinite(data["HT"]).mean() > 0.3
        assert 0 <= float(data["HT"].min()) < float(data["HT"].max()) < 20_000


@pytest.mark.parametrize(("quality", "kept"), [("good", [0]), (AOD_HIGH_AND_MEDIUM, [0, 1]), ("any", range(256))])
def test_a_sequence_of_aerosol_optical_depths(shared_data: Path, quality: Quality, kept: list[int]) -> None:
    source = source_at(f"file://{shared_data}", "goes16", "AOD", "C", quality)
    scans = scans_of(source, AOD, AOD + timedelta(minutes=25))
    assert [scan.start for scan in scans] == [AOD + timedelta(minutes=5 * i) for i in range(6)]
    assert {scan.mode for scan in scans} == {3}
    finite = 0
    for scan in scans:
        data = source.read(scan, FLORIDA)
        theirs, flags = by_netcdf4(scan, "AOD", "AOD", data)
        # theirs is computed in float32, a millionth of the offset off
        np.testing.assert_allclose(data["AOD"], np.where(np.isin(flags, kept), theirs, np.nan), rtol=1e-6, atol=1e-8)
        assert data.attrs["rejected_share"] == pytest.approx((np.isfinite(theirs) & ~np.isin(flags, kept)).mean())
        finite += int(np.isfinite(data["AOD"]).sum())
    assert finite > 1000


def test_over_s3_only_the_chunks_under_the_domain_are_read(
    shared_data: Path, s3_archive: str, without_s3_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_archive)
    domain = LocalDomain(28, -81, 100e3, 100e3)
    remote, local = (source_at(root, "goes16", "AOD", "C", "good") for root in ("s3:/", f"file://{shared_data}"))
    (far,), (near,) = (scans_of(source, AOD, AOD) for source in (remote, local))
    data = remote.read(far, domain)
    xr.testing.assert_identical(data, local.read(near, domain))
    assert data.attrs["bytes_read"] < data.attrs["bytes_whole_files"]


@pytest.mark.parametrize("time", [datetime(2019, 12, 1, 10, 27), datetime(2019, 10, 27, 20, 0)], ids=["night", "day"])
@pytest.mark.parametrize("channel", [1, 7, 13])
@pytest.mark.parametrize(("quality", "kept"), [("good", [0]), ("any", [0, 1, 2, 4, 255])])
def test_radiances_and_their_flags_by_night_and_by_day(
    shared_data: Path, time: datetime, channel: int, quality: Quality, kept: list[int]
) -> None:
    source = source_at(f"file://{shared_data}", "goes17", f"singlechannel__{channel}", "M1", quality)
    (scan,) = scans_of(source, time, time + timedelta(minutes=1))
    whole = source.whole_domain(scan)
    data = source.read(scan, whole)
    theirs, flags = by_netcdf4(scan, str(channel), "Rad", data)
    expected = np.where(np.isin(flags, kept), theirs, np.nan)
    tolerance = 1e-6 * np.nanmax(np.abs(expected))  # where noise around zero cancels the offset
    np.testing.assert_allclose(data[f"radiance_{channel}"], expected, rtol=1e-6, atol=tolerance)
    assert np.isfinite(expected).mean() > 0.9
    assert data["channel_rejected_share"].item() == data.attrs["rejected_share"]
    assert data.attrs["rejected_share"] == pytest.approx(
        (np.isfinite(theirs) & np.isnan(expected) & (flags != 3)).mean()
    )
    assert data.attrs["missing_on_earth_share"] == pytest.approx(0, abs=1e-4)
