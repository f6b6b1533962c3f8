"""Composites: what they are made from, what is refused, missing values, transparency and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import dask
import numpy as np
import pytest
import xarray as xr
import yaml
from pyorbital.astronomy import cos_zen

from convml_data.errors import ArchiveError, ConvmlError, MetaError
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.windows import Window
from convml_data.sources.goes import composites
from convml_data.sources.goes.abi import SatellitePosition
from convml_data.sources.goes.composites import (
    channels_of,
    check_composite,
    composite_names,
    composite_picture,
    has_fixed_enhancement,
    make_composite,
)

pytest.importorskip("satpy")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of satpy and its libraries

NOON = datetime(2020, 2, 2, 17, 0, 16)
VIEW = GeostationaryView(-75.0, 35786023.0, 6378137.0, 6356752.31414)

#: 24 x 32 pixels of 2 km to the north-west of the point below the satellite.
COARSE = FixedGrid(VIEW, -0.151844, 0.151844, 56e-6, -56e-6, (5424, 5424)).cropped(Window(1500, 1524, 2400, 2432))


@dataclass(frozen=True)
class Synthetic:
    """A crop of given reflectances or temperatures."""

    channel: SimpleNamespace
    grid: FixedGrid
    values: np.ndarray

    def reflectance(self) -> np.ndarray:
        assert self.channel.number <= 6
        return self.values

    def brightness_temperature(self) -> np.ndarray:
        assert self.channel.number >= 7
        return self.values


def synthetic(number: int, start: datetime = NOON) -> Synthetic:
    """A channel of random values on its own resolution."""
    factor = {2: 4, 1: 2, 3: 2, 5: 2}.get(number, 1)
    edge_x, edge_y = COARSE.x0 - COARSE.dx / 2, COARSE.y0 - COARSE.dy / 2
    dx, dy = COARSE.dx / factor, COARSE.dy / factor
    rows, columns = COARSE.shape
    grid = FixedGrid(VIEW, edge_x + dx / 2, edge_y + dy / 2, dx, dy, (rows * factor, columns * factor))
    low, high = (0, 100) if number <= 6 else (200, 310)
    values = np.random.default_rng(number).uniform(low, high, grid.shape).astype(np.float32)
    channel = SimpleNamespace(
        number=number,
        satellite="goes16",
        start=start,
        end=start,
        position=SatellitePosition(-75.2, 0.0, 35786023.0),
        planck="of the channel" if number >= 7 else None,
    )
    return Synthetic(channel, grid, values)


def crops_for(name: str, start: datetime = NOON) -> dict[int, Synthetic]:
    return {number: synthetic(number, start) for number in channels_of(name)}


def made_of(crops: Mapping[int, Synthetic], name: str) -> xr.Dataset:
    made = make_composite(list(crops.values()), name)  # type: ignore[arg-type]
    assert made.variable.dtype == np.float32
    assert made.variable.shape[1:] == made.grid.shape == max(crop.grid.shape for crop in crops.values())
    return xr.Dataset({made.name: made.variable}, dict(made.coordinates), dict(made.attributes))


@pytest.fixture(autouse=True)
def only_explicit_schedulers() -> Iterator[None]:
    """Fails where something is computed by dask's default scheduler."""
    # Around each test as a whole, since the setting is one for all threads.
    with dask.config.set(scheduler=default_scheduler):
        yield


def default_scheduler(*arguments: object, **options: object) -> None:
    pytest.fail("in a task of dask.distributed this would be the cluster, which waits for the task")


def pictured(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return composite_picture(data)


def values_of(data: xr.Dataset) -> np.ndarray:
    (field,) = data.data_vars.values()
    return field.values


def fine(values: np.ndarray, factor: int) -> np.ndarray:
    return values.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("airmass", (8, 10, 12, 13)),  # differences of channels
        ("natural_color", (2, 3, 5)),
        ("cloudtop", (7, 14, 15)),  # by wavelengths that no ABI channel is centred at
        ("colorized_ir_clouds", (13,)),
        ("snow", (3, 5, 7, 14, 16)),  # channel 14 is asked for by a modifier, 16 is optional there
        ("true_color", (1, 2, 3)),  # green is a composite itself
        ("true_color_with_night_fires_nocorr", (1, 2, 3, 5, 6, 7)),  # by day and by night
        ("highlight_C14", (14,)),
    ],
)
def test_the_channels_of_a_composite(name: str, channels: tuple[int, ...]) -> None:
    assert channels_of(name) == channels
    check_composite(name)


