"""Where files hold time and place, as users say it where the files do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class TimeSteps:
    """Times that count from a moment which the files do not know.

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

    def __post_init__(self) -> None:
        if (self.step is None) == (self.name is None):
            raise ValueError("times need either a step or the name of a variable", "give one of `step` and `name`")
        if self.step is not None and self.step <= timedelta(0):
            raise ValueError(f"the step {self.step} does not lead on in time", "give a step above zero")


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

    def __post_init__(self) -> None:
        for one, other in (("x", "y"), ("lon", "lat")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} go together", "give both of them or none")
        if self.x is not None and self.lon is not None:
            raise ValueError("x and y are given beside lon and lat", "keep one of the two pairs")
