from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convml_data.simulate import truth

longitudes = st.floats(-180, 180)
latitudes = st.floats(-89, 89)
times = st.datetimes(datetime(2017, 1, 1), datetime(2030, 1, 1))
seconds = st.floats(-86400 * 30, 86400 * 30)


def distance(lon1, lat1, lon2, lat2):
    """Metres on the sphere (haversine)."""
    lam1, phi1, lam2, phi2 = map(np.radians, (lon1, lat1, lon2, lat2))
    chord = np.sin((phi2 - phi1) / 2) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin((lam2 - lam1) / 2) ** 2
    return 2 * truth.EARTH_RADIUS * np.arcsin(np.sqrt(chord))


def patch(lon, lat):
    """Points some kilometres apart, so that cloud edges are among them."""
    offsets = np.linspace(-0.3, 0.3, 7)
    return tuple(np.meshgrid(lon + offsets, lat + offsets))


@given(longitudes, latitudes, times, seconds)
def test_clouds_are_displaced_unchanged(lon, lat, time, duration):
    lons, lats = patch(lon, lat)
    later = time + timedelta(seconds=duration)
    exact = (later - time).total_seconds()
    before = truth.optical_thickness(lons, lats, time)
    after = truth.optical_thickness(*truth.displaced(lons, lats, exact), later)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


@given(longitudes, latitudes, seconds)
def test_displacement_is_undone_by_the_opposite_one(lon, lat, duration):
    back = truth.displaced(*truth.displaced(lon, lat, duration), -duration)
    assert distance(lon, lat, *back) < 1e-2


@given(longitudes, latitudes, seconds)
def test_displacement_keeps_distances(lon, lat, duration):
    here, there = (lon, lat), (lon + 0.2, lat - 0.1)
    moved = distance(*truth.displaced(*here, duration), *truth.displaced(*there, duration))
    np.testing.assert_allclose(moved, distance(*here, *there), atol=1e-2)


@given(longitudes, latitudes)
def test_velocity_is_the_displacement_per_second(lon, lat):
    step = 100.0
    (lon0, lat0), (lon1, lat1) = truth.displaced(lon, lat, -step / 2), truth.displaced(lon, lat, step / 2)
    turn = (lon1 - lon0 + 180) % 360 - 180
    eastward = np.radians(turn) * truth.EARTH_RADIUS * np.cos(np.radians(lat)) / step
    northward = np.radians(lat1 - lat0) * truth.EARTH_RADIUS / step
    np.testing.assert_allclose(truth.velocity(lon, lat), (eastward, northward), atol=1e-3)


def test_velocity_at_the_reference_point_is_the_stated_one():
    u, v = truth.velocity(truth.REFERENCE_LONGITUDE, truth.REFERENCE_LATITUDE)
    np.testing.assert_allclose((u, v), (truth.EASTWARD_VELOCITY, truth.NORTHWARD_VELOCITY))


@given(longitudes, latitudes, times, st.integers(1, 16))
def test_values_are_physical(lon, lat, time, channel):
    lons, lats = patch(lon, lat)
    if channel <= 6:
        values = truth.reflectance_factor(channel, lons, lats, time)
        assert values.min() >= 0
        assert values.max() < 1
        assert (values[truth.cos_sun_zenith(lons, lats, time) <= 0] == 0).all()
    else:
        values = truth.brightness_temperature(channel, lons, lats, time)
        assert values.min() >= truth.CLOUD_TEMPERATURE[channel]
        assert values.max() <= truth.CLEAR_SKY_TEMPERATURE[channel]


@given(st.lists(st.tuples(longitudes, latitudes), min_size=1, max_size=5), times)
def test_a_value_needs_no_other(points, time):
    lons, lats = np.array(points).T
    together = truth.optical_thickness(np.append(lons, np.nan), np.append(lats, np.nan), time)
    alone = [float(truth.optical_thickness(lon, lat, time)) for lon, lat in points]
    np.testing.assert_allclose(together[:-1], alone, rtol=1e-4, atol=1e-5)
    assert np.isnan(together[-1])


@given(longitudes, latitudes, times)
def test_thickness_is_never_negative_and_the_date_line_is_no_edge(lon, lat, time):
    here = truth.optical_thickness(lon, lat, time)
    assert here >= 0
    np.testing.assert_allclose(truth.optical_thickness(lon + 360, lat, time), here, rtol=1e-4, atol=1e-5)
