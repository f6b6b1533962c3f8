"""Solar noon and the filter on the time from it."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import cos, inf, nextafter, pi, sin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convml_data.scenes.filters import SceneFilter, nearest_to, solar_noon

LONGITUDE = -57.72


def outside_filters(start: datetime, *, longitude: float, max_hours_from_zenith: float | None) -> str | None:
    return SceneFilter(max_hours_from_zenith=max_hours_from_zenith, longitude=longitude).reason_against(start)


def noon_by_fourier_series(day: datetime, longitude: float) -> datetime:
    """Solar noon on a day (UTC date at Greenwich) after Spencer (1971), good to half a minute or so."""
    b = 2 * pi * (day.timetuple().tm_yday - 1 + 0.5 - longitude / 360) / 365.25
    minutes = 229.18 * (
        0.000075 + 0.001868 * cos(b) - 0.032077 * sin(b) - 0.014615 * cos(2 * b) - 0.040849 * sin(2 * b)
    )
    return day + timedelta(hours=12) - timedelta(minutes=4 * longitude + minutes)


@pytest.mark.parametrize("longitude", [-179.9, -137.0, -57.72, 0.0, 75.2, 180.0])
def test_solar_noon_agrees_with_an_independent_formula(longitude: float) -> None:
    for day in range(0, 366, 7):
        expected = noon_by_fourier_series(datetime(2020, 1, 1) + timedelta(days=day), longitude)
        for hours in (-11, 0, 11):
            noon = solar_noon(expected + timedelta(hours=hours), longitude)
            assert abs(noon - expected) < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("date", "sun_is_ahead_min"),
    [("2021-02-11", -14.2), ("2021-05-14", 3.7), ("2021-07-26", -6.5), ("2021-11-03", 16.4)],
)
def test_the_extremes_of_the_equation_of_time(date: str, sun_is_ahead_min: float) -> None:
    # Dates and values as almanacs tabulate them (Astronomical Almanac, equation of time).
    mean_noon = datetime.fromisoformat(date) + timedelta(hours=12)
    ahead = (mean_noon - solar_noon(mean_noon, 0.0)) / timedelta(minutes=1)
    assert ahead == pytest.approx(sun_is_ahead_min, abs=0.1)


def test_the_same_noon_is_found_from_either_side() -> None:
    noon = solar_noon(datetime(2020, 2, 2, 16), LONGITUDE)
    for hours in (-11.9, -6, 0, 6, 11.9):
        again = solar_noon(noon + timedelta(hours=hours), LONGITUDE)
        assert abs(again - noon) < timedelta(milliseconds=50)


def test_a_scan_at_the_limit_is_dropped() -> None:
    start = datetime(2020, 2, 2, 14)
    hours = abs(start - solar_noon(start, LONGITUDE)) / timedelta(hours=1)
    assert outside_filters(start, longitude=LONGITUDE, max_hours_from_zenith=hours) is not None
    assert outside_filters(start, longitude=LONGITUDE, max_hours_from_zenith=nextafter(hours, inf)) is None


def test_the_reason_names_distance_and_limit() -> None:
    # The sun passes 57.72° W at 16:04:33 UTC on that day.
    start = datetime(2020, 2, 2, 11, 52)
    reason = outside_filters(start, longitude=LONGITUDE, max_hours_from_zenith=4.0)
    assert reason == "filtered: 4.2 h from solar noon, limit 4 h"


def test_noon_may_fall_on_another_day_of_utc() -> None:
    late, early = datetime(2020, 2, 2, 23, 59), datetime(2020, 2, 3, 0, 1)
    for start in (late, early):
        assert outside_filters(start, longitude=179.0, max_hours_from_zenith=1) is None
        assert outside_filters(start, longitude=0.0, max_hours_from_zenith=11) is not None


def test_without_a_limit_every_scan_passes() -> None:
    assert outside_filters(datetime(2020, 2, 2, 4), longitude=LONGITUDE, max_hours_from_zenith=None) is None


def test_parts_of_the_time_choose_scenes() -> None:
    half_hours = SceneFilter({"minute": (0, 30), "hour": (14,)})
    start = datetime(2020, 2, 2, 14, 30, 16, 500_000)
    assert half_hours.reason_against(start) is None
    assert half_hours.reason_against(start.replace(minute=20)) == "filtered: minute 20, wanted 0, 30"
    assert half_hours.reason_against(start.replace(hour=15)) == "filtered: hour 15, wanted 14"
    assert SceneFilter({"month": (12, 1, 2), "year": (2020,)}).reason_against(start) is None


@given(
    times=st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 3)), max_size=8),
    starts=st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 3)), max_size=8, unique=True),
)
def test_the_nearest_scenes_are_those_of_a_full_search(times: list[datetime], starts: list[datetime]) -> None:
    expected = {min(sorted(starts), key=lambda start: abs(start - time)) for time in times if starts}
    assert nearest_to(times, starts) == expected
