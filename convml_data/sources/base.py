"""What every source offers: finding the scans that exist and reading a domain of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # so that describing a dataset does not load what only reading one needs
    import xarray as xr

    from convml_data.geometry.local import Domain
    from convml_data.scenes.ledger import Scan


#: Attribute of a variable whose values are codes, which nothing but the nearest pixel can stand for.
CATEGORICAL = {"categorical": "values are codes"}


#: The end of an interval that has none yet.
OPEN_END = datetime.max

#: How far a clock may be behind those of an archive: as long after the present scans may start already.
CLOCK_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class Interval:
    """A span of time, both ends included, UTC; ``OPEN_END`` is the end of one that goes on."""

    start: datetime
    end: datetime

    def __contains__(self, time: datetime) -> bool:
        return self.start <= time <= self.end

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.end == OPEN_END

    def __str__(self) -> str:
        return f"{self.start} to {'open' if self.is_open else self.end}"


def clipped(intervals: Sequence[Interval], start: datetime, end: datetime) -> tuple[Interval, ...]:
    """What lies from ``start`` to ``end`` of intervals."""
    return tuple(
        Interval(max(interval.start, start), min(interval.end, end))
        for interval in intervals
        if interval.start <= end and interval.end >= start
    )


def until_now(intervals: Sequence[Interval], now: datetime) -> tuple[Interval, ...]:
    """Intervals of which those that go on end where scans may have started by now, UTC."""
    soon = now + CLOCK_SKEW
    return tuple(
        Interval(interval.start, soon) if interval.is_open else interval
        for interval in intervals
        if not (interval.is_open and interval.start > soon)
    )


class Source(Protocol):
    """An archive of one kind, set up for one dataset's product.

    Both methods raise :class:`~convml_data.errors.ArchiveError` where the archive cannot be
    reached, and :meth:`read` raises :class:`~convml_data.errors.SceneError` where a file of the
    scene is broken or does not show the domain.
    """

    @property
    def archive(self) -> str:
        """Where the files lie, for messages and the ledger."""

    def find(self, intervals: Sequence[Interval] | None) -> list[Scan]:
        """All scans the archive holds in and next to the intervals, by start time.

        Scans that start outside of every interval may be among them; scans that cannot give the
        product carry their reason. Sources whose archive is a folder of the dataset take None for
        all times.
        """

    def read(self, scan: Scan, domain: Domain) -> xr.Dataset:
        """The product over the domain on the source's own grid, NaN where there is no value.

        The dataset has one data variable with dims (…, y, x), whose ``x``/``y`` coordinates, and
        ``grid_mapping`` where the grid is a projection's, follow CF, and attributes that describe
        the scene: ``satellite``, ``scene_time`` (ISO 8601), ``bytes_read``, ``valid_share``,
        ``source_grid`` (see :func:`~convml_data.geometry.source_grids.grid_of`) and whatever was
        applied to it.
        """

    def whole_domain(self, scan: Scan) -> Domain:
        """The smallest domain that holds all that the source shows in a scan."""
