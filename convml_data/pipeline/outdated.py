"""Files of other settings than the present ones, in folders that others read as they are.

``rect/`` and the collections of ``triplets/`` are handed on as folders: whoever reads them takes
every file in them. What was made from another meta.yaml, or from scenes that are scenes no longer,
therefore goes as soon as a run makes files of the present settings. Cropped scenes stay: nobody reads
their folder as a whole, and they are what is costly to make again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import get_args

from convml_data.errors import StoreError
from convml_data.fingerprints import fingerprint
from convml_data.pipeline.made_from import scene_fingerprint, tile_fingerprint
from convml_data.pipeline.tiles import READERS_INDEX, triplets_of
from convml_data.scenes.ids import SCENE_ID_PATTERN, is_scene_id
from convml_data.scenes.ledger import Ledger
from convml_data.store.arrays import ArrayStore, Format
from convml_data.store.dataset import DatasetStore
from convml_data.store.layout import TILE_SUFFIXES
from convml_data.store.packed_tiles import PackedTile, PackedTiles
from convml_data.tiles.plan import TILE_TYPES, TileSpec
from convml_data.tiles.tile import Tile, TileStage

#: Names of the files of tiles: of triplets, and of those that are named after their scene.
_TILE_FILE = re.compile(
    rf"(?P<tile>\d{{5,}}_({'|'.join(TILE_TYPES)})|{SCENE_ID_PATTERN}(__\d{{5,}})?)"
    rf"({'|'.join(re.escape(suffix) for suffix in TILE_SUFFIXES)})"
)


def remove_outdated_scenes(store: DatasetStore, ledger: Ledger) -> int:
    """Delete regridded scenes of other settings, of another format or of no present scene; how many."""
    wanted = {row.scene_id: scene_fingerprint(store.dataset, "regridded", row) for row in ledger.scenes}
    folder = store.layout.folder(["regridded"])
    if _is_marked(store, folder, [store.format, wanted]):
        return 0
    removed = 0
    for format_ in get_args(Format):
        arrays = ArrayStore(store.files, folder, format_)
        for scene_id in filter(is_scene_id, arrays.stored()):
            if format_ != store.format or not _is_wanted(arrays, scene_id, wanted.get(scene_id)):
                store.files.remove(store.picture("regridded", scene_id))
                store.files.remove(arrays.name(scene_id))
                removed += 1
    _mark(store, folder, [store.format, wanted])
    return removed


def remove_outdated_tiles(store: DatasetStore, stage: TileStage, ledger: Ledger, tiles: Sequence[Tile]) -> int:
    """Delete tiles of a kind that were made from other settings or are not wanted any more; how many there were.

    The other tiles of their triplets wait again, since a collection shows complete triplets only.
    """
    rows = {row.scene_id: row for row in ledger.scenes}
    wanted = {
        (tile.collection, tile.name): tile_fingerprint(store.dataset, rows[tile.scene_id], stage, tile)
        for tile in tiles
        if tile.scene_id in rows
    }
    if store.packs:
        for collection in {collection for collection, _ in wanted}:
            store.packed(stage, collection).prepare(whole_triplets=store.shows_whole_triplets(stage))
    state = [store.dataset.meta.sampling.format, store.has_pictures, *sorted([*key, wanted[key]] for key in wanted)]
    folder = store.tile_folder(stage)
    if _is_marked(store, folder, state):
        return 0
    in_files, packed = ({}, wanted) if store.packs else (wanted, {})
    removed = sum(
        _remove_packed(store.packed(stage, collection), collection, packed)
        for collection in _packed_collections(store, stage)
    )
    shown = set()
    for waiting, collection, name in _tiles_on_disk(store, stage):
        arrays = store.tiles(stage, collection, waiting=waiting)
        if not _is_wanted(arrays, name, in_files.get((collection, name))):
            _remove_tile(store, arrays, name)
            removed += 1
            continue
        if not store.has_pictures:
            store.files.remove(f"{arrays.folder}/{name}.png")
        if not waiting:
            shown.add((collection, name))
    if store.shows_whole_triplets(stage):
        for triplet in triplets_of([tile for tile in tiles if isinstance(tile, TileSpec)]):
            there = [tile for tile in triplet if (tile.collection, tile.name) in shown]
            if len(there) < len(triplet):
                for tile in there:
                    _hide_tile(store, tile)
    _mark(store, folder, state)
    return removed


def _packed_collections(store: DatasetStore, stage: TileStage) -> list[str]:
    """Collections of which there is a store; an empty name where tiles of the kind are in no collection."""
    if stage != "triplet_tiles":
        return [""] if store.packed(stage, "").is_there else []
    stores = store.files.names(f"{store.tile_folder(stage)}/*.zarr")
    return [name.rpartition("/")[2].removesuffix(".zarr") for name in stores]


def _remove_packed(packed: PackedTiles, collection: str, wanted: Mapping[tuple[str, str], str]) -> int:
    """Take those tiles that are not wanted out of a store; how many."""
    removed = 0
    for scene_id in packed.scene_ids():
        scene = packed.scene(scene_id)
        there = scene.whole()
        staying = {name: made_from for name, made_from in there.items() if wanted.get((collection, name)) == made_from}
        removed += len(there) - len(staying)
        if not staying:
            scene.remove()
        elif len(staying) < len(there):
            try:
                scene.write(staying, (PackedTile(scene.open(name), scene.described(name)["yml"]) for name in staying))
            except StoreError:  # one that stays cannot be read: they are all made again
                scene.remove()
    if not any(of == collection for of, _ in wanted):
        packed.remove()
    return removed


def _is_wanted(arrays: ArrayStore, key: str, made_from: str | None) -> bool:
    return made_from is not None and (arrays.attributes(key) or {}).get("fingerprint") == made_from


def _remove_tile(store: DatasetStore, arrays: ArrayStore, name: str) -> None:
    store.files.remove(f"{arrays.folder}/{READERS_INDEX}")
    # The picture first: it is what a reader finds a tile by.
    for suffix in reversed(TILE_SUFFIXES):
        store.files.remove(f"{arrays.folder}/{name}{suffix}")


def _hide_tile(store: DatasetStore, tile: TileSpec) -> None:
    shown, waiting = (store.tiles("triplet_tiles", tile.collection, waiting=waits).folder for waits in (False, True))
    store.files.remove(f"{shown}/{READERS_INDEX}")
    for suffix in reversed(TILE_SUFFIXES):
        if store.files.exists(f"{shown}/{tile.name}{suffix}"):
            store.files.move(f"{shown}/{tile.name}{suffix}", f"{waiting}/{tile.name}{suffix}")


def _tiles_on_disk(store: DatasetStore, stage: TileStage) -> list[tuple[bool, str, str]]:
    """Whether it waits, collection and name of each tile of which any file is there."""
    found = set()
    for waiting in (False, True) if store.shows_whole_triplets(stage) else (False,):
        collection = "*" if stage == "triplet_tiles" else ""
        for file in store.files.names(f"{store.tiles(stage, collection, waiting=waiting).folder}/*"):
            *folders, name = file.split("/")
            match = _TILE_FILE.fullmatch(name)
            if match is not None:
                found.add((waiting, folders[-1] if collection else "", match["tile"]))
    return sorted(found)


def _is_marked(store: DatasetStore, folder: str, state: object) -> bool:
    """Whether a folder was cleared of all but this state, so that no file has to be opened to see it."""
    name = store.layout.made_from(folder)
    return store.files.exists(name) and store.files.read_bytes(name).decode() == fingerprint(state)


def tiles_mark(store: DatasetStore, stage: TileStage) -> bytes:
    """What :func:`remove_outdated_tiles` left as a mark: another one once a run has cleared for other tiles."""
    name = store.layout.made_from(store.tile_folder(stage))
    return store.files.read_bytes(name) if store.files.exists(name) else b""


def _mark(store: DatasetStore, folder: str, state: object) -> None:
    store.files.write_bytes(store.layout.made_from(folder), fingerprint(state).encode())
