"""A file in an archive, of which only the parts that are asked for are fetched."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

from convml_data.errors import ArchiveError, SceneError
from convml_data.sources.goes.parts import Parts, Span, merged
from convml_data.sources.goes.range_sources import RangeSource

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Bytes at the head and at the tail of a file that are fetched first: they hold nearly all of an ABI file's metadata.
HEAD, TAIL = 1 << 15, 1 << 16

#: Metadata that lie elsewhere are fetched with what surrounds them, in pages of this many bytes.
PAGE = 1 << 14

#: Ranges with no more than this between them are fetched in one request. On links of tens of milliseconds and
#: tens of MB/s that is as quick as any smaller gap, saves a twelfth of the requests, and costs 4 % more bytes at most.
GAP = 3 << 15

#: The longest range of one request, so that what is broken off and asked for again is bounded, and so that
#: what has come can be worked on while the rest is on its way.
LONGEST = 4 << 20

#: Requests of a process at the same time. Its threads are kept: starting those of a small scene would take as long as
#: all of its pixels.
AT_ONCE = 48


def as_requests(spans: Iterable[Span]) -> list[Span]:
    """Spans of a file as they are asked for: those close to each other together, as far as that is not too long."""
    return merged(spans, GAP, LONGEST)


@lru_cache(1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Those of a process, which one that it is copied to does not have."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ranges")


class NotFetchedError(OSError):
    """A read met what is not there yet; it is known now and comes with the next fetch."""


class RangeFile(io.RawIOBase):
    """A read-only, seekable view of a file in an archive.

    Reading and fetching are apart: a read of what has not been fetched raises, and is tried again after
    :meth:`fetch_missing`. So no reader waits for the network inside the HDF5 library, whose lock is
    one for the whole process: the garbage collector may need it in the very thread that would bring the
    bytes, and everything would stand still. It also lets many reads find out what they lack before
    all of it is fetched at once.

    Parameters
    ----------
    source
        Gives ranges of the file.
    size
        Bytes that the file has according to the archive's listing.
    known
        Parts of the file that are known already.

    Attributes
    ----------
    misses
        Reads that have raised :class:`NotFetchedError` so far. A library that swallows errors shows by
        it that what it says rests on less than the file.
    bytes_fetched, requests
        So far.
    """

    def __init__(self, source: RangeSource, size: int, known: Parts | None = None) -> None:
        super().__init__()
        self.url = source.url
        self.size = size
        self.misses = 0
        self.bytes_fetched = 0
        self.requests = 0
        self._source = source
        self._parts = Parts(known or ())
        self._read: list[Span] = []
        self._missing: list[Span] = []
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read starts, bytes from the start of the file."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the start, the position or the end of the file."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Fill ``buffer`` from the position on; fewer bytes come back only at the end of the file.

        Raises
        ------
        NotFetchedError
            Some of it has not been fetched.
        """
        view = memoryview(buffer).cast("B")
        start, stop = self._position, min(self._position + len(view), self.size)
        if stop <= start:
            return 0
        view[: stop - start] = self.part(Span(start, stop))
        self._position = stop
        return stop - start

    def part(self, span: Span) -> bytes:
        """The bytes of a span inside the file.

        Raises
        ------
        NotFetchedError
            Some of it has not been fetched.
        ValueError
            It reaches beyond the end, so that fetching would never help.
        """
        if span.stop > self.size:
            raise ValueError(f"bytes {span.start} to {span.stop} lie beyond the end of the file")
        content = self._parts.get(span)
        if content is None:
            self._missing.append(span)
            self.misses += 1
            raise NotFetchedError(f"bytes {span.start} to {span.stop} of {self.url} have not been fetched")
        self._read.append(span)
        return content

    @property
    def parts_read(self) -> Parts:
        """What has been read by :meth:`readinto` and :meth:`part`, which is less than what has been fetched."""
        return self._parts.only(self._read)

    @property
    def bytes_read(self) -> int:
        """How much that is; each byte counts once, however often it was read."""
        return sum(span.length for span in merged(self._read))

    def fetch_ends(self) -> None:
        """Fetch the head and the tail of the file; see :meth:`fetch_missing` for what is raised."""
        head, tail = Span(0, min(HEAD, self.size)), Span(max(self.size - TAIL, 0), self.size)
        self._keep(merged([head, tail]))

    def fetch_missing(self, page: int = PAGE) -> None:
        """Fetch what reads have met and not found, all at once.

        Parameters
        ----------
        page
            What is around it comes too: from one page of so many bytes before it to one after it.

        Raises
        ------
        ArchiveError
            The archive cannot be reached or refuses.
        SceneError
            The file is gone, or an answer is not as long as what was asked for.
        """
        missing, self._missing = self._missing, []
        self._keep(
            merged(
                (
                    Span(max(span.start // page - 1, 0) * page, min((-(-span.stop // page) + 1) * page, self.size))
                    for span in missing
                ),
                GAP,
            )
        )

    def require(self, spans: Iterable[Span]) -> None:
        """Fetch what is not known of some spans, all at once; see :meth:`fetch_missing` for what is raised."""
        self._keep(merged((span for span in spans if self._parts.get(span) is None), GAP))

    def fetch(self, spans: Sequence[Span], use: Callable[[Span, memoryview], None]) -> None:
        """Fetch spans, several at a time, and hand over each as it comes; nothing of them is kept.

        Parameters
        ----------
        spans
            Each is one request.
        use
            Is called in several threads at once.
        """

        def fetch_and_use(span: Span) -> None:
            use(span, self._fetched(span))

        if len(spans) == 1:
            fetch_and_use(spans[0])
        elif spans:
            list(_threads(os.getpid()).map(fetch_and_use, spans))
        self.requests += len(spans)
        self.bytes_fetched += sum(span.length for span in spans)

    def forget(self) -> None:
        """Let go of all that is known."""
        self._parts = Parts()
        self._read.clear()

    def _keep(self, spans: Sequence[Span]) -> None:
        contents: dict[Span, memoryview] = {}
        self.fetch(spans, contents.__setitem__)
        for span, content in contents.items():
            self._parts.add(span.start, bytes(content))

    def _fetched(self, span: Span) -> memoryview:
        content = memoryview(self._source.get(span)).cast("B")
        if len(content) == self.size > span.length:
            raise ArchiveError(
                "the server answers with the whole file where a range of it was asked for",
                where=self.url,
                remedy="Use an archive whose server understands HTTP range requests, as S3 and all common servers do",
            )
        if len(content) != span.length:
            raise SceneError(
                f"the file ends early: {len(content)} bytes came where {span.length} were asked for "
                f"at byte {span.start}, of {self.size} bytes in the listing",
                where=self.url,
                remedy="Run `convml-data scene-ids` again if the archive has replaced the file since; "
                "delete and fetch it again if it is an incomplete copy",
            )
        return content
