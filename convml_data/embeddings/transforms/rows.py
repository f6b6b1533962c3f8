"""A set of embeddings as rows (n, emb_dim), a part at a time, and arrays of its shape made of such rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import StoreError
from convml_data.fingerprints import fingerprint
from convml_data.store.growing import PARTS

FloatArray = npt.NDArray[np.floating]

#: Tiles whose embeddings are in memory at a time; of windows it is those of a scene.
TILES_TOGETHER = 4096


@dataclass(frozen=True)
class EmbeddingRows:
    """The embeddings of a set.

    Parameters
    ----------
    data
        With the variable ``emb``: of windows (scene_id, emb_dim, y, x), of tiles (tile_id, emb_dim).
    where
        Names them in errors.
    """

    data: xr.Dataset
    where: str

    def __post_init__(self) -> None:
        dims = self.data["emb"].dims if "emb" in self.data else None
        if dims not in (("scene_id", "emb_dim", "y", "x"), ("tile_id", "emb_dim")):
            raise StoreError(f"these are no embeddings: the dims of emb are {dims}", where=self.where)
        if self.count * self.emb_dim == 0:
            raise StoreError(
                "there are no embeddings in this set", where=self.where, remedy="Make those of some scenes"
            )

    @property
    def leading(self) -> str:
        """The dimension along which there are parts: ``scene_id`` or ``tile_id``."""
        return str(self.data["emb"].dims[0])

    @property
    def places(self) -> tuple[str, ...]:
        """The dimensions of a scene's windows, none for tiles."""
        return tuple(map(str, self.data["emb"].dims[2:]))

    @property
    def emb_dim(self) -> int:
        """Numbers of an embedding."""
        return int(self.data.sizes["emb_dim"])

    @property
    def count(self) -> int:
        """Of all embeddings, missing ones included."""
        return int(np.prod([self.data.sizes[dim] for dim in (self.leading, *self.places)]))

    def parts(self) -> Iterator[slice]:
        """Parts of the leading dimension, one scene or some tiles each."""
        size = 1 if self.places else TILES_TOGETHER
        for start in range(0, self.data.sizes[self.leading], size):
            yield slice(start, min(start + size, self.data.sizes[self.leading]))

    def read(self, part: slice) -> FloatArray:
        """The embeddings of a part, shape (n, emb_dim), float32; windows row by row."""
        values = self.data["emb"][part].values.astype(np.float32, copy=False)
        return np.ascontiguousarray(np.moveaxis(values, 1, -1).reshape(-1, self.emb_dim))

    def members(self, scene_ids: Collection[str] | None, collection: str) -> npt.NDArray[np.bool_]:
        """Which of all embeddings are of a collection, shape (n,).

        Parameters
        ----------
        scene_ids
            Those of the collection; None for all embeddings.
        collection
            Its name. Tiles of triplets say themselves which they are of.
        """
        if scene_ids is None:
            return np.ones(self.count, bool)
        if self.leading == "tile_id" and "collection" in self.data.coords:
            return np.array([name == collection for name in texts(self.data["collection"])])
        wanted = set(scene_ids)
        of_scene = np.array([scene_id in wanted for scene_id in texts(self.data["scene_id"])])
        return np.repeat(of_scene, self.count // max(1, len(of_scene)))

    def identity(self, members: npt.NDArray[np.bool_]) -> str:
        """Changes with anything that some of the embeddings follow from, shape of ``members`` (n,)."""
        some = np.flatnonzero(members.reshape(self.data.sizes[self.leading], -1).any(axis=1))
        ids, scenes = texts(self.data[self.leading]), texts(self.data["scene_id"])
        parts = json.loads(self.data.attrs.get(PARTS, "{}"))
        of_all = None if parts else self.data.attrs["fingerprint"]
        return fingerprint([of_all, sorted([ids[row], parts[scenes[row]][0] if parts else ""] for row in some)])

    def scene_count(self, members: npt.NDArray[np.bool_]) -> int:
        """Of how many scenes some of the embeddings are."""
        scenes = texts(self.data["scene_id"])
        some = np.flatnonzero(members.reshape(self.data.sizes[self.leading], -1).any(axis=1))
        return len({scenes[row] for row in some})

    def shaped(self, rows: npt.NDArray[np.generic], part: slice) -> npt.NDArray[np.generic]:
        """Rows of a part, (n,) or (n, dim), in the order of ``emb``'s dimensions."""
        length = part.stop - part.start
        sizes = (length, *(self.data.sizes[dim] for dim in self.places))
        return np.moveaxis(rows.reshape(*sizes, *rows.shape[1:]), -1, 1) if rows.ndim == 2 else rows.reshape(sizes)


def whole(rows: FloatArray) -> npt.NDArray[np.bool_]:
    """Which embeddings have all of their values, shape (n,)."""
    return np.asarray(np.isfinite(rows).all(axis=1))


def texts(names: xr.DataArray) -> list[str]:
    """Text, whichever way a file has it."""
    return [str(name) for name in names.values.tolist()]
