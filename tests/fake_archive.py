"""Archives of files that have an ABI file's name and size but not its contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes.archive import list_scans
from convml_data.sources.goes.names import AbiFileName

TRUECOLOR = (1, 2, 3)


def abi_name(start: datetime, channel: int | None = 1, **changes: object) -> AbiFileName:
    """The name of a full-disk radiance file of GOES-16, but for the changes."""
    values = {
        "level": "L1b",
        "product": "Rad",
        "sector": "F",
        "mode": 6,
        "channel": channel,
        "satellite": "goes16",
        "start": start,
        "end": start + timedelta(seconds=570),
        "created": start + timedelta(seconds=580),
    }
    return AbiFileName(**(values | changes))  # type: ignore[arg-type]


def put(archive: Path, name: AbiFileName, content: bytes = b"not empty") -> Path:
    """Write a file where an archive keeps it."""
    path = archive / name.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_scan(archive: Path, start: datetime, channels: Sequence[int] = TRUECOLOR) -> None:
    """Write the files of one full-disk scan."""
    for channel in channels:
        put(archive, abi_name(start, channel))


@dataclass(frozen=True)
class FullDisk:
    """The full-disk radiances of an archive, as a source."""

    archive: str
    channels: tuple[int, ...] = TRUECOLOR

    def find(self, intervals: Sequence[Interval]) -> list[Scan]:
        """What the archive lists."""
        return list_scans(self.archive, "goes16", "L1b", "Rad", "F", self.channels, intervals)
