"""Where an archive of ABI files lies and which scans it holds.

An archive is a bucket, or a folder laid out like one: a folder for each level, product and kind of
sector, and below it one for each hour in which scans start (:func:`~.names.hour_folder`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import fsspec

from convml_data.errors import ArchiveError
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.sources.base import Interval
from convml_data.sources.goes.names import AbiFileName, hour_folder
from convml_data.sources.outages import archive_error

#: Overrides the public archive; ``{satellite}`` in it stands for the satellite's name.
ARCHIVE_VARIABLE = "CONVML_GOES_ARCHIVE"

#: Files whose starts lie no further than this after the first one's belong to one scan. The channels
#: of a scan start within a few seconds of each other, and no sector is scanned more often than every
#: 30 s (mesoscale; GOES-R Series Data Book, chapter on the ABI).
SAME_SCAN = timedelta(seconds=10)

_HOUR = timedelta(hours=1)
_PUBLIC_BUCKET = re.compile(r"noaa-goes\d\d")

#: A listing waits for the network nearly all the time, so there may be more than there are cores.
_LISTINGS_AT_ONCE = 16

#: Seconds after which a server that does not answer at all counts as away.
CONNECT_TIMEOUT_S = 3

# botocore retries what the server or the connection refuses, and s3fs, around it, what breaks off
# half-way; the numbers multiply. An endpoint that cannot be reached is given up after about 20 s.
_BOTOCORE_ATTEMPTS = 3
_S3FS_ATTEMPTS = 2

_REMEDY = f"Check `archive:` in meta.yaml or the environment variable {ARCHIVE_VARIABLE}"


def archive_url(satellite: str, configured: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the archive of a satellite.

    Parameters
    ----------
    satellite
        ``goes16``, …; replaces ``{satellite}`` in what the user gave.
    configured
        What ``meta.yaml`` says, a URL or a path; None where it says nothing.
    environ
        Environment variables; ``CONVML_GOES_ARCHIVE`` counts where nothing is configured.

    Returns
    -------
    str
        The public bucket where neither is given. Paths become absolute ``file://`` URLs.
    """
    given = configured or environ.get(ARCHIVE_VARIABLE) or "s3://noaa-{satellite}"
    url = given.replace("{satellite}", satellite)
    protocol, path = fsspec.core.split_protocol(url)
    if protocol in (None, "file", "local"):
        url = fsspec.filesystem("file").unstrip_protocol(path)
    return str(url)


