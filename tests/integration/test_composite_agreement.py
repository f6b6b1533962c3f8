"""Composites of a window are those that satpy makes of the whole sector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
import xarray as xr
import yaml
from abi_files import source_file
from pyorbital.astronomy import sun_zenith_angle

from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan
from convml_data.simulate.abi import write_granule
from convml_data.sources.goes.abi import AbiFile
from convml_data.sources.goes.composites import channels_of, composite_picture, has_fixed_enhancement, make_composite
from convml_data.sources.goes.crops import read_crops

satpy = pytest.importorskip("satpy")
from satpy.enhancements.enhancer import get_enhanced_image  # noqa: E402
from test_satpy_agreement import standin_tables  # noqa: E402, F401 - a fixture

pytestmark = pytest.mark.filterwarnings("ignore")  # those of satpy and its libraries

NIGHT = "noaa-goes17/ABI-L1b-RadM/2019/335/10"
DAY = "noaa-goes17/ABI-L1b-RadM/2019/300/20"

#: In a simulated mesoscale sector: the sun rises here, which is in the dark in the west and sees it in the east.
SIMULATED_DOMAIN = LocalDomain(33.0, -120.0, 500e3, 60e3)
SUNRISE = datetime(2019, 12, 1, 15, 10, 27)
MIDDAY = datetime(2019, 12, 1, 20, 0, 27)

Files = dict[int, Path]


def granules(folder: Path) -> Files:
    return {int(path.name.split("_")[1][-2:]): path for path in sorted(folder.glob("OR_ABI-L1b-Rad*.nc"))}


def middle_of(files: Files) -> LocalDomain:
    """A domain of 200 x 120 km in the middle of the sector, not aligned to anything."""
    with AbiFile(source_file(files[13])) as file:
        rows, columns = file.grid.shape
        lon, lat = file.grid.view.lonlat(file.grid.x_rad[columns // 2], file.grid.y_rad[rows // 2])
    return LocalDomain(float(lat), float(lon), 200e3, 120e3)


def ours(files: Files, name: str, domain: LocalDomain) -> xr.Dataset:
    channels = channels_of(name)
    with AbiFile(source_file(files[channels[0]])) as file:
        about = file.channel
    scan = Scan(about.start, about.end, about.satellite, 6, {str(n): source_file(files[n]) for n in channels})
    crops = read_crops(scan, about.satellite, "M1", channels, domain, "any")
    made = make_composite(crops, name)
    return xr.Dataset(
        {made.name: made.variable}, {**made.coordinates, "x": made.grid.x, "y": made.grid.y}, dict(made.attributes)
    )


@pytest.fixture(autouse=True)
def only_explicit_schedulers() -> Iterator[None]:
    """Fails where something is computed by dask's default scheduler."""
    # Around each test as a whole, since the setting is one for all threads.
    with dask.config.set(scheduler=default_scheduler):
        yield


def default_scheduler(*arguments: object, **options: object) -> None:
    pytest.fail("in a task of dask.distributed this would be the cluster, which waits for the task")


def theirs(files: Files, name: str) -> xr.DataArray:
    """satpy's composite of the whole sector, through the documented way; real ones are asked for more than once."""
    return _theirs(tuple(files[channel] for channel in channels_of(name)), name)


@lru_cache(maxsize=8)
def _theirs(files: tuple[Path, ...], name: str) -> xr.DataArray:
    with dask.config.set(scheduler="synchronous"):  # netCDF4 must not meet threads
        scene = satpy.Scene(reader="abi_l1b", filenames=[str(file) for file in files])
        scene.load([name])
        composite = scene.resample(scene.finest_area(), resampler="native")[name]
        return composite.compute()


def at_pixels_of(crop: xr.Dataset, whole: xr.DataArray) -> np.ndarray:
    """The part of an image of the whole sector that a crop shows, as (bands, y, x)."""
    column = int(np.abs(whole["x"].values - crop["x"].values[0]).argmin())
    row = int(np.abs(whole["y"].values - crop["y"].values[0]).argmin())
    part = whole.isel(x=slice(column, column + crop.sizes["x"]), y=slice(row, row + crop.sizes["y"]))
    # Half a pixel is 250 m at least; satpy's coordinates are those of an area rounded to micrometres.
    np.testing.assert_allclose(part["x"], crop["x"], atol=1)
    np.testing.assert_allclose(part["y"], crop["y"], atol=1)
    return (part if "bands" in part.dims else part.expand_dims("bands")).transpose("bands", "y", "x").values


def compare(crop: xr.Dataset, whole: xr.DataArray, rtol: float = 1e-5, atol: float = 2e-4) -> None:
    """The absolute tolerance is for differences of temperatures, of which satpy rounds each to float32."""
    (field,) = crop.data_vars.values()
    expected = at_pixels_of(crop, whole)
    bands = field["bands"].values.tolist()
    if "bands" in whole.dims:
        assert bands == whole["bands"].values.tolist()
    if bands[-1] == "A":
        expected = np.where((expected[-1] > 0) | (np.array(bands) == "A")[:, None, None], expected, np.nan)
    assert np.isfinite(field).mean() > 0.5
    np.testing.assert_array_equal(np.isnan(field), np.isnan(expected))
    np.testing.assert_allclose(field, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ["airmass", "dust", "colorized_ir_clouds", "highlight_C14", "geo_color_high_clouds"])
