"""Where files hold time and place, as users say it where the files do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class TimeSteps:
    """Times that count from a moment which the files do not know, by a step or a variable.

    Parameters
    ----------
    start
        Of the first step, or from which ``name`` counts, UTC.
    step
        From one time to the next; the steps count on through the files in the order of their names.
    name
        Instead of ``step``: the variable that holds the time since ``start``, in its own units.
    """

    start: datetime
    step: timedelta | None = None
    name: str | None = None


@dataclass(frozen=True)
class Coordinates:
    """What a user says about the coordinates of files; None where the files speak for themselves.

    Parameters
    ----------
    time
        Name of a variable, or how times follow from a start.
    x, y
        Names of variables, or steps between the cells in metres.
    lon, lat
        Names of variables with one or two dimensions, or with time before them.
    """

    time: str | TimeSteps | None = None
    x: str | float | None = None
    y: str | float | None = None
    lon: str | None = None
    lat: str | None = None
