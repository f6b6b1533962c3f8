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
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from convml_data.errors import StoreError
from convml_data.store.arrays import UNREADABLE, plain
from convml_data.store.files import Files
from convml_data.store.sharded_rows import ShardedRows
from convml_data.tiles.plan import TILE_TYPES

#: Raised whenever a store is written in a way that older ones are not.
FORMAT_VERSION = 1

#: Values of a field in a shard, at least one tile: 16 MiB of 32-bit numbers.
SHARD_VALUES = 2**22

#: Scenes that are kept open for the next tile.
_OPEN_SCENES = 512

_DESCRIPTION = "description"


@dataclass(frozen=True)
class PackedTile:
    """A tile that is to be packed: its data, with what it was made from as attribute ``fingerprint``, and its yml."""

    data: xr.Dataset
    yml: str


@dataclass(frozen=True)
class PackedScene:
    """The tiles of a scene in a collection: a group of its store.

    Parameters
    ----------
    files
        The dataset's root.
    place
        The group, relative to the root.
    """

    files: Files
    place: str

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        """Those of the group; StoreError where it has none or they are damaged."""
        try:
            attributes: dict[str, Any] = json.loads(self.files.read_bytes(f"{self.place}/zarr.json"))["attributes"]
            if len(attributes["tiles"]) != len(attributes["fingerprints"]):
                raise ValueError("not every tile has a fingerprint")
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(repr(error)) from error
        return attributes

    def made_from(self) -> dict[str, str]:
        """Fingerprint of each tile by its name, in the order of the arrays.

        Raises
        ------
        StoreError
            There is no such group, or what it says of itself is damaged.
        """
        return dict(zip(self._attributes["tiles"], self._attributes["fingerprints"], strict=True))

    def whole(self) -> dict[str, str]:
        """As :meth:`made_from`, nothing where a file of the group is missing or was cut off."""
        try:
            self._require_whole()
            return self.made_from()
        except StoreError:
            return {}

    def described(self, key: str) -> dict[str, Any]:
        """All of a tile but its arrays of numbers; StoreError where it is damaged."""
        with self._explained():
            described: dict[str, Any] = json.loads(str(self.array(_DESCRIPTION)[self._row(key)]))
        return described

    def values(self, key: str, variable: str) -> npt.NDArray[Any]:
        """Values of a variable of a tile; StoreError where they are damaged."""
        with self._explained():
            return np.asarray(self.array(variable)[self._row(key)])

    def open(self, key: str) -> xr.Dataset:
        """A tile, all values in memory; StoreError where it is damaged."""
        described = self.described(key)
        variables = {}
        for name, of_variable in described["variables"].items():
            given, dtype = of_variable.get("values"), np.dtype(of_variable["dtype"])
            values = self.values(key, name) if given is None else _from_json(given, dtype)
            variables[name] = xr.Variable(of_variable["dims"], values, of_variable["attributes"])
        coordinates = {name: variables.pop(name) for name in described["coordinates"]}
        return xr.Dataset(variables, coordinates, described["attributes"])

    def write(self, fingerprints: Mapping[str, str], tiles: Iterable[PackedTile]) -> None:
        """Keep tiles in place of those that the scene had here, once all are written.

        Parameters
        ----------
        fingerprints
            What each tile was made from, by name.
        tiles
            As many, in the same order, taken as they are written: a shard of them is held at a time.

        Raises
        ------
        StoreError
            The tiles have different variables, or they cannot be written.
        """
        with self.files.writing(self.place) as path:
            path.mkdir()
            _fill(path, len(fingerprints), iter(tiles), self.files.url(self.place))
            attributes = {
                "tiles": list(fingerprints),
                "fingerprints": list(fingerprints.values()),
                "sizes": {
                    file.relative_to(path).as_posix(): file.stat().st_size
                    for file in sorted(path.rglob("*"))
                    if file.is_file()
                },
            }
            (path / "zarr.json").write_bytes(_head_of_group(attributes))
        for name in ("_attributes", "_arrays"):
            self.__dict__.pop(name, None)

    def remove(self) -> None:
        """Delete the group."""
        self.files.remove(self.place)

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        return {}

    def array(self, variable: str) -> Any:
        """An array of the group, whose first dimension is tiles."""
        if not self._arrays:
            self._require_whole()
        if variable not in self._arrays:
            name = f"{self.place}/{variable}"
            source: Any = self.files.path(name)
            if not self.files.is_local:
                source = zarr.storage.FsspecStore.from_url(self.files.url(name), read_only=True)
            self._arrays[variable] = zarr.open_array(source, mode="r", zarr_format=3)
        return self._arrays[variable]

    def _require_whole(self) -> None:
        """See that every file is there that was written, as long as it was: a missing shard would be read as fill."""
        expected, found = self._attributes.get("sizes"), self.files.sizes(self.place)
        if expected is None:
            raise self._damaged("it does not say what belongs to it")
        for name, size in expected.items():
            if found.get(name) != size:
                raise self._damaged(f"{name} is {'missing' if name not in found else 'not as long as it was'}")

    def _row(self, key: str) -> int:
        return list(self._attributes["tiles"]).index(key)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (*UNREADABLE, IndexError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> StoreError:
        return StoreError(
            f"these packed tiles cannot be read ({why})",
            where=self.files.url(self.place),
            remedy="Run `convml-data tiles`, and delete them first if it keeps them",
        )


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
        return self.files.exists(self.place)

    def name(self, key: str) -> str:
        """Where a tile lies, relative to the root: the store, and after ``#`` the tile."""
        return f"{self.place}#{key}"

    def url(self, key: str) -> str:
        """Where a tile lies, for people and metadata."""
        return f"{self.files.url(self.place)}#{key}"

    def yml_url(self, key: str) -> str:
        """As :meth:`url`: what a tile is lies with it."""
        return self.url(key)

    def scene_ids(self) -> list[str]:
        """Scenes that have tiles here, sorted."""
        return sorted(Path(name).parent.name for name in self.files.names(f"{self.place}/*/zarr.json"))

    def scene(self, scene_id: str) -> PackedScene:
        """The tiles of a scene, whether it has any here or not."""
        return PackedScene(self.files, f"{self.place}/{scene_id}")

    def stored(self) -> list[str]:
        """Names of the tiles that are shown, sorted: of complete triplets, or all where tiles come one by one.

        Raises
        ------
        StoreError
            The store or a group of it is damaged, or a tile is there twice.
        """
        if not self._scenes or not self._whole_triplets:
            return sorted(self._scenes)
        triplets: defaultdict[str, list[str]] = defaultdict(list)
        for name in self._scenes:
            triplets[name.rpartition("_")[0]].append(name)
        return sorted(name for names in triplets.values() if len(names) == len(TILE_TYPES) for name in names)

    def attributes(self, key: str) -> dict[str, Any] | None:
        """Attributes of a tile's data, None where there is no such tile or it is damaged."""
        try:
            attributes: dict[str, Any] = self._scene_of(key).described(key)["attributes"]
        except StoreError:
            return None
        return attributes

    def yml(self, key: str) -> str:
        """What the tile is, the text that its yml would have; StoreError where there is no such tile."""
        return str(self._scene_of(key).described(key)["yml"])

    def values(self, key: str, variable: str) -> npt.NDArray[Any]:
        """Values of a variable of a tile without the rest of it.

        Raises
        ------
        StoreError
            There is no such tile or variable, or it is damaged.
        """
        return self._scene_of(key).values(key, variable)

    def open(self, key: str) -> xr.Dataset:
        """A tile, just as it is read from a file of its own, all values in memory.

        Raises
        ------
        StoreError
            There is no such tile, or it is damaged.
        """
        return self._scene_of(key).open(key)

    def prepare(self, *, whole_triplets: bool) -> None:
        """Make the store ready for scenes to be written.

        One of another format version, or whose head is damaged, is deleted.

        Parameters
        ----------
        whole_triplets
            Whether readers are shown complete triplets only.
        """
        attributes = {"format_version": FORMAT_VERSION, "whole_triplets": whole_triplets}
        head = _head_of_group(attributes)
        if self.files.exists(self._head):
            if self.files.read_bytes(self._head) == head:
                return
            self.remove()
        self.files.write_bytes(self._head, head)

    def remove(self) -> None:
        """Delete the store."""
        self.files.remove(self.place)

    @property
    def _head(self) -> str:
        return f"{self.place}/zarr.json"

    @cached_property
    def _whole_triplets(self) -> bool:
        """What the store's head says; StoreError where it is missing, damaged or of another version."""
        where, remedy = self.files.url(self.place), "Run `convml-data tiles`, which mends it or makes it anew"
        try:
            attributes = json.loads(self.files.read_bytes(self._head))["attributes"]
            version, whole_triplets = attributes["format_version"], bool(attributes["whole_triplets"])
        except (ValueError, KeyError, TypeError, StoreError) as error:
            raise StoreError(f"this is no whole store of tiles ({error!r})", where=where, remedy=remedy) from error
        if version != FORMAT_VERSION:
            raise StoreError(
                f"this store of tiles has format version {version}, not {FORMAT_VERSION}", where=where, remedy=remedy
            )
        return whole_triplets

    @cached_property
    def _scenes(self) -> dict[str, str]:
        """By its name, the scene of each tile."""
        scenes: dict[str, str] = {}
        for scene_id in self.scene_ids():
            for name in self.scene(scene_id).made_from():
                if name in scenes:
                    raise StoreError(
                        f"{name} is there twice, of the scenes {scenes[name]} and {scene_id}",
                        where=self.files.url(self.place),
                        remedy="Delete the store and run `convml-data tiles`",
                    )
                scenes[name] = scene_id
        return scenes

    def _scene_of(self, key: str) -> PackedScene:
        if key not in self._scenes:
            raise StoreError("there is no such tile", where=self.url(key), remedy="Run `convml-data tiles`")
        scene: PackedScene = self._open_scene(self._scenes[key])
        return scene

    @cached_property
    def _open_scene(self) -> Any:
        """A scene, with what was opened of it before."""
        return lru_cache(_OPEN_SCENES)(self.scene)


def _head_of_group(attributes: Mapping[str, Any]) -> bytes:
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=2).encode()


