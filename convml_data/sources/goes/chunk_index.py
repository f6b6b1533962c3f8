"""Where the chunks of an image lie in its HDF5 file, from the nodes of the index that lead to them alone.

Asking h5py for the place of a chunk walks the whole index, whose nodes are spread over the file, and
reading chunk by chunk through h5py meets one node at a time under a lock for the whole process. Here all
chunks of a window go down the index together, level by level.

Source: HDF5 File Format Specification Version 3.0, sections III.A.1 (version 1 B-trees, node type 1),
IV.A.1 (object headers) and IV.A.2 (messages 0x0008, data layout, and 0x0010, continuation). Only what the
archives' files have is read; :func:`stored_image` says None to anything else.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from isal.isal_zlib import IsalError

from convml_data.geometry.windows import Window
from convml_data.sources.goes.parts import Span
from convml_data.sources.goes.ranges import RangeFile, as_requests

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Gives the bytes of a span of the file.
Reader = Callable[[Span], bytes]

_UNDEFINED = 2**64 - 1

#: Children of a node: twice the file's constant K, which is 32 unless a file says otherwise.
_CHILDREN = 64
_ENTRY = np.dtype([("size", "<u4"), ("mask", "<u4"), ("offset", "<u8", (3,)), ("child", "<u8")])
_NODE_HEAD = struct.Struct("<4sBBHQQ")
_LAST_KEY = struct.Struct("<II3Q")

#: Bytes of a node of an index of two dimensions.
NODE_SIZE = _NODE_HEAD.size + _CHILDREN * _ENTRY.itemsize + _LAST_KEY.size

_LAYOUT, _CONTINUATION = 0x08, 0x10
_DEFLATE, _SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE


@dataclass(frozen=True)
class StoredImage:
    """How an image is stored.

    Parameters
    ----------
    root
        Address of the index's root, None where no chunk is stored.
    chunk
        Rows and columns of a chunk.
    dtype, fill
        Of the values, and the value of pixels that are not stored.
    filters
        That a chunk passed, in this order: shuffle, deflate.
    """

    root: int | None
    chunk: tuple[int, int]
    dtype: np.dtype[Any]
    fill: Any
    filters: tuple[int, ...]

    def chunks_of(self, window: Window) -> npt.NDArray[np.uint64]:
        """Keys of the chunks that a window touches, ascending."""
        rows, columns = (
            np.arange(first // side * side, last, side, dtype=np.uint64)
            for first, last, side in (
                (window.row0, window.row1, self.chunk[0]),
                (window.col0, window.col1, self.chunk[1]),
            )
        )
        return _keys(rows[:, np.newaxis], columns).ravel()

    def values(self, stored: Buffer, mask: int) -> npt.NDArray[Any]:
        """The values of a chunk.

        Parameters
        ----------
        stored
            Its bytes in the file.
        mask
            Bits of the filters that it did not pass.

        Raises
        ------
        ValueError
            They are not those of a whole chunk, or not those that were written, by their checksum.
        """
        size = self.chunk[0] * self.chunk[1] * self.dtype.itemsize
        data = memoryview(stored)
        for number, code in reversed([*enumerate(self.filters)]):
            if mask >> number & 1:
                continue
            if code == _DEFLATE:
                try:
                    data = memoryview(isal_zlib.decompress(data, bufsize=size))
                except IsalError as error:  # type: ignore[misc]  # the stub says it is an instance
                    raise ValueError(f"a chunk cannot be decompressed ({error})") from error
            else:
                data = memoryview(np.frombuffer(data, np.uint8).reshape(self.dtype.itemsize, -1).T.tobytes())
        if len(data) != size:
            raise ValueError(f"a chunk has {len(data)} bytes instead of {size}")
        return np.frombuffer(data, self.dtype).reshape(self.chunk)


@dataclass(frozen=True, order=True)
class StoredChunk:
    """A chunk in the file: its first pixel, its bytes, and the filters that it did not pass."""

    row: int
    column: int
    span: Span
    mask: int


def stored_image(image: h5py.Dataset, read: Reader) -> StoredImage | None:
    """How an image is stored, None where that is another way than that of the archives' files."""
    filters = tuple(_filters_of(image))
    if image.chunks is None or image.ndim != 2 or filters not in ((), (_DEFLATE,), (_SHUFFLE, _DEFLATE)):
        return None
    parent = image.parent.id
    link = parent.links.get_info(image.name.rpartition("/")[2].encode())
    if link.type != h5py.h5l.TYPE_HARD or image.file.userblock_size:  # so that the address is that in the file
        return None
    layout = next((body for kind, body in _messages(link.u, read) if kind == _LAYOUT), b"")
    # Version 3, chunked, indexed by a version 1 B-tree over the image's two dimensions and the values' bytes.
    if layout[:3] != b"\3\2\3":
        return None
    (root,) = struct.unpack_from("<Q", layout, 3)
    return StoredImage(None if root == _UNDEFINED else root, image.chunks, image.dtype, image.fillvalue, filters)


def find_chunks(images: Mapping[str, StoredImage], window: Window, ranges: RangeFile) -> dict[str, list[StoredChunk]]:
    """Where the chunks under a window lie, by image, fetching the nodes of the indices that lead to them.

    Chunks that are not stored are not in the result.

    Raises
    ------
    ArchiveError, SceneError
        The nodes cannot be fetched.
    ValueError
        An index is damaged.
    """
    wanted = {name: image.chunks_of(window) for name, image in images.items()}
    found: dict[str, list[StoredChunk]] = {name: [] for name in images}
    pending: list[tuple[str, int, int | None]] = [
        (name, image.root, None) for name, image in images.items() if image.root is not None
    ]
    while pending:
        spans = [Span(address, min(address + NODE_SIZE, ranges.size)) for _, address, _ in pending]
        ranges.require(spans)
        children: list[tuple[str, int, int | None]] = []
        for (name, address, expected), span in zip(pending, spans, strict=True):
            level, entries = _chunks_in_node(ranges.part(span), wanted[name], address)
            if expected not in (None, level):
                raise ValueError(f"the node of the chunk index at byte {address} is of level {level}, not {expected}")
            if level == 0:
                found[name] += [_stored_chunk(entry, ranges.size) for entry in entries]
            else:
                children += [(name, int(child), level - 1) for child in entries["child"]]
        pending = children
    return found