def test_a_picture_is_satpys_of_the_whole_sector(shared_data: Path, name: str) -> None:
    files = granules(shared_data / NIGHT)
    assert has_fixed_enhancement(name)
    crop, whole = ours(files, name, middle_of(files)), theirs(files, name)
    with dask.config.set(scheduler="synchronous"):
        image, mode = get_enhanced_image(whole.chunk()).finalize()
        expected = at_pixels_of(crop, image.compute())
    rgb, missing = composite_picture(crop)
    opacity = expected[-1:] / 255
    assert mode.endswith("A")
    np.testing.assert_array_equal(missing, opacity[0] == 0)
    colours = np.broadcast_to(expected[:-1], (3, *missing.shape))
    np.testing.assert_allclose(np.moveaxis(rgb, -1, 0), colours * opacity, atol=1)
    assert len(np.unique(rgb)) > 30


@pytest.mark.parametrize(
    "name",
    [
        "airmass",
        "ash",
        "dust",
        "night_microphysics",
        "water_vapors1",
        "colorized_ir_clouds",
        "geo_color_high_clouds",
        "natural_color_raw",
        "natural_color",
        "convection",
        "cimss_cloud_type",
        "true_color_with_night_fires_nocorr",
    ],
)
def test_a_real_night(shared_data: Path, name: str) -> None:
    files = granules(shared_data / NIGHT)
    assert sorted(files) == list(range(1, 17))
    compare(ours(files, name, middle_of(files)), theirs(files, name))


@pytest.mark.parametrize("name", ["24h_microphysics", "ash", "cloudtop", "night_fog"])
def test_a_real_day(shared_data: Path, name: str) -> None:
    files = granules(shared_data / DAY)
    compare(ours(files, name, middle_of(files)), theirs(files, name))


@pytest.fixture(scope="module")
def sunlit(tmp_path_factory: pytest.TempPathFactory) -> dict[datetime, Files]:
    """Simulated scans with all the channels that composites of the day are made from."""
    return {
        time: simulated(tmp_path_factory.mktemp("sunlit"), time, (1, 2, 3, 4, 5, 6, 7, 13, 14, 16))
        for time in (SUNRISE, MIDDAY)
    }


def simulated(root: Path, time: datetime, channels: Sequence[int]) -> Files:
    place = {"satellite": "goes17", "sector": "M1", "domain": SIMULATED_DOMAIN}
    return {channel: write_granule(root, channel=channel, start=time, **place) for channel in channels}


@pytest.mark.parametrize("time", [SUNRISE, MIDDAY])
@pytest.mark.parametrize("name", ["natural_color", "overview", "snow_fog", "day_cloud_type", "land_cloud_fire"])
def test_sunlight(sunlit: dict[datetime, Files], time: datetime, name: str) -> None:
    # The sun's height comes from coordinates that agree to 1e-6 degrees; low over the horizon that matters more.
    compare(ours(sunlit[time], name, SIMULATED_DOMAIN), theirs(sunlit[time], name), rtol=1e-4)


def test_day_and_night_in_one_image(sunlit: dict[datetime, Files]) -> None:
    name = "true_color_with_night_fires_nocorr"
    crop, whole = ours(sunlit[SUNRISE], name, SIMULATED_DOMAIN), theirs(sunlit[SUNRISE], name)
    lon, lat = whole.attrs["area"].get_lonlats()
    zenith = at_pixels_of(crop, whole.isel(bands=0, drop=True).copy(data=sun_zenith_angle(SUNRISE, lon, lat)))
    assert zenith.min() < 85 < 88 < zenith.max()
    compare(crop, whole, rtol=1e-4)


@pytest.fixture
def tables(standin_tables: None, tmp_path: Path) -> None:  # noqa: F811
    """Stand-in tables with channel 7 too, and a place for what pyspectral derives from them."""
    with h5py.File(tmp_path / "rsr_abi_GOES-17.h5", "r+") as table:
        table.attrs["band_names"] = [b"ch1", b"ch2", b"ch3", b"ch7"]
        detector = table.create_group("ch7/det-1")
        detector.attrs["central_wavelength"] = 3.89
        around = np.linspace(-0.2, 0.2, 81, dtype=np.float32)
        detector["response"] = np.exp(-((around / 0.1) ** 4)).astype(np.float32)
        detector["wavelength"] = (3.89 + around).astype(np.float32)
        detector["wavelength"].attrs["scale"] = 1e-6
    config = tmp_path / "pyspectral.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"tb2rad_dir": str(tmp_path)}))


@pytest.mark.parametrize("name", ["true_color", "cloud_phase", "day_microphysics", "snow", "true_color_reproduction"])
def test_composites_that_need_tables(sunlit: dict[datetime, Files], name: str, tables: None) -> None:
    crop = ours(sunlit[MIDDAY], name, SIMULATED_DOMAIN)
    assert "pyspectral" in crop.attrs["composite_by"]
    compare(crop, theirs(sunlit[MIDDAY], name), rtol=1e-4)
