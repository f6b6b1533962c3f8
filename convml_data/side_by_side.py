"""Parts of a large array worked on by several threads, for those who wait for one scene.

What is worked on must let other threads run, as compiled loops and compression do, and the parts must not depend
on the number of threads where the result would. Where scenes are worked on side by side, it changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

#: Arrays of so many bytes are large.
LARGE = 2**24

_MOST_THREADS = 4


def blocks_of_rows(rows: int, size: int, largest: int = LARGE // 4) -> list[slice]:
    """Rows of an array of ``size`` bytes in blocks of about ``largest`` bytes, one of all where it is not large."""
    if size < LARGE or rows < 2:
        return [slice(0, rows)]
    step = max(1, rows * largest // size)
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]


def each_of(parts: Iterable[Part], work: Callable[[Part], Result], size: int) -> Iterator[Result]:
    """What is made of each part of an array of ``size`` bytes, in their order."""
    if size < LARGE:
        yield from map(work, parts)
    else:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as threads:
            yield from threads.map(work, parts)
