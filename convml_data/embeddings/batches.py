"""Applying a network to the tiles of many scenes, as many at a time as it is fastest with."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from convml_data.embeddings.encoder import Encoder, FloatArray
from convml_data.meta.embeddings import Normalisation

K = TypeVar("K")


@dataclass(frozen=True)
class Embedded(Generic[K]):
    """Embeddings (tiles, dims) of the tiles that came with ``key``, and the seconds that the network took."""

    key: K
    embeddings: FloatArray
    seconds: float


def normalised(levels: npt.NDArray[np.uint8], normalisation: Normalisation) -> FloatArray:
    """A picture (3, ny, nx) of levels from 0 to 255 as networks take it: shades from 0 to 1, minus mean, over std."""
    mean, std = (np.array(of, np.float32)[:, None, None] for of in (normalisation.mean, normalisation.std))
    return np.asarray((levels.astype(np.float32) / np.float32(255) - mean) / std, np.float32)


def embedded(encoder: Encoder, dims: int, work: Iterable[tuple[K, Sequence[FloatArray]]]) -> Iterator[Embedded[K]]:
    """Embeddings of the tiles of each key, in the order of the keys.

    Batches run over from one key into the next, so that few tiles of a scene cost no more than many. Every batch has
    the same number of tiles, the last one zeros in the end, so that embeddings do not depend on what they came with.

    Parameters
    ----------
    encoder, dims
        The network and what it gives.
    work
        Keys and their tiles (channels, rows, columns), row 0 in the north, which may be views of a picture.
    """
    waiting: deque[_Waiting[K]] = deque()
    batch: FloatArray | None = None
    filled: list[_Waiting[K]] = []
    for key, tiles in work:
        owner = _Waiting(key, np.full((len(tiles), dims), np.nan, np.float32))
        waiting.append(owner)
        for tile in tiles:
            if batch is None:
                batch = np.zeros((encoder.batch, *tile.shape), np.float32)
            batch[len(filled)] = tile
            filled.append(owner)
            if len(filled) == encoder.batch:
                _apply(encoder, batch, filled)
        yield from _done(waiting)
    if batch is not None and filled:
        batch[len(filled) :] = 0
        _apply(encoder, batch, filled)
    yield from _done(waiting)


@dataclass
class _Waiting(Generic[K]):
    """What waits for its embeddings, which come in the order of its tiles."""

    key: K
    embeddings: FloatArray
    done: int = field(default=0)
    seconds: float = field(default=0.0)


def _apply(encoder: Encoder, batch: FloatArray, filled: list[_Waiting[K]]) -> None:
    started = time.perf_counter()
    found = encoder(batch)
    share = (time.perf_counter() - started) / len(filled)
    for owner, row in zip(filled, found, strict=False):
        owner.embeddings[owner.done] = row
        owner.done += 1
        owner.seconds += share
    filled.clear()


def _done(waiting: deque[_Waiting[K]]) -> Iterator[Embedded[K]]:
    while waiting and waiting[0].done == len(waiting[0].embeddings):
        owner = waiting.popleft()
        yield Embedded(owner.key, owner.embeddings, owner.seconds)
