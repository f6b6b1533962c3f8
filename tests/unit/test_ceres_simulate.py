"""Simulated CERES files: the archive's layout, a truth that moves, and the same bytes each time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from convml_data.errors import ConvmlError
from convml_data.geometry.local import LocalDomain
from convml_data.simulate import truth
from convml_data.simulate.ceres import cloud_top_height, image_times, simulate_ceres
from convml_data.sources.base import Interval
from convml_data.sources.ceres.products import STORED_VARIABLES

NOON = datetime(2020, 2, 2, 12)
DOMAIN = LocalDomain(13.3, -57.7, 120e3, 90e3)


def test_images_are_hourly_at_the_satellites_minute() -> None:
    spans = [Interval(NOON, NOON + timedelta(hours=2)), Interval(NOON, NOON + timedelta(minutes=30))]
    assert image_times("goes16n", spans) == [NOON + timedelta(minutes=30), NOON + timedelta(minutes=90)]
    assert image_times("meteosat9n", spans) == [NOON + number * timedelta(hours=1) for number in range(3)]


def test_files_lie_where_the_archive_has_them(tmp_path: Path) -> None:
    paths = simulate_ceres(
        tmp_path,
        satellites=["goes16n", "meteosat9n"],
        spans=[Interval(NOON, NOON + timedelta(minutes=59))],
        domain=DOMAIN,
    )
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "GOE16_NH_V01.2/2020/033/CER_GEO_Ed4_GOE16_NH_V01.2_2020.033.1230.06K.nc",
        "MET09_NH_V01.2/2020/033/CER_GEO_Ed4_MET09_NH_V01.2_2020.033.1200.06K.nc",
    ]
    assert simulate_ceres(tmp_path, satellites=["goes16n"], spans=[Interval(NOON, NOON)], domain=DOMAIN) == []


def test_a_file_has_every_variable_on_its_pixels_within_its_range(tmp_path: Path) -> None:
    time = Interval(NOON + timedelta(minutes=30), NOON + timedelta(minutes=30))
    (path,) = simulate_ceres(tmp_path, satellites=["goes16n"], spans=[time], domain=DOMAIN)
    with netCDF4.Dataset(path) as file:  # another reader, which applies fill values and ranges by itself
        assert set(STORED_VARIABLES) <= set(file.variables)
        lat, lon = file["latitude"][:], file["longitude"][:]
        for name in STORED_VARIABLES:
            variable = file[name]
            assert variable.dimensions == ("image_y", "image_x")
            assert variable.coordinates == "latitude longitude"
            assert variable[:].count() > 0, name
            stored = np.ma.masked_greater(np.asarray(variable[:].data), 1e30)
            assert variable.valid_min <= stored.min() <= stored.max() <= variable.valid_max, name
        height = file["cloud_top_height"][:].filled(np.nan)
        brightness = file["temperature_ir"][:].filled(np.nan)
    assert lat.shape == height.shape
    assert abs(np.diff(lat[:, 5]).mean() + 6 / 111) < 0.01
    np.testing.assert_allclose(height, cloud_top_height(lon, lat, time.start), atol=1e-3)
    np.testing.assert_allclose(brightness, truth.brightness_temperature(14, lon, lat, time.start), atol=0.05)


def test_clouds_move_with_the_truth() -> None:
    lon, lat = np.meshgrid(np.linspace(-58, -57, 40), np.linspace(13, 14, 40))
    hour = timedelta(hours=1)
    before = cloud_top_height(lon, lat, NOON)
    after = cloud_top_height(*truth.displaced(lon, lat, hour.total_seconds()), NOON + hour)
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert not np.allclose(cloud_top_height(lon, lat, NOON + hour), before, equal_nan=True)


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        span = [Interval(NOON, NOON)]
        (path,) = simulate_ceres(tmp_path / name, satellites=["meteosat9n"], spans=span, domain=DOMAIN)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_pixels_beside_the_earth_have_no_place_and_no_values(tmp_path: Path) -> None:
    limb = LocalDomain(60.0, -140.0, 1500e3, 500e3)
    (path,) = simulate_ceres(
        tmp_path, satellites=["goes16n"], spans=[Interval(NOON, NOON + timedelta(minutes=30))], domain=limb
    )
    with netCDF4.Dataset(path) as file:
        in_space = np.ma.getmaskarray(file["latitude"][:])
        assert 0 < in_space.mean() < 1
        assert np.ma.getmaskarray(file["temperature_ir"][:])[in_space].all()
        assert not np.ma.getmaskarray(file["temperature_ir"][:])[~in_space].any()


@pytest.mark.parametrize(
    ("satellite", "domain", "message"),
    [
        ("goes17n", DOMAIN, "no satellite 'goes17n' of CERES"),
        (
            "goes16n",
            LocalDomain(13, 100, 1e5, 1e5),
            "goes16n does not see the domain around latitude 13, longitude 100",
        ),
        ("goes16n", LocalDomain(-30, -57, 1e5, 1e5), "northern half"),
    ],
)
def test_what_cannot_be_simulated_is_said(tmp_path: Path, satellite: str, domain: LocalDomain, message: str) -> None:
    with pytest.raises(ConvmlError, match=message):
        simulate_ceres(tmp_path, satellites=[satellite], spans=[Interval(NOON, NOON)], domain=domain)