def _fill(place: Path, count: int, tiles: Iterator[PackedTile], where: str) -> None:
    """Write tiles to the arrays of an empty group, of which a shard is in memory at a time, compressed."""
    first = next(tiles)
    layout, shard = _layout(first.data), min(count, _tiles_per_shard(first.data))
    arrays = {
        name: ShardedRows(place / name, count, shard, ("tile", *map(str, like.dims)), like.shape, like.dtype)
        for name, like in _numbers(first.data)
    }
    descriptions = ShardedRows(place / _DESCRIPTION, count, shard, ("tile",))
    for tile in chain([first], tiles):
        if _layout(tile.data) != layout:
            raise StoreError(f"tiles differ in their variables: {layout} and {_layout(tile.data)}", where=where)
        for name, array in arrays.items():
            array.append(tile.data.variables[name].values)
        descriptions.append(_to_json(tile))
    for array in (*arrays.values(), descriptions):
        array.finish()


def _tiles_per_shard(data: xr.Dataset) -> int:
    return max(1, SHARD_VALUES // max(variable.size for _, variable in _numbers(data)))


def _numbers(data: xr.Dataset) -> list[tuple[str, xr.Variable]]:
    """The variables that are arrays of numbers, by name; single values and text are in the description."""
    variables = {str(name): variable for name, variable in data.variables.items()}
    return [(name, variables[name]) for name in sorted(variables) if _is_numbers(variables[name])]


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
            "variables": {name: _described(data.variables[name]) for name in _sorted(data.variables)},
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
