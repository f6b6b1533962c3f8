"""Where and when the ABI scans: satellites, sectors on the fixed grid, and the times of scans.

Fixed grids are those of the GOES-R Product Definition and Users' Guide (PUG), volume 3, tables
5.1.2.7: all sectors are parts of the satellite's full disk, and the 0.5 and 1 km grids halve and
quarter the pixels of the 2 km grid. Times are those of mode 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from convml_data.errors import ConvmlError
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.local import LocalDomain
from convml_data.geometry.windows import Window
from convml_data.sources.base import Interval

#: Side of a pixel of the 2 km grid, and half of the full disk's width, radians.
PIXEL_2KM = 56e-6
HALF_WIDTH = 0.151872
FULL_DISK = Window(0, 5424, 0, 5424)
#: Rows and columns of a mesoscale sector, 2 km pixels.
MESOSCALE_SIDE = 500


@dataclass(frozen=True)
class Satellite:
    """One of the GOES-R series at its operational place.

    Parameters
    ----------
    platform_id, instrument_id
        As in file attributes.
    orbital_slot
        ``GOES-East`` or ``GOES-West``.
    sub_longitude
        Origin of the fixed grid, degrees east.
    subpoint_longitude
        Where the satellite nominally stands, degrees east.
    conus
        The CONUS or PACUS sector in 2 km pixels of the full disk.
    """

    platform_id: str
    instrument_id: str
    orbital_slot: str
    sub_longitude: float
    subpoint_longitude: float
    conus: Window

    @property
    def view(self) -> GeostationaryView:
        """What it sees: the GRS80 ellipsoid."""
        return GeostationaryView(self.sub_longitude, 35786023.0, 6378137.0, 6356752.31414)


@dataclass(frozen=True)
class Sector:
    """What is scanned how often.

    Parameters
    ----------
    scene_id
        As in file attributes.
    chunk_size
        Rows and columns of a chunk, pixels.
    cadence
        From one scan to the next.
    first_start
        Of the first scan after midnight.
    duration
        Of one scan.
    """

    scene_id: str
    chunk_size: int
    cadence: timedelta
    first_start: timedelta
    duration: timedelta


_EAST = ("GOES-East", -75.0, -75.2, Window(422, 1922, 902, 3402))
_WEST = ("GOES-West", -137.0, -137.2, Window(422, 1922, 1462, 3962))

SATELLITES = {
    "goes16": Satellite("G16", "FM1", *_EAST),
    "goes17": Satellite("G17", "FM2", *_WEST),
    "goes18": Satellite("G18", "FM3", *_WEST),
    "goes19": Satellite("G19", "FM4", *_EAST),
}


def _sector(scene_id: str, chunk_size: int, minutes: int, first_start: float, duration: float) -> Sector:
    return Sector(
        scene_id,
        chunk_size,
        timedelta(minutes=minutes),
        timedelta(seconds=first_start),
        timedelta(seconds=duration),
    )


SECTORS = {
    "F": _sector("Full Disk", 226, 10, 20.8, 570.8),
    "C": _sector("CONUS", 250, 5, 77.0, 158.4),
    "M1": _sector("Mesoscale", 250, 1, 27.5, 5.7),
    "M2": _sector("Mesoscale", 250, 1, 57.5, 5.7),
}


def satellite_of(name: str) -> Satellite:
    """The satellite called ``goes16``, …; ConvmlError where there is none."""
    try:
        return SATELLITES[name]
    except KeyError:
        raise ConvmlError(
            f"there is no satellite {name!r} to simulate", remedy=f"Use one of {', '.join(SATELLITES)}"
        ) from None


def sector_of(name: str) -> Sector:
    """The sector called ``F``, ``C``, ``M1`` or ``M2``; ConvmlError where there is none."""
    try:
        return SECTORS[name]
    except KeyError:
        raise ConvmlError(
            f"there is no sector {name!r} to simulate", remedy=f"Use one of {', '.join(SECTORS)}"
        ) from None


def scan_starts(sector: str, spans: Sequence[Interval]) -> list[datetime]:
    """When the scans of a sector start that start in the spans, ends included, each once, in order."""
    times = sector_of(sector)
    origin = datetime(2000, 1, 1) + times.first_start
    starts: set[datetime] = set()
    for span in spans:
        first = -((origin - span.start) // times.cadence)
        last = (span.end - origin) // times.cadence
        starts.update(origin + number * times.cadence for number in range(first, last + 1))
    return sorted(starts)


def channel_start(scan_start: datetime, channel: int) -> datetime:
    """When the scan of one channel starts: up to 0.3 s after the scan as a whole."""
    return scan_start + timedelta(milliseconds=100 * ((channel - 1) % 4))


def sector_grid(satellite: str, sector: str, resolution_km: float, domain: LocalDomain) -> FixedGrid:
    """Pixels of a sector.

    Parameters
    ----------
    satellite, sector
        ``goes16``, … and ``F``, ``C``, ``M1`` or ``M2``.
    resolution_km
        0.5, 1 or 2.
    domain
        Mesoscale sectors are centred on it, as closely as 2 km pixels and the full disk allow.

    Raises
    ------
    ConvmlError
        There is no such satellite or sector, or the satellite does not see the domain's centre that a
        mesoscale sector is to be centred on.
    """
    sector_of(sector)
    place = satellite_of(satellite)
    if sector == "F":
        window = FULL_DISK
    elif sector == "C":
        window = place.conus
    else:
        window = _mesoscale_window(satellite, place, domain)
    factor = round(2 / resolution_km)
    pixel = PIXEL_2KM / factor
    # Files give offsets to the microradian, which the centres of all pixels are multiples of.
    return FixedGrid(
        place.view,
        x0=round(window.col0 * PIXEL_2KM - HALF_WIDTH + pixel / 2, 6),
        y0=round(HALF_WIDTH - window.row0 * PIXEL_2KM - pixel / 2, 6),
        dx=pixel,
        dy=-pixel,
        shape=window.refined(factor).shape,
    )


def _mesoscale_window(name: str, satellite: Satellite, domain: LocalDomain) -> Window:
    x, y = satellite.view.scan_angles(domain.central_longitude, domain.central_latitude)
    if not np.isfinite([x, y]).all():
        raise not_seen(name, "M1 or M2", domain)
    corners = [round((angle + HALF_WIDTH) / PIXEL_2KM - MESOSCALE_SIDE / 2) for angle in (-float(y), float(x))]
    row0, col0 = (min(max(corner, 0), FULL_DISK.row1 - MESOSCALE_SIDE) for corner in corners)
    return Window(row0, row0 + MESOSCALE_SIDE, col0, col0 + MESOSCALE_SIDE)


def not_seen(satellite: str, sector: str, domain: LocalDomain) -> ConvmlError:
    """The error for a domain that a sector does not show."""
    return ConvmlError(
        f"{satellite} does not see the domain around latitude {domain.central_latitude:g}, longitude "
        f"{domain.central_longitude:g} in sector {sector}",
        remedy="Choose another satellite, another sector or another place",
    )
