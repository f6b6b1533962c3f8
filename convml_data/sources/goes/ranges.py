"""A file in an archive, of which only the parts that are asked for are fetched."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from convml_data.errors import SceneError
from convml_data.sources.outages import archive_error

if TYPE_CHECKING:
    import fsspec
    from typing_extensions import Buffer

#: Bytes of a block. In a full-disk file of channel 2, a window of 200 km touches 16 blocks of this size
#: (1.0 MB for 0.45 MB of chunks) and one of 1000 x 3000 km 265 (17 MB for 15 MB); with blocks of 256 KiB it is
#: 8 (2.1 MB) and 87 (23 MB). Since blocks are fetched together, their number costs less than their bytes.
BLOCK_SIZE = 1 << 16


class NotFetchedError(OSError):
    """A read met a block that is not there yet; it is known now and comes with the next fetch."""


class RangeFile(io.RawIOBase):
    """A read-only, seekable view of a file on any fsspec file system.

    Reading and fetching are apart: a read of what has not been fetched raises, and is tried again after
    :meth:`fetch_missing`. So no reader waits for the network inside the HDF5 library, whose lock is
    one for the whole process: the garbage collector may need it in the very thread that would bring the
    bytes, and everything would stand still. It also lets many reads find out what they lack before
    all of it is fetched at once.

    Parameters
    ----------
    filesystem
        Where the file lies.
    path
        Of the file there.
    size
        Bytes that the file has according to the archive's listing.
    block_size
        Bytes that are fetched together.

    Attributes
    ----------
    misses
        Reads that have raised :class:`NotFetchedError` so far. A library that swallows errors shows by
        it that what it says rests on less than the file.
    bytes_fetched, requests
        So far.
    """

    def __init__(
        self, filesystem: fsspec.AbstractFileSystem, path: str, size: int, block_size: int = BLOCK_SIZE
    ) -> None:
        super().__init__()
        self.url: str = filesystem.unstrip_protocol(path)
        self.size = size
        self.misses = 0
        self.bytes_fetched = 0
        self.requests = 0
        self._filesystem = filesystem
        self._path = path
        self._block_size = block_size
        self._blocks: dict[int, bytes] = {}
        self._missing: set[int] = set()
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
        numbers = range(start // self._block_size, (stop - 1) // self._block_size + 1)
        absent = [number for number in numbers if number not in self._blocks]
        if absent:
            self._missing.update(absent)
            self.misses += 1
            raise NotFetchedError(f"bytes {start} to {stop} of {self.url} have not been fetched")
        for number in numbers:
            offset, block = number * self._block_size, self._blocks[number]
            low, high = max(start, offset), min(stop, offset + len(block))
            view[low - start : high - start] = block[low - offset : high - offset]
        self._position = stop
        return stop - start

    def want_ends(self) -> None:
        """Let the next fetch bring the first block and the last two, which hold most of a file's metadata."""
        last = max(self.size - 1, 0) // self._block_size
        self._missing.update({0, max(last - 1, 0), last} - self._blocks.keys())

    def fetch_missing(self) -> None:
        """Fetch what reads have met and not found, neighbouring blocks in one request, all at once.

        Raises
        ------
        ArchiveError
            The archive cannot be reached or refuses.
        SceneError
            The file is gone, or an answer is not as long as what was asked for.
        """
        runs = _runs(self._missing)
        self._missing.clear()
        starts = [run.start * self._block_size for run in runs]
        stops = [min(run.stop * self._block_size, self.size) for run in runs]
        for start, stop, data in zip(starts, stops, self._fetch(starts, stops), strict=True):
            self.requests += 1
            self.bytes_fetched += len(data)
            if len(data) != stop - start:
                raise SceneError(
                    f"the file ends early: {len(data)} bytes came where {stop - start} were asked for "
                    f"at byte {start}, of {self.size} bytes in the listing",
                    where=self.url,
                    remedy="Run `convml-data scene-ids` again if the archive has replaced the file since; "
                    "delete and fetch it again if it is an incomplete copy",
                )
            for offset in range(0, len(data), self._block_size):
                number = (start + offset) // self._block_size
                self._blocks[number] = data[offset : offset + self._block_size]

    def forget(self) -> None:
        """Let go of all blocks."""
        self._blocks.clear()

    def _fetch(self, starts: list[int], stops: list[int]) -> list[bytes]:
        try:
            return [
                bytes(answer)
                for answer in self._filesystem.cat_ranges([self._path] * len(starts), starts, stops, on_error="raise")
            ]
        except FileNotFoundError:
            raise SceneError(
                "the file is no longer there",
                where=self.url,
                remedy="Run `convml-data scene-ids` again to list what the archive holds now",
            ) from None
        except Exception as error:  # whatever the client library of the file system raises
            raise archive_error(error)(
                f"the file cannot be read ({type(error).__name__}: {error})",
                where=self.url,
                remedy="Check the network and the permission to read, and run it again",
            ) from error


def _runs(numbers: Iterable[int]) -> list[range]:
    """Runs of consecutive numbers."""
    runs: list[range] = []
    for number in sorted(numbers):
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs
