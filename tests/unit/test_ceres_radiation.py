"""Fluxes of sunlight against known numbers and against formulas of another origin."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
from pyorbital import astronomy

from convml_data.sources.ceres.radiation import TOTAL_SOLAR_IRRADIANCE, incoming_flux, net_flux, reflected_flux

NOON_AT_BARBADOS = datetime(2020, 2, 2, 16, 30)


def spencer(lon: float, lat: float, time: datetime) -> float:
    """Sunlight from the Fourier series of Spencer (1971), Search 2 (5), 172, which are good to some 0.2 degrees."""
    day = 2 * math.pi / 365 * (time.timetuple().tm_yday - 1 + (time.hour - 12) / 24)
    c, s = math.cos, math.sin
    declination = (
        0.006918 - 0.399912 * c(day) + 0.070257 * s(day) - 0.006758 * c(2 * day) + 0.000907 * s(2 * day)
        - 0.002697 * c(3 * day) + 0.00148 * s(3 * day)
    )  # fmt: skip
    equation = 229.18 * (
        0.000075 + 0.001868 * c(day) - 0.032077 * s(day) - 0.014615 * c(2 * day) - 0.04089 * s(2 * day)
    )  # minutes; fmt: skip
    inverse_square = 1.00011 + 0.034221 * c(day) + 0.00128 * s(day) + 0.000719 * c(2 * day) + 0.000077 * s(2 * day)
    minutes = time.hour * 60 + time.minute + time.second / 60 + equation + 4 * lon
    hour_angle = math.radians(minutes / 4 - 180)
    phi = math.radians(lat)
    sine = s(phi) * s(declination) + c(phi) * c(declination) * c(hour_angle)
    return 1361.0 * inverse_square * max(sine, 0.0)


def test_a_known_flux_without_the_factor_of_distance() -> None:
    # 1155 follows from the mean sun, which was 13.6 minutes further west than the true one: 1.2 % lower.
    flux = incoming_flux(-57.7, 13.3, NOON_AT_BARBADOS) * astronomy.sun_earth_distance_correction(NOON_AT_BARBADOS) ** 2
    assert flux == pytest.approx(1155 * 1.012, rel=0.002)
    assert incoming_flux(-57.7, 13.3, NOON_AT_BARBADOS) > 1.025 * flux  # near perihelion


@pytest.mark.parametrize("month", range(1, 13))
@pytest.mark.parametrize(("lon", "lat"), [(-57.7, 13.3), (0.0, 0.0), (140.0, -35.0), (25.0, 70.0), (179.9, 52.0)])
def test_fluxes_agree_with_series_of_another_origin(month: int, lon: float, lat: float) -> None:
    for hour in range(0, 24, 3):
        time = datetime(2020, month, 17, hour, 30)
        assert float(incoming_flux(lon, lat, time)) == pytest.approx(spencer(lon, lat, time), abs=8.0)


def test_it_is_dark_at_night_and_the_sun_overhead_gives_all() -> None:
    assert incoming_flux(-57.7, 13.3, NOON_AT_BARBADOS + timedelta(hours=12)) == 0
    # At the March equinox of 2020 the sun passed the zenith of the equator near 2 E shortly before noon UTC.
    lon = np.linspace(-10, 10, 201)
    best = incoming_flux(lon, np.zeros_like(lon), datetime(2020, 3, 20, 12)).max()
    distance = astronomy.sun_earth_distance_correction(datetime(2020, 3, 20, 12))
    assert best == pytest.approx(TOTAL_SOLAR_IRRADIANCE / distance**2, rel=1e-4)


def test_the_distance_is_that_of_real_granules(shared_data: Path) -> None:
    folder = shared_data / "noaa-goes17" / "ABI-L1b-RadM"
    path = sorted(folder.rglob("*C01_*.nc"))[0]
    with h5py.File(path) as file:
        distance = float(file["earth_sun_distance_anomaly_in_AU"][()])
    time = datetime.strptime(path.name.split("_s")[1][:13], "%Y%j%H%M%S")
    assert astronomy.sun_earth_distance_correction(time) == pytest.approx(distance, abs=5e-4)


def test_places_without_coordinates_have_no_flux() -> None:
    flux = incoming_flux(np.array([np.nan, -57.7]), np.array([np.nan, 13.3]), NOON_AT_BARBADOS)
    assert np.isnan(flux).tolist() == [True, False]
    assert np.isnan(reflected_flux(flux, np.array([0.3, 0.3]))).tolist() == [True, False]


def test_nothing_is_reflected_in_the_dark_and_nothing_is_made_up_by_day() -> None:
    reflected = reflected_flux(np.array([0.0, 0.0, 1000.0, 1000.0]), np.array([np.nan, 0.5, np.nan, 0.25]))
    assert np.array_equal(reflected, [0.0, 0.0, np.nan, 250.0], equal_nan=True)


def test_the_net_flux_is_the_gain() -> None:
    incoming, reflected = np.array([1000.0, 0.0, 0.0]), np.array([250.0, 0.0, 0.0])
    net = net_flux(incoming, reflected, np.array([280.0, 250.0, np.nan]))
    assert np.array_equal(net, [470.0, -250.0, np.nan], equal_nan=True)
