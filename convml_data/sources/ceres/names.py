"""The grammar of CERES file names and archive folders.

As the Atmospheric Science Data Center publishes them: ``<platform>_<version>/<year>/<day of year>/``
below the edition's folder, and in it a file for each time.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import date, datetime

_PATTERN = re.compile(
    r"CER_GEO_Ed4_(?P<platform>[A-Z0-9]+_[NS]H)_(?P<version>V\d\d(?:\.\d+)?)"
    r"_(?P<time>\d{4}\.\d{3}\.\d{4})\.(?P<spacing>\d\d)K\.nc"
)
_FOLDER = re.compile(r"(?P<platform>[A-Z0-9]+_[NS]H)_(?P<version>V\d\d(?:\.\d+)?)")
_TIME = "%Y.%j.%H%M"


@dataclass(frozen=True)
class CeresFileName:
    """What the name of a CERES GEO file says.

    Parameters
    ----------
    platform
        Satellite and hemisphere, ``GOE16_NH``.
    version
        Of the processing, ``V01.2``.
    time
        That the image is for, UTC, in whole minutes.
    spacing_km
        Of the pixels below the satellite.
    """

    platform: str
    version: str
    time: datetime
    spacing_km: int = 6

    def __str__(self) -> str:
        return f"CER_GEO_Ed4_{self.platform}_{self.version}_{self.time:{_TIME}}.{self.spacing_km:02d}K.nc"

    @classmethod
    def parse(cls, name: str) -> CeresFileName:
        """Read a file name without its folder.

        Raises
        ------
        ValueError
            The name is not of a CERES GEO file.
        """
        match = _PATTERN.fullmatch(name)
        with contextlib.suppress(ValueError):
            if match is not None:
                time = datetime.strptime(match["time"], _TIME)
                parsed = cls(match["platform"], match["version"], time, int(match["spacing"]))
                if str(parsed) == name:  # strptime takes day 366 of any year for the next one's first
                    return parsed
        raise ValueError(f"{name!r} is not the name of a CERES GEO file")

    @property
    def path(self) -> str:
        """Folder and name below the edition's folder."""
        return f"{day_folder(f'{self.platform}_{self.version}', self.time.date())}/{self}"


def day_folder(version_folder: str, day: date) -> str:
    """Where the archive keeps the files of a day."""
    return f"{version_folder}/{day:%Y/%j}"


def version_of_folder(folder: str, platform: str) -> str | None:
    """The version that a folder of the edition holds of a platform, None where it is another's."""
    match = _FOLDER.fullmatch(folder)
    return match["version"] if match and match["platform"] == platform else None
