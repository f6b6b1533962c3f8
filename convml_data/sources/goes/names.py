"""The grammar of ABI file names and archive folders.

From the GOES-R Product Definition and Users' Guide, volume 1, appendix A, and the layout of the
public buckets: ``<level and product with sector>/<year>/<day of year>/<hour of the scan start>/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_PATTERN = re.compile(
    r"OR_ABI-(?P<level>L1b|L2)-(?P<product>[A-Za-z0-9]+?)(?P<sector>F|C|M1|M2)"
    r"-M(?P<mode>\d)(?:C(?P<channel>\d\d))?_G(?P<satellite>\d\d)"
    r"_s(?P<start>\d{14})_e(?P<end>\d{14})_c(?P<created>\d{14})\.nc"
)


@dataclass(frozen=True)
class AbiFileName:
    """What the name of an ABI file says.

    Parameters
    ----------
    level, product
        ``L1b`` and ``Rad``, or ``L2`` and the product's short name.
    sector
        ``F`` full disk, ``C`` CONUS or PACUS, ``M1`` and ``M2`` mesoscale.
    mode
        Scan mode: 3, 4 or 6.
    channel
        1 to 16, None for products of no single channel.
    satellite
        ``goes16``, …
    start, end, created
        Of the scan and of the file, UTC, in whole tenths of a second.
    """

    level: str
    product: str
    sector: str
    mode: int
    channel: int | None
    satellite: str
    start: datetime
    end: datetime
    created: datetime

    def __str__(self) -> str:
        channel = "" if self.channel is None else f"C{self.channel:02d}"
        return (
            f"OR_ABI-{self.level}-{self.product}{self.sector}-M{self.mode}{channel}"
            f"_G{self.satellite.removeprefix('goes')}"
            f"_s{_encode_time(self.start)}_e{_encode_time(self.end)}_c{_encode_time(self.created)}.nc"
        )

    @classmethod
    def parse(cls, name: str) -> AbiFileName:
        """Read a file name without its folder.

        Raises
        ------
        ValueError
            The name is not of an ABI file.
        """
        match = _PATTERN.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} is not the name of an ABI file")
        return cls(
            level=match["level"],
            product=match["product"],
            sector=match["sector"],
            mode=int(match["mode"]),
            channel=int(match["channel"]) if match["channel"] else None,
            satellite=f"goes{match['satellite']}",
            start=_decode_time(match["start"]),
            end=_decode_time(match["end"]),
            created=_decode_time(match["created"]),
        )

    @property
    def path(self) -> str:
        """Folder and name below the bucket."""
        return f"{hour_folder(self.level, self.product, self.sector, self.start)}/{self}"


def hour_folder(level: str, product: str, sector: str, hour: datetime) -> str:
    """Where the archive keeps the scans that start in an hour; both mesoscale sectors share one."""
    return f"ABI-{level}-{product}{sector[0]}/{hour:%Y/%j/%H}"


def _encode_time(time: datetime) -> str:
    return f"{time:%Y%j%H%M%S}{time.microsecond // 100_000}"


def _decode_time(digits: str) -> datetime:
    time = datetime.strptime(digits[:-1], "%Y%j%H%M%S") + timedelta(milliseconds=100 * int(digits[-1]))
    if _encode_time(time) != digits:  # strptime takes day 366 of any year
        raise ValueError(f"there is no such time as {digits}")
    return time
