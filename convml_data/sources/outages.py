"""Which errors of archives pass by themselves, so that trying again later is worth it."""

from __future__ import annotations

import errno
import re

from convml_data.errors import ArchiveError, ArchiveUnreachableError

#: Of the network and of servers that ask for less at a time; s3fs has a number for each answer of S3.
_PASSING_NUMBERS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.EIO,
        errno.ENETUNREACH,
        errno.EPIPE,
        getattr(errno, "EREMOTEIO", errno.EIO),
        errno.ETIMEDOUT,
    }
)

#: Classes of client libraries, which need not be installed: botocore's, aiohttp's and that of requests.
_PASSING_CLASSES = frozenset({"ConnectionError", "HTTPClientError", "ClientConnectionError", "ClientPayloadError"})

#: obstore has one class for errors of the network and answers that are not foreseen, whose status is in the text.
_UNFORESEEN_CLASS = "GenericError"
_LASTING_STATUS = re.compile(r"status code: 4(?!29)")

#: What a server answers that is busy or about to be there again.
PASSING_STATUSES = (429, 500, 502, 503, 504)


def archive_error(error: Exception) -> type[ArchiveError]:
    """What to raise for an error that reading or listing an archive met, whichever library raised it."""
    passing = isinstance(error, (ConnectionError, TimeoutError)) or (
        isinstance(error, OSError) and error.errno in _PASSING_NUMBERS
    )
    named = any(kind.__name__ in _PASSING_CLASSES for kind in type(error).__mro__)
    if type(error).__name__ == _UNFORESEEN_CLASS:
        named = not _LASTING_STATUS.search(str(error))
    return ArchiveUnreachableError if passing or named else ArchiveError