def open_filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of an archive or of a file in it, and the path of ``url`` there.

    The public buckets are read anonymously, so that credentials meant for something else do no harm.
    Other buckets, and any bucket of an endpoint of one's own (``AWS_ENDPOINT_URL``), are read with
    the credentials that ``AWS_ACCESS_KEY_ID`` or ``AWS_PROFILE`` announce, anonymously without them.
    Listings are never taken from a cache.

    Raises
    ------
    ArchiveError
        The URL is of no known kind, or the package that reads its kind is not installed.
    """
    protocol, path = fsspec.core.split_protocol(url)
    options = _s3_options(path.partition("/")[0], os.environ) if protocol == "s3" else {}
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise ArchiveError(
            f"{protocol}:// cannot be read ({error})",
            where=url,
            remedy="Install s3fs with `pip install 'convml-data[s3]'`"
            if protocol == "s3"
            else "Use an s3://, https:// or file:// URL or a path",
        ) from error
    if protocol == "s3":
        filesystem.retries = _S3FS_ATTEMPTS  # no parameter of its constructor
    return filesystem, path


def list_scans(
    url: str,
    satellite: str,
    level: str,
    product: str,
    sector: str,
    channels: Sequence[int],
    spans: Sequence[Interval],
) -> list[Scan]:
    """All scans of a sector that start in or near the spans, by start time.

    Parameters
    ----------
    url
        Of the archive.
    satellite, level, product, sector
        As in :class:`~.names.AbiFileName`; files of others are passed over.
    channels
        Those that a scene needs; none for a product that is of no single channel, whose file is then
        named after the product.
    spans
        Every hour that they touch is listed, once.

    Returns
    -------
    list of Scan
        Start and end are those over all channels in the archive, so they do not depend on the ones
        that are wanted. Of a channel that was processed repeatedly the latest file counts. Scans in
        which a channel is missing or empty carry the reason.

    Raises
    ------
    ArchiveError
        The archive cannot be reached, does not exist or holds nothing of the product.
    """
    filesystem, root = open_filesystem(url)
    hours = set().union(*(_hours_around(span.start, span.end) for span in spans))
    folders = [hour_folder(level, product, sector, hour) for hour in sorted(hours)]
    for product_folder in {folder.partition("/")[0] for folder in folders}:
        _require_folder(filesystem, root, product_folder)
    with ThreadPoolExecutor(_LISTINGS_AT_ONCE) as threads:
        listings = list(threads.map(partial(_list_folder, filesystem), [f"{root}/{f}" for f in folders]))

    files = []
    for entry in (entry for listing in listings for entry in listing or ()):
        try:
            name = AbiFileName.parse(entry["name"].rpartition("/")[2])
        except ValueError:
            continue
        if (name.satellite, name.level, name.product, name.sector) == (satellite, level, product, sector):
            files.append(_AbiFile(name, SourceFile(filesystem.unstrip_protocol(entry["name"]), entry["size"])))

    wanted = [str(channel) for channel in dict.fromkeys(channels)] or [product]
    files = _with_sizes(filesystem, files, wanted)
    scans = [_scan_of(group, wanted) for group in _group_by_scan(files)]
    # A scan at the edge of what was listed may have files beyond it. None of the spans holds one.
    return [scan for scan in scans if _hours_around(scan.start, scan.start) <= hours]


class _AbiFile(NamedTuple):
    name: AbiFileName
    file: SourceFile

    @property
    def key(self) -> str:
        return self.name.product if self.name.channel is None else str(self.name.channel)


def s3_endpoint(environ: Mapping[str, str]) -> str | None:
    """The URL of an S3 server of one's own, None for Amazon's."""
    return environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None


def is_public(bucket: str, environ: Mapping[str, str]) -> bool:
    """Whether a bucket is one of the public ones."""
    return s3_endpoint(environ) is None and _PUBLIC_BUCKET.fullmatch(bucket) is not None


def _s3_options(bucket: str, environ: Mapping[str, str]) -> dict[str, Any]:
    credentials = bool(environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_PROFILE"))
    return {
        "anon": is_public(bucket, environ) or not credentials,
        "endpoint_url": s3_endpoint(environ),
        "use_listings_cache": False,
        "config_kwargs": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "max_pool_connections": 2 * _LISTINGS_AT_ONCE,
            "retries": {"mode": "standard", "max_attempts": _BOTOCORE_ATTEMPTS},
        },
    }


def _hours_around(start: datetime, end: datetime) -> set[datetime]:
    """Full hours in which files of the scans that start from ``start`` to ``end`` may start."""
    first = (start - SAME_SCAN).replace(minute=0, second=0, microsecond=0)
    return {first + i * _HOUR for i in range((end + SAME_SCAN - first) // _HOUR + 1)}


def _require_folder(filesystem: fsspec.AbstractFileSystem, root: str, folder: str) -> None:
    # Hour folders that are absent are gaps in the data; without this a mistyped archive would be one.
    if _list_folder(filesystem, f"{root}/{folder}") is not None:
        return
    url = filesystem.unstrip_protocol(root)
    if _list_folder(filesystem, root) is None:
        raise ArchiveError("this archive does not exist", where=url, remedy=_REMEDY)
    raise ArchiveError(
        f"the archive has no folder {folder}",
        where=url,
        remedy=f"{_REMEDY}, and whether it holds this product and sector",
    )


def _list_folder(filesystem: fsspec.AbstractFileSystem, folder: str) -> list[dict[str, Any]] | None:
    """What is in a folder, None where there is no such folder."""
    try:
        return list(filesystem.ls(folder, detail=True))
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever the client library of the file system raises
        raise archive_error(error)(
            f"the archive cannot be listed ({type(error).__name__}: {error})",
            where=filesystem.unstrip_protocol(folder),
            remedy=f"{_REMEDY}, the network and the permission to list",
        ) from error


def _with_sizes(
    filesystem: fsspec.AbstractFileSystem, files: Sequence[_AbiFile], wanted: Sequence[str]
) -> list[_AbiFile]:
    """Ask for the sizes of the wanted files that a listing does not give, as those of web servers do not."""
    urls = [item.file.url for item in files if item.file.size is None and item.key in wanted]
    try:
        sizes = dict(zip(urls, filesystem.sizes(urls), strict=True)) if urls else {}
    except Exception as error:  # whatever the client library of the file system raises
        raise archive_error(error)(
            f"the archive does not tell the sizes of its files ({type(error).__name__}: {error})",
            where=urls[0],
            remedy=f"{_REMEDY} and the network",
        ) from error
    return [
        item._replace(
            file=replace(item.file, size=item.file.size if item.file.size is not None else sizes.get(item.file.url, 0))
        )
        for item in files
    ]


def _group_by_scan(files: Iterable[_AbiFile]) -> Iterator[list[_AbiFile]]:
    group: list[_AbiFile] = []
    for file in sorted(files, key=lambda file: (file.name.start, file.file.url)):
        if group and file.name.start - group[0].name.start > SAME_SCAN:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _scan_of(group: Sequence[_AbiFile], wanted: Sequence[str]) -> Scan:
    latest = {item.key: item.file for item in sorted(group, key=lambda item: item.name.created)}
    files = {key: latest[key] for key in wanted if key in latest}
    return Scan(
        start=group[0].name.start,
        end=max(item.name.end for item in group),
        satellite=group[0].name.satellite,
        mode=group[0].name.mode,
        files=files,
        reason=_reason(files, wanted),
    )


def _reason(files: Mapping[str, SourceFile], wanted: Sequence[str]) -> str | None:
    missing = [key for key in wanted if key not in files]
    if missing:
        return f"missing channel{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
    empty = [
        f"{f'channel {key}' if key.isdecimal() else key} is an empty object (0 bytes): {file.url.rpartition('/')[2]}"
        for key, file in files.items()
        if file.size == 0
    ]
    return "; ".join(empty) or None
