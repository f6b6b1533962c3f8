"""A file in an archive, of which only the parts that are asked for are fetched."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING

from convml_data.errors import ArchiveError, SceneError

if TYPE_CHECKING:
    import fsspec
    from typing_extensions import Buffer

#: Bytes of a block. A truecolor window of 200 km in full-disk files takes 33 requests and 8 MB with
#: blocks of 256 KiB, 46 and 3 MB with 64 KiB, 24 and 22 MB with 1 MiB: at 30 ms a request and
#: 50 MB/s that is 1.2, 1.5 and 1.2 s.
BLOCK_SIZE = 1 << 18
#: Blocks that a file keeps, so that memory stays bounded by 16 MiB a file.
BLOCKS_KEPT = 64


class RangeFile(io.RawIOBase):
    """A read-only, seekable view of a file on any fsspec file system.

    Bytes are fetched in whole blocks, neighbouring blocks in one request. An answer of another
    length than was asked for raises and never becomes data.

    h5py may tell of anything when a file that it reads from raises; :meth:`take_failure` has the cause.

    Parameters
    ----------
    filesystem
        Where the file lies.
    path
        Of the file there.
    size
        Bytes that the file has according to the archive's listing.
    """

    def __init__(
        self,
        filesystem: fsspec.AbstractFileSystem,
        path: str,
        size: int,
        *,
        block_size: int = BLOCK_SIZE,
        blocks_kept: int = BLOCKS_KEPT,
    ) -> None:
        super().__init__()
        self.url: str = filesystem.unstrip_protocol(path)
        self.size = size
        self.bytes_fetched = 0
        self.requests = 0
        self._failure: ArchiveError | SceneError | None = None
        self._filesystem = filesystem
        self._path = path
        self._block_size = block_size
        self._blocks_kept = blocks_kept
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
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
        ArchiveError
            The archive cannot be reached or refuses.
        SceneError
            The file is gone, or shorter than its size says.
        """
        view = memoryview(buffer).cast("B")
        start, stop = self._position, min(self._position + len(view), self.size)
        if stop <= start:
            return 0
        first, last = start // self._block_size, (stop - 1) // self._block_size
        # Blocks of this read are held here, since a read may be larger than what is kept.
        blocks = self._blocks_from(first, last)
        for number, block in zip(range(first, last + 1), blocks, strict=True):
            offset = number * self._block_size
            low, high = max(start, offset), min(stop, offset + len(block))
            view[low - start : high - start] = block[low - offset : high - offset]
        self._position = stop
        return stop - start

    def take_failure(self) -> ArchiveError | SceneError | None:
        """The first error since the last call, None where there was none.

        It is not kept: with its traceback it would hold on to this file and, in a cycle, to the HDF5
        objects that read from it. Those need h5py's lock to go away, and the garbage collector may meet
        them in the very thread that a holder of the lock waits for.
        """
        failure, self._failure = self._failure, None
        return failure

    def _blocks_from(self, first: int, last: int) -> list[bytes]:
        held = {n: self._blocks[n] for n in range(first, last + 1) if n in self._blocks}
        missing = [n for n in range(first, last + 1) if n not in held]
        if missing:
            # One request up to the last missing block: a second one costs more than a few blocks.
            start, stop = missing[0], missing[-1] + 1
            data = self._fetch(start * self._block_size, min(stop * self._block_size, self.size))
            for n in range(start, stop):
                offset = (n - start) * self._block_size
                held[n] = data[offset : offset + self._block_size]
        for n, block in held.items():
            self._blocks[n] = block
            self._blocks.move_to_end(n)
        while len(self._blocks) > self._blocks_kept:
            self._blocks.popitem(last=False)
        return [held[n] for n in range(first, last + 1)]

    def _fetch(self, start: int, stop: int) -> bytes:
        try:
            data = bytes(self._filesystem.cat_file(self._path, start=start, end=stop))
        except FileNotFoundError:
            raise self._failed(
                SceneError(
                    "the file is no longer there",
                    where=self.url,
                    remedy="Run `convml-data scene-ids` again to list what the archive holds now",
                )
            ) from None
        except Exception as error:  # whatever the client library of the file system raises
            raise self._failed(
                ArchiveError(
                    f"bytes {start} to {stop} cannot be read ({type(error).__name__}: {error})",
                    where=self.url,
                    remedy="Check the network and the permission to read, and run it again",
                )
            ) from error
        self.requests += 1
        self.bytes_fetched += len(data)
        if len(data) != stop - start:
            raise self._failed(
                SceneError(
                    f"the file ends early: {len(data)} bytes came where {stop - start} were asked for "
                    f"at byte {start}, of {self.size} bytes in the listing",
                    where=self.url,
                    remedy="Run `convml-data scene-ids` again if the archive has replaced the file since; "
                    "delete and fetch it again if it is an incomplete copy",
                )
            )
        return data

    def _failed(self, error: ArchiveError | SceneError) -> ArchiveError | SceneError:
        self._failure = self._failure or error
        return error