def read_chunks(
    images: Mapping[str, StoredImage],
    chunks: Mapping[str, Sequence[StoredChunk]],
    window: Window,
    ranges: RangeFile,
) -> dict[str, npt.NDArray[Any]]:
    """Values of images over a window from chunks of theirs, fill where none is stored.

    Raises
    ------
    ArchiveError, SceneError
        They cannot be fetched.
    ValueError
        A chunk is damaged.
    """
    values = {name: np.full(window.shape, image.fill, image.dtype) for name, image in images.items()}
    by_place = sorted((chunk.span, name, chunk) for name, found in chunks.items() for chunk in found)
    starts = [span.start for span, _, _ in by_place]

    def put(fetched: Span, content: memoryview) -> None:
        first, last = bisect_left(starts, fetched.start), bisect_left(starts, fetched.stop)
        for span, name, chunk in by_place[first:last]:
            stored = content[span.start - fetched.start : span.stop - fetched.start]
            _copy(images[name].values(stored, chunk.mask), chunk, values[name], window)

    ranges.fetch(as_requests(span for span, _, _ in by_place), put)
    return values


def _copy(values: npt.NDArray[Any], chunk: StoredChunk, into: npt.NDArray[Any], window: Window) -> None:
    """Copy what a window shows of a chunk to its place there."""
    height, width = values.shape
    top, bottom = max(chunk.row, window.row0), min(chunk.row + height, window.row1)
    left, right = max(chunk.column, window.col0), min(chunk.column + width, window.col1)
    into[top - window.row0 : bottom - window.row0, left - window.col0 : right - window.col0] = values[
        top - chunk.row : bottom - chunk.row, left - chunk.column : right - chunk.column
    ]


def _chunks_in_node(node: bytes, wanted: npt.NDArray[np.uint64], address: int) -> tuple[int, npt.NDArray[np.void]]:
    """Level of a node, and its entries that are wanted chunks or lead to some."""
    try:
        signature, kind, level, used, _, _ = _NODE_HEAD.unpack_from(node)
        if (signature, kind) != (b"TREE", 1) or used > _CHILDREN:
            raise ValueError(f"there is no node of a chunk index at byte {address}")
        entries = np.frombuffer(node, _ENTRY, used, _NODE_HEAD.size)
        last = _LAST_KEY.unpack_from(node, _NODE_HEAD.size + entries.nbytes)
    except struct.error as error:
        raise ValueError(f"the node of the chunk index at byte {address} is cut off ({error})") from error
    keys = _keys(entries["offset"][:, 0], entries["offset"][:, 1])
    if level > 0:
        ends = np.append(keys[1:], _keys(np.uint64(last[2]), np.uint64(last[3])))
        return level, entries[np.searchsorted(wanted, ends) > np.searchsorted(wanted, keys)]
    return level, entries[np.isin(keys, wanted)]


def _stored_chunk(entry: npt.NDArray[np.void], size: int) -> StoredChunk:
    row, column, _ = map(int, entry["offset"])
    start, stop = int(entry["child"]), int(entry["child"]) + int(entry["size"])
    if stop > size:
        raise ValueError(f"the chunk at row {row}, column {column} lies beyond the end of the file")
    return StoredChunk(row, column, Span(start, stop), int(entry["mask"]))


def _keys(
    rows: npt.NDArray[np.uint64] | np.uint64, columns: npt.NDArray[np.uint64] | np.uint64
) -> npt.NDArray[np.uint64]:
    """One number for the first row and column of a chunk, in the order of the index."""
    return np.asarray(np.left_shift(rows, np.uint64(32)) | columns, np.uint64)


def _filters_of(image: h5py.Dataset) -> Iterator[int]:
    properties = image.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        yield properties.get_filter(number)[0]


def _messages(header: int, read: Reader) -> Iterator[tuple[int, bytes]]:
    """Kind and body of the messages of an object header, of either version, with its continuations."""
    start = read(Span(header, header + 16))
    if start[:4] == b"OHDR":
        flags = start[5]
        width = 1 << (flags & 3)
        body = header + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0) + width
        blocks = [Span(body, body + int.from_bytes(read(Span(body - width, body)), "little"))]
        head, extra, trimmed = struct.Struct("<BH"), 1 + (2 if flags & 4 else 0), (4, 4)
    else:
        (length,) = struct.unpack_from("<I", start, 8)
        blocks = [Span(header + 16, header + 16 + length)]
        head, extra, trimmed = struct.Struct("<HH"), 4, (0, 0)
    seen: set[Span] = set()
    while blocks:
        block = blocks.pop(0)
        if block in seen:
            raise ValueError("the header of an image leads back to itself")
        seen.add(block)
        content, offset = read(block), 0
        while offset + head.size + extra <= len(content):
            kind, length = head.unpack_from(content, offset)
            offset += head.size + extra
            message = content[offset : offset + length]
            offset += length
            if kind == _CONTINUATION:
                place, length = struct.unpack_from("<QQ", message)
                # In the later version, a signature before the messages and a checksum after them.
                blocks.append(Span(place + trimmed[0], place + length - trimmed[1]))
            yield kind, message
