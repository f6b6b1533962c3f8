"""Where the archive of CERES GEO files lies and which times it holds.

An archive is the edition's folder: a folder for each platform and version, and below it one for each
year and day (:mod:`~.names`). It is a web server's pages, a folder of this machine or a bucket.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import fsspec

from convml_data.errors import ArchiveError
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.sources.base import Interval
from convml_data.sources.ceres.folders import Folders, open_folders
from convml_data.sources.ceres.names import CeresFileName, day_folder, version_of_folder
from convml_data.sources.ceres.products import PLATFORMS

#: Overrides the public archive.
ARCHIVE_VARIABLE = "CONVML_CERES_ARCHIVE"

#: Of the Atmospheric Science Data Center at NASA Langley.
PUBLIC_ARCHIVE = "https://asdc.larc.nasa.gov/data/CERES/GEO/Edition4"

#: What a scan needs: the one file of its time.
FILE = "file"

#: A listing waits for the server nearly all the time; more at once would be impolite to a public one.
_LISTINGS_AT_ONCE = 8

_REMEDY = f"Check `archive:` in meta.yaml or the environment variable {ARCHIVE_VARIABLE}"


def archive_url(configured: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the archive.

    Parameters
    ----------
    configured
        What ``meta.yaml`` says, a URL or a path; None where it says nothing.
    environ
        Environment variables; ``CONVML_CERES_ARCHIVE`` counts where nothing is configured.

    Returns
    -------
    str
        The public archive where neither is given. Paths become absolute ``file://`` URLs.
    """
    url = configured or environ.get(ARCHIVE_VARIABLE) or PUBLIC_ARCHIVE
    protocol, path = fsspec.core.split_protocol(url)
    if protocol in (None, "file", "local"):
        return str(fsspec.filesystem("file").unstrip_protocol(path))
    return url.rstrip("/")


def list_scans(url: str, satellite: str, intervals: Sequence[Interval]) -> list[Scan]:
    """All times in the intervals, their ends included, at which the archive has a file, in order.

    Of a time that was processed repeatedly the latest version counts, and of that the file with the
    finest pixels.

    Parameters
    ----------
    url
        Of the archive.
    satellite
        ``goes16n`` or ``meteosat9n``.
    intervals
        Every day that they touch is listed, once. Days without a folder are gaps in the data.

    Returns
    -------
    list of Scan
        Start and end are the time that the file's name gives. Empty files carry the reason. A file's version
        is the time of its last change or a tag of its content, where the archive tells either.

    Raises
    ------
    ArchiveError
        The archive cannot be reached, wants a login that there is not, does not exist or holds nothing
        of the satellite.
    """
    folders = open_folders(url)
    days = sorted({day for interval in intervals for day in _days(interval)})
    paths = [day_folder(folder, day) for folder in _version_folders(folders, url, satellite) for day in days]
    with ThreadPoolExecutor(_LISTINGS_AT_ONCE) as threads:
        listings = list(threads.map(folders.list, [f"{url}/{path}" for path in paths]))

    best: dict[datetime, tuple[CeresFileName, SourceFile]] = {}
    for name, file in sorted(_ceres_files(listings, satellite), key=lambda item: _rank(item[0])):
        if any(name.time in interval for interval in intervals):
            best[name.time] = (name, file)
    chosen = [best[time] for time in sorted(best)]
    with ThreadPoolExecutor(_LISTINGS_AT_ONCE) as threads:
        files = list(threads.map(folders.with_version, [file for _, file in chosen]))
    return [_scan(satellite, name, file) for (name, _), file in zip(chosen, files, strict=True)]


def _version_folders(folders: Folders, url: str, satellite: str) -> list[str]:
    # Day folders that are absent are gaps; without this a mistyped archive would be nothing but gaps.
    entries = folders.list(url)
    if entries is None:
        raise ArchiveError("this archive does not exist", where=url, remedy=_REMEDY)
    platform = PLATFORMS[satellite]
    found = sorted(name for name in entries if version_of_folder(name, platform))
    if not found:
        raise ArchiveError(
            f"the archive has no folder {platform}_V…, which {satellite} has its files in",
            where=url,
            remedy=f"{_REMEDY}; it names the folder that holds {platform}_V01.2",
        )
    return found


def _days(interval: Interval) -> Iterator[date]:
    first = interval.start.date()
    for number in range((interval.end.date() - first).days + 1):
        yield first + timedelta(days=number)


def _ceres_files(
    listings: Sequence[Mapping[str, SourceFile] | None], satellite: str
) -> Iterator[tuple[CeresFileName, SourceFile]]:
    for entries in listings:
        for text, file in (entries or {}).items():
            try:
                name = CeresFileName.parse(text)
            except ValueError:
                continue
            if name.platform == PLATFORMS[satellite]:
                yield name, file


def _rank(name: CeresFileName) -> tuple[str, int]:
    """Versions of one time from the earliest and coarsest to the latest and finest."""
    return name.version, -name.spacing_km


def _scan(satellite: str, name: CeresFileName, file: SourceFile) -> Scan:
    reason = f"the file is an empty object (0 bytes): {name}" if file.size == 0 else None
    return Scan(name.time, name.time, satellite, None, {FILE: file}, reason)
