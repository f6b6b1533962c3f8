"""Statistics of a collection's tiles, and the index and card that go with a dataset that is passed on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from convml_data.errors import StoreError
from convml_data.export.card import write_card
from convml_data.export.geoparquet import planned_tiles, tiles_there, write_index
from convml_data.pipeline.discovery import current_ledger
from convml_data.pipeline.made_from import tile_fingerprint
from convml_data.pipeline.tiles import current_tile_plan, tiles_of_scenes
from convml_data.report.statistics import Statistics, fingerprint_of_tiles, statistics_of
from convml_data.scenes.ledger import Ledger, LedgerRow
from convml_data.store.arrays import DAMAGED
from convml_data.store.dataset import DatasetStore
from convml_data.store.shown_tiles import ShownTiles
from convml_data.tiles.plan import TileSpec
from convml_data.tiles.tile import Tile, TileStage

#: The collection that statistics are of unless another is named: what a network is trained on.
TRAIN = "train"


def make_statistics(store: DatasetStore, collection: str = TRAIN) -> Statistics:
    """Read the tiles of a collection's complete triplets once, and keep their statistics.

    Raises
    ------
    StoreError
        There are no such tiles, or one cannot be read.
    """
    arrays = store.shown_tiles("triplet_tiles", collection)
    names = [tile.name for tile in _present_tiles(store, collection)]
    if not names:
        raise StoreError(
            f"there are no tiles of the collection {collection} to make statistics of",
            where=store.files.url(arrays.place),
            remedy="Run `convml-data tiles` first, or name another collection",
        )
    found = reduce(Statistics.merged, (_of_tile(arrays, name) for name in names))
    store.files.write_bytes(store.layout.statistics(collection), found.to_json().encode())
    return found


def _present_tiles(store: DatasetStore, collection: str) -> list[TileSpec]:
    """The tiles of a collection that are planned and have data.

    Raises
    ------
    PlanError, StoreError
        There is no plan of the present settings, it has no such collection, or a tile is missing or of
        other settings.
    """
    plan, rows = current_tile_plan(store), {row.scene_id: row for row in current_ledger(store).scenes}
    if collection not in plan.scenes:
        raise StoreError(
            f"there is no collection {collection!r}",
            where=store.files.url(store.layout.tile_plan),
            remedy=f"Name one of {', '.join(plan.scenes)}",
        )
    wanted = [tile for tile in plan.tiles if tile.collection == collection and tile.scene_id in rows]
    arrays = store.shown_tiles("triplet_tiles", collection)
    for tile in wanted:
        if not _is_current(store, arrays, rows[tile.scene_id], "triplet_tiles", tile):
            raise StoreError(
                "this tile is missing, or was made from other settings",
                where=arrays.url(tile.name),
                remedy="Run `convml-data tiles` first",
            )
    return wanted


def _of_tile(arrays: ShownTiles, name: str) -> Statistics:
    try:
        with arrays.open(name) as tile:
            return statistics_of(tile.load(), arrays.url(name))
    except DAMAGED as error:
        raise StoreError(
            f"this tile is damaged ({error})", where=arrays.url(name), remedy="Delete it and run `convml-data tiles`"
        ) from error


def kept_statistics(store: DatasetStore, collection: str = TRAIN) -> Statistics | None:
    """The statistics on disk, None where there are none."""
    name = store.layout.statistics(collection)
    if not store.files.exists(name):
        return None
    return Statistics.from_json(store.files.read_bytes(name).decode(), store.files.url(name))


@dataclass(frozen=True)
class Exported:
    """How many tiles an index lists, and how many more are planned."""

    tiles: int
    missing: int


def export(store: DatasetStore, folder: Path) -> Exported:
    """Write the index of all tiles and the dataset's card into a folder.

    Raises
    ------
    ConvmlError
        As :func:`~convml_data.export.geoparquet.write_index`.
    PlanError, StoreError
        The scenes, a plan, a tile or the statistics are not of the present settings.
    """
    if store.dataset.tile_stages:
        ledger = current_ledger(store)
        for stage in store.dataset.tile_stages:
            tiles_of_scenes(store, stage, ())  # or an error, where its plan is not of the present settings
        _require_current_tiles(store, ledger)
    statistics = _current_statistics(store)
    tiles = write_index(store, folder / "index.parquet")
    write_card(store, folder / "README.md", [] if statistics is None else [statistics])
    return Exported(tiles, sum(1 for _ in planned_tiles(store)) - tiles)


def _current_statistics(store: DatasetStore) -> Statistics | None:
    """The statistics on disk, None where there are none; StoreError where they are of other tiles than the present."""
    found = kept_statistics(store)
    if found is None:
        return None
    present = fingerprint_of_tiles(
        (tile.name, str((shown.attributes(tile.name) or {}).get("fingerprint")))
        for stage, tile, shown in tiles_there(store)
        if stage == "triplet_tiles" and tile.collection == TRAIN
    )
    if found.fingerprint != present:
        raise StoreError(
            "these statistics are of other tiles than those that are there",
            where=store.files.url(store.layout.statistics(TRAIN)),
            remedy="Run `convml-data statistics`, or delete them",
        )
    return found


def _require_current_tiles(store: DatasetStore, ledger: Ledger) -> None:
    """See that of the planned tiles those that are there are of the present settings, each by its own file."""
    rows = {row.scene_id: row for row in ledger.scenes}
    outdated = [
        shown.url(tile.name)
        for stage, tile, shown in tiles_there(store)
        if not _is_current(store, shown, rows.get(tile.scene_id), stage, tile)
    ]
    if outdated:
        others = f", and so are {len(outdated) - 1} others" if len(outdated) > 1 else ""
        raise StoreError(
            f"this tile was made from other settings or is not whole{others}",
            where=outdated[0],
            remedy="Run `convml-data tiles` for this kind of tiles first",
        )


def _is_current(store: DatasetStore, shown: ShownTiles, row: LedgerRow | None, stage: TileStage, tile: Tile) -> bool:
    """Whether a tile is there and was made from the present settings; ``row`` is None if its scene is none."""
    attributes = shown.attributes(tile.name) or {}
    return row is not None and attributes.get("fingerprint") == tile_fingerprint(store.dataset, row, stage, tile)
