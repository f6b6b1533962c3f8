"""The satellites in service as GOES-East and GOES-West, and the two as sources.

Dates are those of NOAA's announcements (GOES-16, 18 December 2017; GOES-17, 12 February 2019;
GOES-18, 4 January 2023, https://www.nesdis.noaa.gov/news/earth-orbit-noaas-goes-18-now-goes-west;
GOES-19, 7 April 2025). A change counts from 00:00 UTC of its day: the hour was not announced for all, and
both satellites delivered data on the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from convml_data.errors import MetaError
from convml_data.sources.base import Interval

if TYPE_CHECKING:
    import xarray as xr

    from convml_data.geometry.local import Domain
    from convml_data.scenes.ledger import Scan
    from convml_data.sources.goes.quality import Quality
    from convml_data.sources.goes.source import GoesSource


class Service(NamedTuple):
    """A satellite and when it entered service, UTC."""

    satellite: str
    since: datetime


#: Who served as what, in order of time; each until the next begins.
SERVICES = {
    "goes_east": (Service("goes16", datetime(2017, 12, 18)), Service("goes19", datetime(2025, 4, 7))),
    "goes_west": (Service("goes17", datetime(2019, 2, 12)), Service("goes18", datetime(2023, 1, 4))),
}

#: The resolution of times: the last moment before a change.
_MOMENT = timedelta(microseconds=1)


class Part(NamedTuple):
    """A satellite and a span of time in which it is in service."""

    satellite: str
    interval: Interval


def satellites(role: str, intervals: Sequence[Interval]) -> list[Part]:
    """The satellite in service in each interval; intervals that cross a change are split there.

    Parameters
    ----------
    role
        ``goes_east`` or ``goes_west``.
    intervals
        In time order.

    Raises
    ------
    MetaError
        An interval starts before the first satellite of the series was in service.
    """
    services = SERVICES[role]
    first = services[0]
    for interval in intervals:
        if interval.start < first.since:
            raise MetaError(
                f"{interval.start} is before {first.satellite} went into service as {role}, on {first.since:%Y-%m-%d}",
                where="time",
                remedy=f"Start on {first.since:%Y-%m-%d} or later, or write `source: {first.satellite}`, which was "
                "tested elsewhere, at 89.5 degrees west, before it went into service",
            )
    return [
        Part(service.satellite, Interval(max(interval.start, service.since), min(interval.end, last)))
        for interval in intervals
        for service, last in zip(services, _last_moments(services), strict=True)
        if interval.start <= last and interval.end >= service.since
    ]


def notices(role: str, intervals: Sequence[Interval]) -> list[str]:
    """A sentence for each change of satellite within an interval."""
    return [
        f"{interval} crosses the change of {role} from {before.satellite} to "
        f"{after.satellite} on {after.since:%Y-%m-%d}, 00:00 UTC: scenes before it are of {before.satellite}, "
        f"the others of {after.satellite}"
        for interval in intervals
        for before, after in zip(SERVICES[role], SERVICES[role][1:], strict=False)
        if interval.start < after.since <= interval.end
    ]


def _last_moments(services: Sequence[Service]) -> list[datetime]:
    return [service.since - _MOMENT for service in services[1:]] + [datetime.max]


@dataclass(frozen=True)
class OperationalSource:
    """GOES-East or GOES-West, whichever satellite that is at a time.

    Parameters
    ----------
    role
        ``goes_east`` or ``goes_west``.
    product, sector, rayleigh_correction, quality, tables
        As of :class:`~.source.GoesSource`.
    configured_archive
        What ``meta.yaml`` says, see :func:`~.archive.archive_url`: with ``{satellite}`` in it one archive for
        each satellite, without it one that holds them all.
    """

    role: str
    product: str
    sector: str
    configured_archive: str | None
    rayleigh_correction: bool = True
    quality: Quality = "good"
    tables: str | None = None

    @property
    def archive(self) -> str:
        """Where the files lie; ``{satellite}`` stands for the names of the satellites."""
        return self._archive_of("{satellite}")

    def find(self, intervals: Sequence[Interval] | None) -> list[Scan]:
        """All scans in and next to the intervals; see :class:`~convml_data.sources.base.Source`."""
        if intervals is None:
            raise MetaError(
                f"{self.role} is listed by the hour, and there is no time to list",
                where="time",
                remedy="Give `time` in meta.yaml",
            )
        parts = satellites(self.role, intervals)
        services = SERVICES[self.role]
        scans = [
            scan
            for service, last in zip(services, _last_moments(services), strict=True)
            if (spans := [part.interval for part in parts if part.satellite == service.satellite])
            for scan in self._source_of(service.satellite).find(spans)
            if service.since <= scan.start <= last
        ]
        return sorted(scans, key=lambda scan: scan.start)

    def read(self, scan: Scan, domain: Domain) -> xr.Dataset:
        """The product over the domain from the scan's satellite; see :meth:`~.source.GoesSource.read`."""
        return self._source_of(scan.satellite).read(scan, domain)

    def whole_domain(self, scan: Scan) -> Domain:
        """The domain of the whole sector in a scan; see :class:`~convml_data.sources.base.Source`."""
        return self._source_of(scan.satellite).whole_domain(scan)

    def _source_of(self, satellite: str) -> GoesSource:
        from convml_data.sources.goes.source import GoesSource

        return GoesSource(
            satellite,
            self.product,
            self.sector,
            self._archive_of(satellite),
            self.rayleigh_correction,
            self.quality,
            self.tables,
        )

    def _archive_of(self, satellite: str) -> str:
        from convml_data.sources.goes.archive import archive_url

        return archive_url(satellite, self.configured_archive)
