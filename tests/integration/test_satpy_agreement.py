"""The same numbers as satpy, from the same files."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import satpy
import xarray as xr
import yaml
from abi_files import radiance_of, source_file, textured_counts

from convml_data.geometry.local import LocalDomain
from convml_data.geometry.windows import Window
from convml_data.scenes.ledger import Scan
from convml_data.sources.goes import calibration
from convml_data.sources.goes.abi import AbiFile
from convml_data.sources.goes.source import GoesSource

DAY = "noaa-goes17/ABI-L1b-RadM/2019/300/20"
NIGHT = "noaa-goes17/ABI-L1b-RadM/2019/335/10"
GRANULES = [
    *((DAY, channel) for channel in (1, 3, 7, 13)),
    *((NIGHT, channel) for channel in (1, 2, 7, 13, 16)),
    ("noaa-goes16/ABI-L1b-RadC/2022/275/11", 10),
]

pytestmark = pytest.mark.filterwarnings("ignore")  # those of satpy and its libraries


def granule(folder: Path, channel: int) -> Path:
    return min(folder.glob(f"OR_ABI-L1b-Rad*C{channel:02d}_*.nc"))


@pytest.mark.parametrize(("folder", "channel"), GRANULES)
def test_a_real_granule(shared_data: Path, folder: str, channel: int) -> None:
    path = granule(shared_data / folder, channel)
    name = f"C{channel:02d}"
    calibrated = "reflectance" if channel < 7 else "brightness_temperature"
    theirs = {}
    for kind in ("radiance", calibrated):
        scene = satpy.Scene(reader="abi_l1b", filenames=[str(path)])
        scene.load([name], calibration=kind)
        theirs[kind] = scene[name].values
        area = scene[name].attrs["area"]

    with AbiFile(source_file(path)) as abi:
        about, grid = abi.channel, abi.grid
        counts, dqf = abi.read_counts(Window(0, grid.shape[0], 0, grid.shape[1]))
    np.testing.assert_allclose(
        radiance_of(counts, dqf, about.packing), theirs["radiance"], rtol=1e-6
    )  # and the same NaN
    used = calibration.sort_out(counts, dqf, about.packing, np.ones(256, np.bool_)).counts
    if channel < 7:
        assert about.esun is not None
        radiances = calibration.radiance_table(about.packing, used.dtype)
        table = calibration.reflectance(radiances, about.esun, about.earth_sun_distance)
        np.testing.assert_allclose(calibration.looked_up(used, table), theirs[calibrated], rtol=1e-6)
    else:
        assert about.planck is not None
        table = calibration.brightness_temperature_table(about.packing, used.dtype, about.planck)
        np.testing.assert_allclose(calibration.looked_up(used, table), theirs[calibrated], atol=0.01, rtol=0)
    assert about.start == scene[name].attrs["start_time"]

    every = slice(None, None, 37)
    lon, lat = (values[every, every] for values in area.get_lonlats())
    lon, lat = (np.where(np.isfinite(values), values, np.nan) for values in (lon, lat))
    row, column = grid.pixel_of(lon, lat)
    rows, columns = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]][:, every, every]
    seen = np.isfinite(lon)
    np.testing.assert_array_equal(seen, np.isfinite(grid.lonlat()[0])[every, every])
    np.testing.assert_allclose(row[seen], rows[seen], atol=0.01)
    np.testing.assert_allclose(column[seen], columns[seen], atol=0.01)


@pytest.fixture(scope="module")
def day(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Channels 1 and 3 of a real day scan, and a channel 2 made from channel 1 with more texture."""
    real = {channel: granule(shared_data / DAY, channel) for channel in (1, 3)}
    with xr.open_dataset(real[1], engine="h5netcdf", mask_and_scale=False, decode_times=False) as dataset:
        blue = dataset.load()
    texture = textured_counts((2000, 2000), 60, 140, seed=2) / 100
    counts = (blue["Rad"].values.repeat(2, 0).repeat(2, 1) * 4 * texture).clip(0, 4094).astype(np.int16)
    counts[50::101, 33::97] = 4095
    red = blue.drop_vars(["x", "y", "Rad", "DQF"]).assign(
        Rad=(("y", "x"), counts, {**blue["Rad"].attrs, "_FillValue": np.int16(4095)}),
        DQF=(("y", "x"), np.zeros_like(counts, np.int8), blue["DQF"].attrs),
    )
    red["Rad"].attrs.update(scale_factor=np.float32(0.15859237), add_offset=np.float32(-20.289911))
    for name in "xy":
        step, offset = (float(blue[name].attrs[key]) for key in ("scale_factor", "add_offset"))
        red[name] = (
            name,
            np.arange(2000, dtype=np.int16),
            {
                **blue[name].attrs,
                "scale_factor": np.float32(step / 2),
                "add_offset": np.float32(round(offset - step / 4, 6)),
            },
        )
    red["esun"] = np.float32(1628.0801)
    red["band_id"] = ("band", np.array([2], np.int8))
    red["band_wavelength"] = ("band", np.array([0.64], np.float32))
    red.attrs["spatial_resolution"] = "0.5km at nadir"
    path = tmp_path_factory.mktemp("day") / real[1].name.replace("C01", "C02")
    chunks = {"zlib": True, "complevel": 1, "chunksizes": (250, 250)}
    red.to_netcdf(path, engine="h5netcdf", encoding={"Rad": chunks, "DQF": chunks})
    return {1: real[1], 2: path, 3: real[3]}


