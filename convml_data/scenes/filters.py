"""Filters that keep a scan from becoming a scene because of when it was made."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from pyorbital import astronomy

_HOURS_PER_RADIAN = 12 / np.pi


@dataclass(frozen=True)
class SceneFilter:
    """Conditions on the start of a scan.

    Parameters
    ----------
    time_parts
        Values that attributes of the time may have: ``{"minute": (0, 30)}``.
    max_hours_from_zenith
        The scan passes where it starts less than this many hours before or after the nearest solar
        noon at the longitude; None lets every scan pass.
    longitude
        Of the domain's centre, degrees east; None where the domain has no place on the earth.
    """

    time_parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    max_hours_from_zenith: float | None = None
    longitude: float | None = None

    def reason_against(self, start: datetime) -> str | None:
        """Why a scan that starts at a time (UTC) does not pass, None where it passes."""
        for part, allowed in self.time_parts.items():
            if getattr(start, part) not in allowed:
                return f"filtered: {part} {getattr(start, part)}, wanted {', '.join(map(str, allowed))}"
        if self.max_hours_from_zenith is None:
            return None
        assert self.longitude is not None  # which the ledger's maker has seen to
        hours = abs(start - solar_noon(start, self.longitude)) / timedelta(hours=1)
        if hours < self.max_hours_from_zenith:
            return None
        return f"filtered: {hours:.1f} h from solar noon, limit {self.max_hours_from_zenith:g} h"


def nearest_to(times: Sequence[datetime], starts: Sequence[datetime]) -> set[datetime]:
    """Those of ``starts`` that are nearest to one of the times, the earlier one of two that are equally near."""
    if not starts:
        return set()
    ordered = sorted(starts)
    found = set()
    for time in times:
        after = bisect_left(ordered, time)
        around = ordered[max(0, after - 1) : after + 1]
        found.add(min(around, key=lambda start: abs(start - time)))
    return found


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
