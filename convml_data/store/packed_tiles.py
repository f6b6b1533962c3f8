"""Tiles in one sharded Zarr 3 store for each collection, where files for each would be too many.

A scene's tiles are a group of the store, and lie together in a shard of each of its arrays. Only the run
that works on the scene writes the group, and whole: no run waits for another one, on whatever machine.
What is no array of numbers is text in the array ``description``. The group's attributes name its tiles and
what they were made from, so that the tiles of many scenes are listed without opening an array.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from convml_data.errors import StoreError
from convml_data.store.arrays import UNREADABLE, plain
from convml_data.store.files import Files
from convml_data.tiles.plan import TILE_TYPES

#: Raised whenever a store is written in a way that older ones are not.
FORMAT_VERSION = 1

#: Values of a field in a shard, at least one tile: 16 MiB of 32-bit numbers.
SHARD_VALUES = 2**22

#: Arrays that are kept open for the next tile.
_OPEN_ARRAYS = 512

_DESCRIPTION = "description"
_REMEDY = "Delete it and run `convml-data tiles`"


@dataclass(frozen=True)
class PackedTile:
    """A tile that is to be packed: its data, with what it was made from as attribute ``fingerprint``, and its yml."""

    data: xr.Dataset
    yml: str


@dataclass(frozen=True)
class PackedTiles:
    """The tiles of a collection, or of a kind without collections.

    Parameters
    ----------
    files
        The dataset's root.
    folder
        Where files of these tiles would lie, ``triplets/train``; the store is ``<folder>.zarr``.
    """

    files: Files
    folder: str

    def __reduce__(self) -> tuple[type[PackedTiles], tuple[Files, str]]:
        """Without what this process has open."""
        return PackedTiles, (self.files, self.folder)

    @property
    def place(self) -> str:
        """The store, relative to the root."""
        return f"{self.folder}.zarr"

    @property
    def is_there(self) -> bool:
        """Whether there is a store."""
        return self.files.exists(f"{self.place}/zarr.json")

    def name(self, key: str) -> str:
        """Where a tile lies, relative to the root: the store, and after ``#`` the tile."""
        return f"{self.place}#{key}"

    def url(self, key: str) -> str:
        """Where a tile lies, for people and metadata."""
        return f"{self.files.url(self.place)}#{key}"

    def yml_url(self, key: str) -> str:
        """As :meth:`url`: what a tile is lies with it."""
        return self.url(key)

    def scenes(self) -> list[str]:
        """IDs of the scenes that have tiles here, sorted."""
        return sorted(Path(name).parent.name for name in self.files.names(f"{self.place}/*/zarr.json"))

    def made_from(self, scene_id: str) -> dict[str, str]:
        """Fingerprint of each tile of a scene by its name, none where the scene has none that can be listed."""
        name = f"{self._group_name(scene_id)}/zarr.json"
        if not self.files.exists(name):
            return {}
        try:
            attributes = json.loads(self.files.read_bytes(name))["attributes"]
            return dict(zip(attributes["tiles"], attributes["fingerprints"], strict=True))
        except (ValueError, KeyError, TypeError):
            return {}

    def stored(self) -> list[str]:
        """Names of the tiles that are shown, sorted: of complete triplets, or all where tiles come one by one."""
        if not self._attributes.get("whole_triplets"):
            return sorted(self._contents)
        triplets: defaultdict[str, list[str]] = defaultdict(list)
        for name in self._contents:
            triplets[name.rpartition("_")[0]].append(name)
        return sorted(name for names in triplets.values() if len(names) == len(TILE_TYPES) for name in names)

    def attributes(self, key: str) -> dict[str, Any] | None:
        """Attributes of a tile's data, None where there is no such tile or it is damaged."""
        try:
            attributes: dict[str, Any] = self._described(key)["attributes"]
        except StoreError:
            return None
        return attributes

    def yml(self, key: str) -> str:
        """What the tile is, the text that its yml would have; StoreError where there is no such tile."""
        return str(self._described(key)["yml"])

    def values(self, key: str, variable: str) -> npt.NDArray[Any]:
        """Values of a variable of a tile without the rest of it.

        Raises
        ------
        StoreError
            There is no such tile or variable, or it is damaged.
        """
        scene_id, row = self._place_of(key)
        with self._explained(key, scene_id):
            return np.asarray(self._array(scene_id, variable)[row])

    def open(self, key: str) -> xr.Dataset:
        """A tile, just as it is read from a file of its own, all values in memory.

        Raises
        ------
        StoreError
            There is no such tile, or it is damaged.
        """
        described = self._described(key)
        variables = {}
        for name, of_variable in described["variables"].items():
            given, dtype = of_variable.get("values"), np.dtype(of_variable["dtype"])
            values = self.values(key, name) if given is None else _from_json(given, dtype)
            variables[name] = xr.Variable(of_variable["dims"], values, of_variable["attributes"])
        coordinates = {name: variables.pop(name) for name in described["coordinates"]}
        return xr.Dataset(variables, coordinates, described["attributes"])

    def whole(self, key: str) -> xr.Dataset | None:
        """A tile as :meth:`open` gives it, None where there is none or it is damaged."""
        try:
            return self.open(key)
        except StoreError:
            return None

    def write(
        self, scene_id: str, fingerprints: Mapping[str, str], tiles: Iterable[PackedTile], *, whole_triplets: bool
    ) -> None:
        """Keep the tiles of a scene in place of those that it had here, once all are written.

        Parameters
        ----------
        scene_id
            Of the scene.
        fingerprints
            What each tile was made from, by name.
        tiles
            As many, in the same order, taken as they are written: a shard of them is held at a time.
        whole_triplets
            Whether readers are shown complete triplets only; the same for all scenes.

        Raises
        ------
        StoreError
            The tiles have different variables, or they cannot be written.
        """
        attributes = {"tiles": list(fingerprints), "fingerprints": list(fingerprints.values())}
        root = {"zarr_format": 3, "node_type": "group"}
        root["attributes"] = {"format_version": FORMAT_VERSION, "whole_triplets": whole_triplets}
        if not self.is_there:
            self.files.write_bytes(f"{self.place}/zarr.json", json.dumps(root, indent=2).encode())
        with self.files.writing(self._group_name(scene_id)) as path:
            group = zarr.create_group(path, zarr_format=3, attributes=attributes)
            _fill(group, len(fingerprints), iter(tiles), self.files.url(self._group_name(scene_id)))
        self._forget_what_was_read()

    def remove_scene(self, scene_id: str) -> None:
        """Delete the tiles of a scene, and the store with the last of them."""
        self.files.remove(self._group_name(scene_id))
        self._forget_what_was_read()
        if not self.scenes():
            self.remove()

    def remove(self) -> None:
        """Delete the store."""
        self.files.remove(self.place)
        self._forget_what_was_read()

    def _group_name(self, scene_id: str) -> str:
        return f"{self.place}/{scene_id}"

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        """Those of the whole store, none where there is none; StoreError where it is of another form."""
        if not self.is_there:
            return {}
        where = self.files.url(self.place)
        try:
            attributes: dict[str, Any] = json.loads(self.files.read_bytes(f"{self.place}/zarr.json"))["attributes"]
            version = attributes.get("format_version")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"this is no store of tiles ({error!r})", where=where, remedy=_REMEDY) from error
        if version != FORMAT_VERSION:
            raise StoreError(
                f"this store of tiles has format version {version}, not {FORMAT_VERSION}", where=where, remedy=_REMEDY
            )
        return attributes

    @cached_property
    def _contents(self) -> dict[str, tuple[str, int]]:
        """Scene and row in the arrays of each tile."""
        if not self._attributes:
            return {}
        return {
            name: (scene_id, row) for scene_id in self.scenes() for row, name in enumerate(self.made_from(scene_id))
        }

    def _place_of(self, key: str) -> tuple[str, int]:
        if key not in self._contents:
            raise StoreError("there is no such tile", where=self.url(key), remedy="Run `convml-data tiles`")
        return self._contents[key]

    def _described(self, key: str) -> dict[str, Any]:
        scene_id, row = self._place_of(key)
        with self._explained(key, scene_id):
            described: dict[str, Any] = json.loads(str(self._array(scene_id, _DESCRIPTION)[row]))
        return described

    @cached_property
    def _array(self) -> Any:
        """An array of a scene by its name, opened once; an error where one of its shards is missing."""
        return lru_cache(_OPEN_ARRAYS)(self._opened_array)

    def _opened_array(self, scene_id: str, variable: str) -> Any:
        name = f"{self._group_name(scene_id)}/{variable}"
        if self.files.is_local:
            array = zarr.open_array(self.files.path(name), mode="r", zarr_format=3)
        else:
            store = zarr.storage.FsspecStore.from_url(self.files.url(name), read_only=True)
            array = zarr.open_array(store, mode="r", zarr_format=3)
        shard = 1 if array.shards is None else array.shards[0]
        for number in range(-(-array.shape[0] // shard)):  # one that is missing would be read as fill
            chunk = "/".join(["c", str(number), *["0"] * (array.ndim - 1)])
            if not self.files.exists(f"{name}/{chunk}"):
                raise ValueError(f"{chunk} of {variable} of {scene_id} is missing")
        return array

    def _forget_what_was_read(self) -> None:
        for name in ("_attributes", "_contents", "_array"):
            self.__dict__.pop(name, None)

    @contextmanager
    def _explained(self, key: str, scene_id: str) -> Iterator[None]:
        """Give errors of the libraries the name of the tile."""
        try:
            yield
        except (*UNREADABLE, IndexError) as error:
            raise StoreError(
                f"this packed tile cannot be read ({error})",
                where=self.url(key),
                remedy=f"Delete {self.files.url(self._group_name(scene_id))} and run `convml-data tiles`",
            ) from error


def _fill(group: Any, count: int, tiles: Iterator[PackedTile], where: str) -> None:
    """Write tiles to the arrays of an empty group, a whole shard at a time."""
    first = next(tiles)
    tiles, layout, shard = chain([first], tiles), _layout(first.data), min(count, _tiles_per_shard(first.data))
    arrays = {name: _new_array(group, name, count, shard, like) for name, like in _numbers(first.data)}
    descriptions = _new_array(group, _DESCRIPTION, count, shard, None)
    for start in range(0, count, shard):
        batch, rows = list(islice(tiles, shard)), slice(start, min(start + shard, count))
        for tile in batch:
            if _layout(tile.data) != layout:
                raise StoreError(f"tiles differ in their variables: {layout} and {_layout(tile.data)}", where=where)
        for name, array in arrays.items():
            array[rows] = np.stack([tile.data[name].values for tile in batch])
        descriptions[rows] = np.array([_to_json(tile) for tile in batch], object)


def _tiles_per_shard(data: xr.Dataset) -> int:
    return max(1, SHARD_VALUES // max(variable.size for _, variable in _numbers(data)))


def _new_array(group: Any, name: str, count: int, shard: int, like: xr.Variable | None) -> Any:
    shape, dims = (() if like is None else like.shape), (() if like is None else like.dims)
    array = group.create_array(
        name,
        shape=(count, *shape),
        dtype=str if like is None else like.dtype,
        chunks=(1, *shape),
        shards=(shard, *shape),
        fill_value=np.nan if like is not None and like.dtype.kind == "f" else None,
        compressors=[
            BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle" if like is None else "shuffle"),
            Crc32cCodec(),
        ],
        dimension_names=["tile", *map(str, dims)],
    )
    return array.with_config({"write_empty_chunks": True})  # so that a missing shard is known to be missing


def _numbers(data: xr.Dataset) -> list[tuple[str, xr.Variable]]:
    """The variables that are arrays of numbers, by name; single values and text are in the description."""
    return [(name, data[name].variable) for name in _sorted(data.variables) if _is_numbers(data[name].variable)]


def _sorted(names: Iterable[Any]) -> list[str]:
    return sorted(map(str, names))


def _is_numbers(variable: xr.Variable) -> bool:
    return variable.ndim > 0 and variable.dtype.kind in "fiub"


def _layout(data: xr.Dataset) -> list[Any]:
    return [(name, variable.dims, variable.shape, variable.dtype) for name, variable in _numbers(data)]


def _to_json(tile: PackedTile) -> str:
    """All of a tile but its arrays of numbers."""
    data = tile.data
    return json.dumps(
        {
            "attributes": _plain(data.attrs),
            # In one order for tiles that were made and tiles that were read, which come in others.
            "coordinates": _sorted(data.coords),
            "variables": {name: _described(data[name].variable) for name in _sorted(data.variables)},
            "yml": tile.yml,
        },
        ensure_ascii=False,
    )


def _described(variable: xr.Variable) -> dict[str, Any]:
    described = {"dims": list(variable.dims), "attributes": _plain(variable.attrs), "dtype": variable.dtype.str}
    if not _is_numbers(variable):
        values = variable.values
        described["values"] = (values.astype(np.int64) if values.dtype.kind in "mM" else values).tolist()
    return described


def _from_json(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return np.array(values, np.int64).astype(dtype) if dtype.kind in "mM" else np.array(values, dtype)


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): plain(value) for name, value in attributes.items()}
