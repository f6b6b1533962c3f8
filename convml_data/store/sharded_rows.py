"""Sharded Zarr 3 arrays that are written a row at a time, each row a chunk of its own.

What zarr-python takes for a chunk is more than what compressing it takes, so the shards are written here, for
zarr-python and everybody else to read: `docs/decisions/010-writing.md`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import Blosc


@dataclass
class ShardedRows:
    """An array on its way to disk.

    Parameters
    ----------
    folder
        Of the array, which has nothing in it yet.
    count
        Rows that it is to have.
    rows_of_shard
        Rows of each shard, of which the last may have fewer.
    dims
        Names of the dimensions, that of the rows first.
    shape
        Of a row; () for text.
    dtype
        Of its numbers, None for text.
    """

    folder: Path
    count: int
    rows_of_shard: int
    dims: tuple[str, ...]
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None
    _chunks: list[bytes] = field(default_factory=list, init=False)
    _written: int = field(default=0, init=False)

    def append(self, row: npt.NDArray[Any] | str) -> None:
        """Add the next row."""
        self._chunks.append(_checked(self._compressed(row)))
        if len(self._chunks) == self.rows_of_shard:
            self._write_shard()

    def finish(self) -> None:
        """Write what is left, and say what the array is."""
        if self._chunks:
            self._write_shard()
        (self.folder / "zarr.json").write_bytes(json.dumps(self._metadata(), indent=2).encode())

    def _compressed(self, row: npt.NDArray[Any] | str) -> bytes:
        if isinstance(row, str):
            text = row.encode()
            return bytes(_blosc(Blosc.NOSHUFFLE).encode(struct.pack("<II", 1, len(text)) + text))
        assert self.dtype is not None
        return bytes(_blosc(Blosc.SHUFFLE).encode(np.ascontiguousarray(row, self.dtype.newbyteorder("<"))))

    def _write_shard(self) -> None:
        """The chunks one after the other, then where each begins and how long it is."""
        lengths = np.array([len(chunk) for chunk in self._chunks], np.uint64)
        index = np.full((self.rows_of_shard, 2), _NO_CHUNK, "<u8")
        index[: len(lengths)] = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
        number = self._written // self.rows_of_shard
        path = self.folder / "/".join(["c", str(number), *("0" * len(self.shape))])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join([*self._chunks, _checked(index.tobytes())]))
        self._written += len(self._chunks)
        self._chunks = []

    def _metadata(self) -> Mapping[str, Any]:
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        text = self.dtype is None
        blosc = {
            "typesize": 1 if self.dtype is None else self.dtype.itemsize,
            "cname": _COMPRESSOR,
            "clevel": _LEVEL,
            "shuffle": "noshuffle" if text else "shuffle",
            "blocksize": 0,
        }
        sharding = {
            "chunk_shape": [1, *self.shape],
            "codecs": [
                {"name": "vlen-utf8", "configuration": {}} if text else little,
                {"name": "blosc", "configuration": blosc},
                {"name": "crc32c"},
            ],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        }
        return {
            "shape": [self.count, *self.shape],
            "data_type": "string" if self.dtype is None else self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [self.rows_of_shard, *self.shape]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": _fill_value(self.dtype),
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {},
            "dimension_names": list(self.dims),
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }


#: A third of the time of zstd at its lowest level, for fields that are some 5 % larger.
_COMPRESSOR, _LEVEL = "lz4", 1

#: Where a shard has no chunk, and how long that is, as the specification has it.
_NO_CHUNK = 2**64 - 1


def _blosc(shuffle: int) -> Blosc:
    return Blosc(_COMPRESSOR, _LEVEL, shuffle)


def _checked(content: bytes) -> bytes:
    """With a checksum after it."""
    return content + struct.pack("<I", google_crc32c.value(content))


def _fill_value(dtype: np.dtype[Any] | None) -> Any:
    if dtype is None:
        return ""
    return {"f": "NaN", "b": False}.get(dtype.kind, 0)