def ours(files: dict[int, Path], domain: LocalDomain, *, rayleigh: bool) -> xr.Dataset:
    with AbiFile(source_file(files[1])) as abi:
        start, end = abi.channel.start, abi.channel.end
    scan = Scan(start, end, "goes17", 6, {str(n): source_file(path) for n, path in files.items()})
    return GoesSource("goes17", "truecolor_rgb", "M1", "file:///", rayleigh).read(scan, domain)


def theirs(files: dict[int, Path], composite: str, crop: xr.Dataset) -> np.ndarray:
    """satpy's composite on the pixels of ``crop``, through the documented way: the whole sector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scene = satpy.Scene(reader="abi_l1b", filenames=[str(path) for path in files.values()])
        scene.load([composite])
        fine = scene.resample(scene.finest_area(), resampler="native")
        whole = fine[composite]
        columns = np.abs(whole["x"].values[:, None] - crop["x"].values).argmin(axis=0)
        rows = np.abs(whole["y"].values[:, None] - crop["y"].values).argmin(axis=0)
        # Half a pixel is 250 m; satpy's coordinates are those of an area rounded to micrometres.
        np.testing.assert_allclose(whole["x"].values[columns], crop["x"].values, atol=1)
        np.testing.assert_allclose(whole["y"].values[rows], crop["y"].values, atol=1)
        return whole.isel(x=columns, y=rows).transpose("bands", "y", "x").values


#: In the middle of the sector; at its edge; and small and not aligned to anything.
DOMAINS = [
    LocalDomain(37.0, -120.0, 300e3, 200e3),
    LocalDomain(44.0, -113.0, 500e3, 400e3),
    LocalDomain(36.123, -121.456, 31e3, 17e3),
]


@pytest.mark.parametrize("domain", DOMAINS)
def test_truecolor_without_rayleigh_correction(day: dict[int, Path], domain: LocalDomain) -> None:
    crop = ours(day, domain, rayleigh=False)
    compare(crop, theirs(day, "true_color_raw", crop))


def test_truecolor_at_night(shared_data: Path) -> None:
    files = {channel: granule(shared_data / NIGHT, channel) for channel in (1, 2, 3)}
    crop = ours(files, LocalDomain(39.0, -118.0, 300e3, 200e3), rayleigh=False)
    assert (crop["rgb_truecolor"] == 0).all()
    compare(crop, theirs(files, "true_color_raw", crop))


def test_truecolor_at_dusk(day: dict[int, Path], tmp_path: Path) -> None:
    """The light of the afternoon with the sun of the evening: both sides of 88 and of 95 degrees."""
    files = {}
    for channel, path in day.items():
        files[channel] = Path(shutil.copy(path, tmp_path / path.name))
        files[channel].chmod(0o644)
        with h5py.File(files[channel], "r+") as hdf5:
            hdf5.attrs["time_coverage_start"] = "2019-10-28T01:25:27.5Z"
    crop = ours(files, LocalDomain(40.0, -120.0, 1500e3, 400e3), rayleigh=False)
    expected = theirs(files, "true_color_raw", crop)
    night = (np.nan_to_num(expected) == 0).all(axis=0).mean()
    assert 0.05 < night < 0.95
    # At noon's brightness the correction makes up to 2000 %: the bound is one of the brightness.
    compare(crop, expected, rtol=1e-4)


@pytest.mark.parametrize("domain", DOMAINS)
def test_truecolor_with_rayleigh_correction(day: dict[int, Path], domain: LocalDomain, standin_tables: None) -> None:
    crop = ours(day, domain, rayleigh=True)
    assert crop.attrs["rayleigh_correction"].startswith("applied (pyspectral ")
    raw = ours(day, domain, rayleigh=False)["rgb_truecolor"].values
    assert np.nanmean(raw[2] - crop["rgb_truecolor"].values[2]) > 2  # the sky is blue
    compare(crop, theirs(day, "true_color", crop))


def compare(crop: xr.Dataset, expected: np.ndarray, rtol: float = 0.0) -> None:
    found = crop["rgb_truecolor"].values
    missing = np.isnan(expected).any(axis=0)  # satpy leaves blue where red is missing
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(missing, found.shape))
    np.testing.assert_allclose(found[:, ~missing], expected[:, ~missing], atol=0.02, rtol=rtol)


@pytest.fixture
def standin_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables in pyspectral's form, of single scattering by an optical depth that goes with λ^-4."""
    from pyspectral.utils import RSR_DATA_VERSION, RSR_DATA_VERSION_FILENAME

    scattering = tmp_path / "rayleigh_only"
    scattering.mkdir()
    wavelengths = np.arange(400.0, 801.0, 20.0)
    sun, azimuth, satellite = np.linspace(1, 25, 97), np.linspace(0, 180, 37), np.linspace(1, 3, 41)
    depth = 0.0088 * (wavelengths / 1000)[:, None, None, None] ** -4.05
    mu_sun, mu_satellite = 1 / sun[:, None, None], 1 / satellite[None, None, :]
    # pyspectral's table counts the azimuth from the forward direction
    scattering_angle = -mu_sun * mu_satellite + np.sqrt((1 - mu_sun**2) * (1 - mu_satellite**2)) * np.cos(
        np.radians(azimuth)[None, :, None]
    )
    phase = 0.75 * (1 + scattering_angle**2)
    reflectance = phase / 4 * (1 - np.exp(-depth * (1 / mu_sun + 1 / mu_satellite))) / (mu_sun + mu_satellite)
    with h5py.File(scattering / "rayleigh_lut_us-standard.h5", "w") as table:
        table["wavelengths"] = wavelengths
        table["sun_zenith_secant"] = sun
        table["azimuth_difference"] = azimuth
        table["satellite_zenith_secant"] = satellite
        table["reflectance"] = reflectance.astype(np.float32)
    (scattering / "PYSPECTRAL_ATM_CORR_LUT_RO").write_text("v1.0.1\n")

    with h5py.File(tmp_path / "rsr_abi_GOES-17.h5", "w") as table:
        table.attrs.update(description="stand-in", platform_name="GOES-17", sensor="abi")
        table.attrs["band_names"] = [b"ch1", b"ch2", b"ch3"]
        for band, centre in (("ch1", 0.471), ("ch2", 0.636), ("ch3", 0.865)):
            detector = table.create_group(f"{band}/det-1")
            detector.attrs["central_wavelength"] = centre
            around = np.linspace(-0.03, 0.03, 61, dtype=np.float32)
            detector["response"] = np.exp(-((around / 0.015) ** 2)).astype(np.float32)
            detector["wavelength"] = (centre + around).astype(np.float32)
            detector["wavelength"].attrs["scale"] = 1e-6
    (tmp_path / RSR_DATA_VERSION_FILENAME).write_text(RSR_DATA_VERSION)

    config = tmp_path / "pyspectral.yaml"
    folders = {"rsr_dir": str(tmp_path), "rayleigh_dir": str(tmp_path), "download_from_internet": False}
    config.write_text(yaml.safe_dump(folders))
    monkeypatch.setenv("PSP_CONFIG_FILE", str(config))