def test_composites_that_can_be_made_are_listed() -> None:
    names = composite_names()
    assert len(names) > 50
    assert list(names) == sorted(set(names))
    assert {"airmass", "ash", "dust", "true_color", "night_microphysics"} <= set(names)
    assert not {"cloud_top_height", "geo_color", "true_color_crefl"} & set(names)
    assert not [name for name in names if name.startswith("_")]
    assert all(set(channels_of(name)) <= set(range(1, 17)) and channels_of(name) for name in names)


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("airmas", r"satpy [\d.]+ has no ABI composite 'airmas'", r"did you mean airmass\? There are \d+, which"),
        ("_night_background", "has no ABI composite", r"There are \d+"),
        ("cloud_top_height", "needs ctth_alti, ctth_status_flag, which ABI radiances do not give", "choose"),
        ("essl_low_level_moisture", "needs a channel at 0.905 um", "choose"),
        ("natural_with_night_fog", "needs solar_zenith_angle", "choose"),
        ("true_color_with_night_ir", "needs a file from the internet .*'night_background'", "choose"),
        ("true_color_crefl", "needs a file from the internet .*ReflectanceCorrector", "choose"),
        (
            "natural_color_raw_with_night_ir",
            "blends 'cloudtop', whose brightness .* window to window",
            "cloudtop alone",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(name: str, what: str, remedy: str) -> None:
    for function in (channels_of, check_composite, has_fixed_enhancement):
        with pytest.raises(MetaError, match="composite") as error:
            function(name)
        assert re.search(what, error.value.what)
        assert re.search(remedy, error.value.remedy or "", re.IGNORECASE)


@pytest.mark.parametrize("absent", ["satpy", "pyresample"])
def test_without_satpy(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    crops = list(crops_for("airmass").values())
    monkeypatch.setattr(composites, "find_spec", lambda package: None if package == absent else object())
    check_composite("no_such_composite")  # which nothing can tell
    composite_names.cache_clear()
    for function in (
        lambda: channels_of("airmass"),
        lambda: has_fixed_enhancement("airmass"),
        lambda: make_composite(crops, "airmass"),  # type: ignore[arg-type]
        lambda: composite_picture(xr.Dataset()),
        composite_names,
    ):
        with pytest.raises(ConvmlError, match=re.escape("pip install 'convml-data[satpy]'")):
            function()


def test_differences_of_channels() -> None:
    crops = crops_for("airmass")
    data = made_of(crops, "airmass")
    field = data["composite_airmass"]
    assert field.dims == ("bands", "y", "x")
    assert field["bands"].values.tolist() == ["R", "G", "B"]
    assert field.attrs["satpy_name"] == "airmass"
    assert re.fullmatch(r"satpy [\d.]+", data.attrs["composite_by"])
    t = {number: crop.values for number, crop in crops.items()}
    np.testing.assert_array_equal(field, [t[8] - t[10], t[12] - t[13], t[8]])


def test_coarse_pixels_are_repeated_whatever_the_order_of_the_channels() -> None:
    crops = crops_for("natural_color_raw")
    expected = [fine(crops[5].values, 2), fine(crops[3].values, 2), crops[2].values]
    for order in ((2, 3, 5), (5, 2, 3)):
        data = made_of({number: crops[number] for number in order}, "natural_color_raw")
        np.testing.assert_array_equal(values_of(data), expected)


def test_reflectances_are_corrected_for_the_height_of_the_sun() -> None:
    raw = values_of(made_of(crops_for("natural_color_raw"), "natural_color_raw"))
    grid = synthetic(2).grid
    corrected = values_of(made_of(crops_for("natural_color"), "natural_color"))
    np.testing.assert_allclose(corrected[2] * cos_zen(NOON, *grid.lonlat()), raw[2], rtol=1e-4)
    at_night = datetime(2020, 2, 2, 6)
    assert (values_of(made_of(crops_for("natural_color", at_night), "natural_color")) == 0).all()


def test_a_single_band_has_its_unit() -> None:
    data = made_of(crops_for("colorized_ir_clouds"), "colorized_ir_clouds")
    field = data["composite_colorized_ir_clouds"]
    assert field["bands"].values.tolist() == ["L"]
    assert field.attrs["units"] == "K"
    np.testing.assert_array_equal(field[0], synthetic(13).values)


def test_missing_pixels_stay_missing() -> None:
    crops = crops_for("natural_color_raw")
    crops[5].values[3, 7] = np.nan
    values = values_of(made_of(crops, "natural_color_raw"))
    expected = np.zeros(values.shape, bool)
    expected[:, 6:8, 14:16] = True
    np.testing.assert_array_equal(np.isnan(values), expected)


def test_what_is_transparent_is_missing() -> None:
    crops = crops_for("ir_cloud_day")
    temperature = crops[14].values
    temperature[0, :4] = 250, 299, 280, np.nan
    data = made_of(crops, "ir_cloud_day")
    assert data["bands"].values.tolist() == ["L", "A"]
    brightness, opacity = values_of(data)
    # The composite is opaque up to 258.15 K and transparent from 298.15 K on, with a power of three between.
    np.testing.assert_allclose(opacity[0, :4], [1, 0, ((298.15 - 280) / 40) ** 3, np.nan], rtol=1e-5)
    np.testing.assert_array_equal(brightness[0, :4], np.array([250, np.nan, 280, np.nan], np.float32))
    np.testing.assert_array_equal(np.isnan(brightness), ~(temperature <= 298.15))


def test_a_blend_never_shows_a_missing_channel_as_black() -> None:
    name = "true_color_with_night_fires_nocorr"
    crops = crops_for(name)
    assert np.isfinite(values_of(made_of(crops, name))).all()
    crops[3].values[5, 5] = np.nan
    crops[7].values[20, 20] = np.nan
    expected = np.zeros((3, 96, 128), bool)
    expected[:, 10:12, 10:12] = True
    expected[:, 80:84, 80:84] = True
    np.testing.assert_array_equal(np.isnan(values_of(made_of(crops, name))), expected)


@pytest.mark.parametrize("name", ["true_color", "snow"])
def test_tables_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    config = tmp_path / "pyspectral.yaml"
    folders = {"rsr_dir": str(tmp_path), "rayleigh_dir": str(tmp_path), "download_from_internet": False}
    config.write_text(yaml.safe_dump(folders))
    monkeypatch.setenv("PSP_CONFIG_FILE", str(config))
    with pytest.raises(ArchiveError, match=f"composite '{name}' needs tables of pyspectral .*rsr_abi_GOES-16.h5"):
        made_of(crops_for(name), name)


def test_a_picture_has_satpys_colours() -> None:
    # satpy's limits for ash: -6.7 to 2.6, -6 to 6.3 and 243.6 to 302.4 K
    crops = {number: synthetic(number) for number in channels_of("ash")}
    reds, greens, blues = ([-6.7, 2.6, -2.05], [-6.0, 9.0, 0.15], [302.4, 243.6, 273.0])
    for column, (red, green, blue) in enumerate(zip(reds, greens, blues, strict=True)):
        crops[13].values[0, column] = blue
        crops[15].values[0, column] = blue + red
        crops[14].values[0, column] = 290 + green
        crops[11].values[0, column] = 290
    crops[11].values[0, 3] = np.nan
    rgb, missing = pictured(made_of(crops, "ash"))
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*COARSE.shape, 3)
    np.testing.assert_allclose(rgb[0, :3].astype(int), [[0, 0, 255], [255, 255, 0], [127, 127, 127]], atol=1)
    expected = np.zeros(COARSE.shape, bool)
    expected[0, 3] = True
    np.testing.assert_array_equal(missing, expected)


def test_pictures_of_one_band_are_coloured_where_satpy_does() -> None:
    rgb, missing = pictured(made_of(crops_for("colorized_ir_clouds"), "colorized_ir_clouds"))
    assert rgb.shape == (*COARSE.shape, 3)
    assert not missing.any()
    assert (rgb.max(axis=-1) > rgb.min(axis=-1)).mean() > 0.2


def test_what_is_half_transparent_lies_on_black() -> None:
    crops = crops_for("geo_color_high_clouds")
    crops[13].values[:] = 215
    crops[13].values[0, :2] = 260, 305
    data = made_of(crops, "geo_color_high_clouds")
    rgb, missing = pictured(data)
    opacity = data["composite_geo_color_high_clouds"].sel(bands="A").values
    assert 0 < opacity[0, 0] < 1
    assert opacity[0, 1] == 0
    opaque = data.copy(deep=True)
    opaque["composite_geo_color_high_clouds"][1] = 1
    shade = pictured(opaque)[0][0, 0].astype(float)
    np.testing.assert_allclose(rgb[0, 0], shade * opacity[0, 0], atol=2)
    assert shade.max() > 20
    expected = np.zeros(COARSE.shape, bool)
    expected[0, 1] = True
    np.testing.assert_array_equal(missing, expected)


def test_only_fixed_enhancements_show_equal_values_alike() -> None:
    for name in composite_names():
        if composites._recipe(name).needs_tables:
            continue
        data = made_of(crops_for(name), name)
        rows, columns = (slice(0, size // 4) for size in values_of(data).shape[1:])
        part = data.isel(y=rows, x=columns).copy(deep=True)
        (field,) = data.data_vars.values()
        field[:, -1, -1] = field.max() + 50  # so that the limits of the whole are others than those of the part
        field[:, -1, -2] = field.min() - 50
        shown, missing = pictured(data)
        shown_part, missing_part = pictured(part)
        alike = (shown[rows, columns] == shown_part).all() and (missing[rows, columns] == missing_part).all()
        assert alike == has_fixed_enhancement(name), name


def test_many_threads_do_not_disturb_each_other() -> None:
    # satpy keeps the thresholds of high clouds, which depend on latitude, where all threads meet them.
    crops = [replace(synthetic(13), grid=replace(COARSE, y0=y)) for y in np.linspace(0.06, 0.12, 8)]
    alone = [values_of(made_of({13: crop}, "geo_color_high_clouds")) for crop in crops]
    assert not np.array_equal(alone[0], alone[-1], equal_nan=True)
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda crop: values_of(made_of({13: crop}, "geo_color_high_clouds")), crops * 3)
        for found, expected in zip(together, alone * 3, strict=True):
            np.testing.assert_array_equal(found, expected)
