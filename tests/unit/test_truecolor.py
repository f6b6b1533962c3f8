"""The composite: its formulas on cases worked out by hand, its grids, and what Rayleigh correction needs."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyorbital import astronomy

from convml_data.errors import ArchiveError, SceneError
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.windows import Window
from convml_data.kernels import composite
from convml_data.sources.goes import nodes, rayleigh, truecolor
from convml_data.sources.goes.abi import SatellitePosition
from convml_data.sources.goes.truecolor import FULL_CORRECTION_TO, MAX_SHARPENING, NIGHT_FROM, Reflectances

VIEW = GeostationaryView(-75.0, 35786023.0, 6378137.0, 6356752.31414)
FULL_DISK = {
    1: FixedGrid(VIEW, -0.151858, 0.151858, 28e-6, -28e-6, (10848, 10848)),
    2: FixedGrid(VIEW, -0.151865, 0.151865, 14e-6, -14e-6, (21696, 21696)),
}
MORNING = datetime(2020, 2, 2, 14, 0, 16)


def three_channels(window: Window, percent: tuple[float, float, float], start: datetime = MORNING):
    """Blue, red and vegetation, each of one value."""
    coarse, fine = FULL_DISK[1].cropped(window), FULL_DISK[2].cropped(window.refined(2))
    return [
        Reflectances(np.full(grid.shape, value, np.float32), grid, start)
        for grid, value in zip((coarse, fine, coarse), percent, strict=True)
    ]


def sun_zenith_factor(cosines: np.ndarray) -> np.ndarray:
    factors = np.array(cosines, np.float32)
    composite.sun_zenith_factors(np.radians(FULL_CORRECTION_TO), np.radians(NIGHT_FROM), factors)
    return factors


def share_of_clear_sky(red: np.ndarray) -> np.ndarray:
    shares = np.empty_like(red)
    composite.shares_of_clear_sky(red, shares)
    return shares


def sharpening_ratio(red: np.ndarray) -> np.ndarray:
    ratios = np.empty_like(red)
    composite.sharpening_ratios(red, MAX_SHARPENING, ratios)
    return ratios


MIDDLE = Window(4000, 4050, 6000, 6060)


@pytest.mark.parametrize(
    ("degrees", "factor"),
    [
        (0, 1),
        (60, 2),
        (87.9, 1 / np.cos(np.radians(87.9))),
        (91.5, (1 - np.log2(1.5)) / np.cos(np.radians(88))),
        (95.01, 0),
        (150, 0),
        (np.nan, np.nan),
    ],
)
def test_correction_for_the_height_of_the_sun(degrees: float, factor: float) -> None:
    found = sun_zenith_factor(np.array([np.cos(np.radians(degrees))]))
    np.testing.assert_allclose(found, factor, rtol=1e-6, atol=1e-6)


def test_correction_for_the_height_of_the_sun_has_no_step() -> None:
    factors = sun_zenith_factor(np.cos(np.radians(np.arange(86, 96, 0.001))))
    assert np.abs(np.diff(factors)).max() < 0.02


def test_clouds_hide_the_scattering_below_them() -> None:
    found = share_of_clear_sky(np.array([-5, 20, 60, 100, 130], np.float32))
    np.testing.assert_allclose(found, [1, 1, 0.5, 0, 0])


def test_sharpening() -> None:
    red = np.array(
        [
            [1, 3, 10, 0, -1, -1, np.nan, 3],
            [2, 2, 0, 0, -2, -2, 3, 3],
        ],
        np.float32,
    )
    expected = [
        [0.5, 1.5, 1.5, 0, 2 / 3, 2 / 3, 1, 1],  # 10 over a mean of 2.5 is too much
        [1, 1, 0, 0, 4 / 3, 4 / 3, 1, 1],
    ]
    np.testing.assert_allclose(sharpening_ratio(red), expected, rtol=1e-6)
    zeros = np.array([[1, -1], [2, -2]], np.float32)
    np.testing.assert_array_equal(sharpening_ratio(zeros), 1)
    mixed = np.array([[3, -1], [1, 1]], np.float32)
    np.testing.assert_array_equal(sharpening_ratio(mixed), [[1.5, 1], [1, 1]])


def test_the_three_bands() -> None:
    blue, red, vegetation = three_channels(MIDDLE, (10.0, 20.0, 40.0))
    rgb = truecolor.truecolor(blue, red, vegetation, None)
    assert (rgb.shape, rgb.dtype) == ((3, 100, 120), np.float32)
    cosine = astronomy.cos_zen(MORNING, *red.grid.lonlat())
    np.testing.assert_allclose(rgb[0] * cosine, 20, atol=2e-3)
    np.testing.assert_allclose(rgb[1] * cosine, 0.465 * 10 + 0.465 * 20 + 0.07 * 40, atol=5e-3)
    np.testing.assert_allclose(rgb[2] * cosine, 10, atol=2e-3)


def test_a_pixel_missing_in_one_channel_is_missing_in_all_bands() -> None:
    blue, red, vegetation = three_channels(MIDDLE, (10.0, 20.0, 40.0))
    red.values[3, 5] = np.nan
    blue.values[10, 20] = np.nan
    vegetation.values[11, 30] = np.nan
    missing = np.zeros((100, 120), bool)
    missing[3, 5] = missing[20:22, 40:42] = missing[22:24, 60:62] = True
    rgb = truecolor.truecolor(blue, red, vegetation, None)
    np.testing.assert_array_equal(np.isnan(rgb), np.broadcast_to(missing, rgb.shape))


def test_pixels_beside_the_earth_are_missing() -> None:
    channels = three_channels(Window(2000, 2060, 1130, 1310), (10.0, 20.0, 40.0))
    rgb = truecolor.truecolor(*channels, None)
    seen = np.isfinite(channels[1].grid.lonlat()[0])
    both = seen & np.isfinite(channels[0].grid.lonlat()[0]).repeat(2, 0).repeat(2, 1)
    assert 0.1 < both.mean() < 0.9
    np.testing.assert_array_equal(np.isfinite(rgb), np.broadcast_to(both, rgb.shape))


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 9, 130])
def test_windows_of_any_size_are_parts_of_larger_ones(rows: int) -> None:
    """Also where the last pixel is a node, or lies between the last two."""
    channels = three_channels(Window(4000, 4150, 6000, 6037), (10.0, 20.0, 40.0))
    noise = np.random.default_rng(0).uniform(5, 60, channels[1].values.shape).astype(np.float32)
    channels[1] = replace(channels[1], values=noise)
    part = three_channels(Window(4000, 4000 + rows, 6000, 6037), (10.0, 20.0, 40.0))
    part[1] = replace(part[1], values=noise[: 2 * rows])
    whole = truecolor.truecolor(*channels, None)
    np.testing.assert_allclose(truecolor.truecolor(*part, None), whole[:, : 2 * rows], rtol=1e-6)


@pytest.mark.parametrize(
    "window",
    [
        Window(5000, 5300, 5200, 5600),
        Window(2200, 2500, 7800, 8000),
        Window(5300, 5500, 650, 750),  # the sun is low
        Window(5300, 5500, 10000, 10150),
        Window(5300, 5500, 10390, 10490),  # the satellite is as low as it may be
    ],
)
def test_angles_between_nodes_are_as_good_as_computed_ones(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = three_channels(window, (100.0, 100.0, 100.0), datetime(2020, 2, 2, 15))
    quick = truecolor.truecolor(*channels, None)
    monkeypatch.setattr(nodes, "_UP_TO_SATELLITE_ZENITH", 0.0)
    exact = truecolor.truecolor(*channels, None)
    np.testing.assert_allclose(100 / quick, 100 / exact, atol=1e-5, rtol=0)
    assert (quick != exact).any()  # nodes were used


def test_windows_that_do_not_match_are_refused() -> None:
    blue, red, vegetation = three_channels(MIDDLE, (10.0, 20.0, 40.0))
    shifted = FULL_DISK[2].cropped(Window(8001, 8101, 12000, 12120))
    with pytest.raises(SceneError, match="one area"):
        truecolor.truecolor(blue, replace(red, grid=shifted), vegetation, None)


def without_tables(folder: Path, monkeypatch: pytest.MonkeyPatch, *, download: bool) -> None:
    config = folder / "pyspectral.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "rsr_dir": str(folder / "responses"),
                "rayleigh_dir": str(folder / "tables"),
                "download_from_internet": download,
            }
        )
    )
    monkeypatch.setenv("PSP_CONFIG_FILE", str(config))


def test_absent_tables_that_may_not_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_tables(tmp_path, monkeypatch, download=False)
    with pytest.raises(ArchiveError) as caught:
        rayleigh.require_tables("goes17")
    message = str(caught.value)
    assert str(tmp_path / "tables/rayleigh_only/rayleigh_lut_us-standard.h5") in message
    assert str(tmp_path / "responses/rsr_abi_GOES-17.h5") in message
    assert "forbids the download" in message
    assert "rayleigh_correction: false" in message


def test_absent_tables_that_cannot_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_tables(tmp_path, monkeypatch, download=True)
    for name in ("https_proxy", "HTTPS_PROXY"):  # nobody listens there, wherever the tests run
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    started = time.monotonic()
    with pytest.raises(ArchiveError, match="the download failed: URLError"):
        rayleigh.require_tables("goes16")
    assert time.monotonic() - started < 10
    assert not [record for record in caplog.records if record.exc_info]


def test_tables_of_another_version_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_tables(tmp_path, monkeypatch, download=True)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for path in ("tables/rayleigh_only/rayleigh_lut_us-standard.h5", "responses/rsr_abi_GOES-16.h5"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"")
    with pytest.raises(ArchiveError, match="in version v"):
        rayleigh.require_tables("goes16")


def test_a_configuration_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSP_CONFIG_FILE", "/nowhere/pyspectral.yaml")
    with pytest.raises(ArchiveError, match="PSP_CONFIG_FILE"):
        rayleigh.require_tables("goes16")


def test_broken_tables_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_tables(tmp_path, monkeypatch, download=False)
    for path in ("tables/rayleigh_only/rayleigh_lut_us-standard.h5", "responses/rsr_abi_GOES-16.h5"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"no HDF5")
    rayleigh.require_tables("goes16")
    scattering = rayleigh.Scattering("goes16", SatellitePosition(-75.2, 0.0, 35786023.0))
    grid = FULL_DISK[1].cropped(MIDDLE)
    look = nodes.look_from(grid, scattering.position)
    with pytest.raises(ArchiveError, match="cannot be read"):
        scattering.reflectance(1, MORNING, nodes.nodes_of(grid), look)
