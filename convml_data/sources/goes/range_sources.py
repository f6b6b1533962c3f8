"""Ways to get a range of a file's bytes: any file system of fsspec, and S3 by a client of less overhead.

A request for a range costs s3fs 0.7 ms of the processor and obstore 0.08 ms, and a scene takes tens to
hundreds of them. obstore is used where it needs no more than what the environment says; whatever else
there is, like profiles of credentials and certificates of one's own, is left to s3fs.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from convml_data.errors import ArchiveUnreachableError, ConvmlError, SceneError
from convml_data.sources.goes.archive import CONNECT_TIMEOUT_S, is_public, open_filesystem, s3_endpoint
from convml_data.sources.goes.parts import Span
from convml_data.sources.outages import archive_error

if TYPE_CHECKING:
    import fsspec
    from typing_extensions import Buffer

#: What passes by itself is tried again after these seconds.
_PAUSES_S = (0.2, 1.0)

#: A request is given up, and tried again, when nothing comes for so long, however long all of it takes:
#: on slow links the tens of megabytes that are asked for at once take minutes.
_SILENCE = timedelta(seconds=10)
_LONGEST_REQUEST = timedelta(hours=1)

#: What servers answer where the file has nothing of a range, in the words of obstore and s3fs.
_BEYOND_THE_END = re.compile("range (is )?not satisfiable", re.IGNORECASE)

#: Where the public buckets are.
_PUBLIC_REGION = "us-east-1"


class RangeSource(Protocol):
    """A file of which ranges can be had; calls from several threads at once are fine."""

    @property
    def url(self) -> str:
        """Of the file."""

    def get(self, span: Span) -> Buffer:
        """What the file holds there, as the archive answers, which may be less or more.

        Raises
        ------
        ArchiveError
            The archive cannot be reached or refuses.
        SceneError
            The file is gone.
        """

    def size(self) -> int | None:
        """Bytes that the file has now, None where that cannot be found out."""


def open_ranges(url: str) -> RangeSource:
    """The file of a URL.

    Raises
    ------
    ArchiveError
        The URL is of no known kind, or the package that reads its kind is not installed.
    """
    filesystem, path = open_filesystem(url)
    through_fsspec = FsspecRanges(filesystem, path)
    protocol, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    options = _obstore_options(bucket, os.environ) if protocol == "s3" else None
    return through_fsspec if options is None else S3Ranges(through_fsspec, bucket, key, options)


@dataclass(frozen=True)
class FsspecRanges:
    """A file on a file system of fsspec."""

    filesystem: fsspec.AbstractFileSystem
    path: str

    @property
    def url(self) -> str:
        """See :class:`RangeSource`."""
        return str(self.filesystem.unstrip_protocol(self.path))

    def get(self, span: Span) -> Buffer:
        """See :class:`RangeSource`."""
        # s3fs tries again by itself.
        for pause in () if hasattr(self.filesystem, "retries") else _PAUSES_S:
            try:
                return self._answer(span)
            except ArchiveUnreachableError:
                time.sleep(pause)
        return self._answer(span)

    def size(self) -> int | None:
        """See :class:`RangeSource`."""
        try:
            size: int | None = self.filesystem.size(self.path)
        except Exception:  # whatever the client library raises; there is an error already that says more
            return None
        return size

    def _answer(self, span: Span) -> bytes:
        try:
            return bytes(self.filesystem.cat_file(self.path, start=span.start, end=span.stop))
        except Exception as error:  # whatever the client library of the file system raises
            if _lies_beyond_the_end(error):
                return b""
            raise _explained(error, self.url) from error


@dataclass(frozen=True)
class S3Ranges:
    """A file in a bucket, whose ranges come through obstore, which tries again by itself."""

    through_fsspec: FsspecRanges
    bucket: str
    key: str
    options: tuple[tuple[str, Any], ...]

    @property
    def url(self) -> str:
        """See :class:`RangeSource`."""
        return self.through_fsspec.url

    def get(self, span: Span) -> Buffer:
        """See :class:`RangeSource`."""
        import obstore

        try:
            return obstore.get_range(_store(self.bucket, self.options), self.key, start=span.start, end=span.stop)
        except Exception as error:  # obstore's own, of which some have no class of their own
            if _lies_beyond_the_end(error):
                return b""
            raise _explained(error, self.url) from error

    def size(self) -> int | None:
        """See :class:`RangeSource`."""
        return self.through_fsspec.size()


def _lies_beyond_the_end(error: Exception) -> bool:
    """Whether a file is shorter than what was asked for, as one is that was replaced since it was listed."""
    return getattr(error, "status", None) == 416 or _BEYOND_THE_END.search(str(error)) is not None


def _explained(error: Exception, url: str) -> ConvmlError:
    if isinstance(error, FileNotFoundError):
        return SceneError(
            "the file is no longer there",
            where=url,
            remedy="Run `convml-data scene-ids` again to list what the archive holds now",
        )
    what = next(iter(str(error).splitlines()), "")  # obstore says more below, for its developers
    return archive_error(error)(
        f"the file cannot be read ({type(error).__name__}: {what})",
        where=url,
        remedy="Check the network and the permission to read, and run it again",
    )


def _obstore_options(bucket: str, environ: Mapping[str, str]) -> tuple[tuple[str, Any], ...] | None:
    """How obstore reads a bucket, None where that is left to s3fs."""
    endpoint = s3_endpoint(environ)
    if environ.get("AWS_CA_BUNDLE") and not (endpoint or "").startswith("http://"):
        return None
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if is_public(bucket, environ):
        return (("region", _PUBLIC_REGION), ("skip_signature", True))
    if environ.get("AWS_PROFILE") or (endpoint is None and region is None):
        return None
    options: dict[str, Any] = {"region": region or _PUBLIC_REGION}
    if endpoint is not None:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if environ.get("AWS_ACCESS_KEY_ID"):
        options |= {"access_key_id": environ["AWS_ACCESS_KEY_ID"]}
        options |= {"secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY", "")}
        if environ.get("AWS_SESSION_TOKEN"):
            options |= {"session_token": environ["AWS_SESSION_TOKEN"]}
    else:
        options |= {"skip_signature": True}
    return tuple(options.items())


@lru_cache(16)
def _store(bucket: str, options: tuple[tuple[str, Any], ...]) -> Any:
    from obstore.store import S3Store

    # Six tries within twenty seconds, as listings have.
    return S3Store(
        bucket,
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
            "read_timeout": _SILENCE,
            "timeout": _LONGEST_REQUEST,  # otherwise 30 s
        },
        retry_config={
            "max_retries": 5,
            "retry_timeout": timedelta(seconds=20),
            "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
        },
        **dict(options),
    )
