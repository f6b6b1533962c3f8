"""Filters that keep a scan from becoming a scene because of when it was made."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from pyorbital import astronomy

_HOURS_PER_RADIAN = 12 / np.pi


def outside_filters(start: datetime, *, longitude: float, max_hours_from_zenith: float | None) -> str | None:
    """Why a scan does not pass the filters, None where it passes.

    Parameters
    ----------
    start
        Of the scan, UTC.
    longitude
        Of the domain's centre, degrees east.
    max_hours_from_zenith
        The scan passes where it starts less than this many hours before or after the nearest solar
        noon at the longitude; None lets every scan pass.
    """
    if max_hours_from_zenith is None:
        return None
    hours = abs(start - solar_noon(start, longitude)) / timedelta(hours=1)
    if hours < max_hours_from_zenith:
        return None
    return f"filtered: {hours:.1f} h from solar noon, limit {max_hours_from_zenith:g} h"


def solar_noon(near: datetime, longitude: float) -> datetime:
    """The time nearest to ``near`` at which the sun crosses the meridian of ``longitude``.

    Parameters
    ----------
    near
        UTC.
    longitude
        Degrees east.

    Returns
    -------
    datetime
        UTC, of the true sun: the equation of time (up to 16 minutes) is part of it.
    """
    noon = near - _hour_angle(near, longitude)
    # The hour angle does not grow by exactly 24 h a day: up to 15 s are left over, and then nothing.
    return noon - _hour_angle(noon, longitude)


def _hour_angle(time: datetime, longitude: float) -> timedelta:
    """The sun's hour angle, −12 h to 12 h: local sidereal time less the sun's right ascension."""
    right_ascension, _ = astronomy.sun_ra_dec(time)
    angle = float(astronomy.gmst(time) + np.deg2rad(longitude) - right_ascension)
    return timedelta(hours=float(np.angle(np.exp(1j * angle))) * _HOURS_PER_RADIAN)
