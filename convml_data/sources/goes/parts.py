"""Parts of a file: bytes by where they lie."""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

_COUNT = struct.Struct("<I")
_PLACE = struct.Struct("<QI")


class Span(NamedTuple):
    """Bytes of a file from ``start`` up to ``stop``, not included."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.stop - self.start


def merged(spans: Iterable[Span], gap: int = 0, longest: int | None = None) -> list[Span]:
    """Spans over the same bytes, in order and apart.

    Parameters
    ----------
    spans
        In any order; they may overlap.
    gap
        Spans with up to this many bytes between them become one, over what lies between them too.
    longest
        Spans are not made one where that would be longer than this.
    """
    result: list[Span] = []
    for span in sorted(spans):
        if result and span.start - result[-1].stop <= gap:
            joined = Span(result[-1].start, max(result[-1].stop, span.stop))
            overlap = span.start < result[-1].stop
            if longest is None or joined.length <= longest or overlap:
                result[-1] = joined
                continue
        result.append(span)
    return result


class Parts:
    """The bytes that are known of a file.

    Parameters
    ----------
    parts
        Pairs of a part's place in the file and its bytes.
    """

    def __init__(self, parts: Iterable[tuple[int, bytes]] = ()) -> None:
        self._starts: list[int] = []
        self._contents: list[bytes] = []
        for start, content in parts:
            self.add(start, content)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Pairs of place and bytes, by place, none next to another."""
        return iter(zip(self._starts, self._contents, strict=True))

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._starts)

    def add(self, start: int, content: bytes) -> None:
        """Learn what lies at a place; what was known there is replaced."""
        if not content:
            return
        stop = start + len(content)
        first = bisect_right(self._starts, start)
        if first > 0 and self._stop(first - 1) >= start:
            first -= 1
        last = bisect_right(self._starts, stop)
        before, after = b"", b""
        if first < last:
            before = self._contents[first][: max(start - self._starts[first], 0)]
            after = self._contents[last - 1][max(stop - self._starts[last - 1], 0) :]
            start = min(start, self._starts[first])
        self._starts[first:last] = [start]
        self._contents[first:last] = [before + content + after]

    def get(self, span: Span) -> bytes | None:
        """The bytes of a span, None where one of them is not known."""
        index = bisect_right(self._starts, span.start) - 1
        if index < 0 or self._stop(index) < span.stop:
            return None
        offset = span.start - self._starts[index]
        return self._contents[index][offset : offset + span.length]

    def only(self, spans: Iterable[Span]) -> Parts:
        """The parts of these spans, all of which are known.

        Raises
        ------
        KeyError
            One is not.
        """
        result = Parts()
        for span in merged(spans):
            content = self.get(span)
            if content is None:
                raise KeyError(span)
            result.add(span.start, content)
        return result

    def packed(self) -> bytes:
        """All of it in one compressed string of bytes, from which :meth:`unpacked` makes it again."""
        places = b"".join(_PLACE.pack(start, len(content)) for start, content in self)
        return zlib.compress(_COUNT.pack(len(self._starts)) + places + b"".join(self._contents), 1)

    @classmethod
    def unpacked(cls, packed: bytes) -> Self:
        """What :meth:`packed` was made of.

        Raises
        ------
        ValueError
            It was made of nothing.
        """
        try:
            data = zlib.decompress(packed)
            (count,) = _COUNT.unpack_from(data)
            places = [_PLACE.unpack_from(data, _COUNT.size + i * _PLACE.size) for i in range(count)]
        except (zlib.error, struct.error) as error:
            raise ValueError(f"these are no parts of a file ({error})") from error
        offset = _COUNT.size + count * _PLACE.size
        result = cls()
        for start, length in places:
            result.add(start, data[offset : offset + length])
            offset += length
        if offset != len(data):
            raise ValueError(f"these are no parts of a file ({len(data)} bytes where {offset} were announced)")
        return result

    def _stop(self, index: int) -> int:
        return self._starts[index] + len(self._contents[index])
