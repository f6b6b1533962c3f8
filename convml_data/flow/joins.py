"""Which scenes follow each other so that clouds can be followed from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

#: By how much the lengths of two scans may differ, as a share of the time between them. When within a scan a cloud was
#: seen is not known, only that it is at the same share of every scan.
MAX_LENGTH_DIFFERENCE = 0.02


@dataclass(frozen=True)
class Moment:
    """When and by whom a scene was seen.

    Parameters
    ----------
    scene_id
        Of the scene.
    start, end
        Of its scan, UTC.
    satellite
        By name.
    """

    scene_id: str
    start: datetime
    end: datetime
    satellite: str


def breaks(moments: Sequence[Moment], dt_max: timedelta) -> list[str | None]:
    """For each scene why points are not followed to it from the one before, None where they are.

    Parameters
    ----------
    moments
        In time order.
    dt_max
        The longest time between the starts of two scenes.
    """
    first = ["it is the first scene"][: len(moments)]
    return [*first, *(_break(*pair, dt_max) for pair in pairwise(moments))]


def _break(before: Moment, after: Moment, dt_max: timedelta) -> str | None:
    dt = after.start - before.start
    if dt > dt_max:
        return f"it starts {dt} after {before.scene_id}, dt_max {dt_max}"
    if before.satellite != after.satellite:
        return f"it is of {after.satellite}, the scene before of {before.satellite}"
    lengths = before.end - before.start, after.end - after.start
    if abs(lengths[1] - lengths[0]) > MAX_LENGTH_DIFFERENCE * dt:
        return f"its scan takes {lengths[1]}, the one before {lengths[0]}"
    return None
