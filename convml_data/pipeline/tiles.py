"""Stage ``tile_plan`` and what holds across scenes: only complete triplets are shown.

A triplet's three tiles come from two scenes, which may be worked on at any time by any worker.
Tiles wait in ``triplets/.incomplete`` until the third one is there and are then renamed into their
collection, so that whoever reads a collection finds only triplets, each of three tiles.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import product

from convml_data.errors import PlanError
from convml_data.meta.dataset import Dataset
from convml_data.meta.load import META_NAME
from convml_data.meta.models import Triplets
from convml_data.pipeline.scene import tile_fingerprint
from convml_data.scenes.ledger import Ledger
from convml_data.store.dataset import DatasetStore
from convml_data.store.layout import TILE_SUFFIXES
from convml_data.tiles.plan import TILE_TYPES, TilePlan, TileSpec, plan_triplets

#: What the neural-network side writes into a collection and then trusts, whatever changed since.
READERS_INDEX = "meta.csv"

_TILE_FILE = re.compile(
    rf"(?P<tile>\d{{5,}}_({'|'.join(TILE_TYPES)}))({'|'.join(re.escape(suffix) for suffix in TILE_SUFFIXES)})"
)


def wanted_triplets(dataset: Dataset) -> Triplets:
    """What ``meta.yaml`` says of triplets; PlanError where it asks for none."""
    triplets = dataset.meta.sampling.triplets
    if triplets is None:
        raise PlanError(
            "the dataset asks for no tiles",
            where=f"{dataset.directory / META_NAME}: sampling.triplets",
            remedy="Add `triplets: {N_triplets: {train: …}, tile_N: …}` to `sampling`",
        )
    return triplets


def make_tile_plan(store: DatasetStore) -> TilePlan:
    """Draw all tiles of a dataset from the scenes of its ledger and keep the plan."""
    dataset, ledger = store.dataset, store.read_ledger()
    triplets = wanted_triplets(dataset)
    plan = plan_triplets(
        domain=dataset.domain,
        resolution=dataset.meta.sampling.resolution,
        tile_n=triplets.tile_N,
        n_triplets=triplets.N_triplets,
        neigh_dist_scaling=triplets.neigh_dist_scaling,
        seed=dataset.meta.sampling.seed,
        scene_ids=ledger.scene_ids,
        fingerprint=_plan_fingerprint(dataset, ledger),
    )
    store.write_tile_plan(plan)
    return plan


def tile_plan_is_current(store: DatasetStore) -> bool:
    """Whether there is a plan that was drawn from this ``meta.yaml`` and these scenes."""
    if not store.files.exists(store.layout.tile_plan):
        return False
    return store.read_tile_plan().fingerprint == _plan_fingerprint(store.dataset, store.read_ledger())


def current_tile_plan(store: DatasetStore) -> TilePlan:
    """The plan on disk; PlanError where meta.yaml or the scenes have changed since it was drawn."""
    plan = store.read_tile_plan()
    if plan.fingerprint != _plan_fingerprint(store.dataset, store.read_ledger()):
        raise PlanError(
            "meta.yaml or the scenes have changed since this plan was drawn",
            where=store.files.url(store.layout.tile_plan),
            remedy="Run `convml-data tiles`, or materialize `tile_plan` before the tiles",
        )
    return plan


def _plan_fingerprint(dataset: Dataset, ledger: Ledger) -> str:
    sampling = dataset.meta.sampling
    parts = {
        "domain": dataset.meta.domain.model_dump(mode="json"),
        "resolution": sampling.resolution,
        "seed": sampling.seed,
        "triplets": sampling.triplets.model_dump(mode="json") if sampling.triplets else None,
        "scenes": ledger.scene_ids,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def remove_outdated_tiles(store: DatasetStore, plan: TilePlan) -> int:
    """Delete tiles made from other settings or another plan; how many there were.

    A collection must not mix them with the present ones, and a reader could not tell them apart.
    """
    rows = {row.scene_id: row for row in store.read_ledger().scenes}
    wanted = {
        (tile.collection, tile.name): tile_fingerprint(store.dataset, rows[tile.scene_id], tile) for tile in plan.tiles
    }
    state = hashlib.sha256(json.dumps(sorted(wanted.items())).encode()).hexdigest().encode()
    if store.files.exists(store.layout.tiles_state) and store.files.read_bytes(store.layout.tiles_state) == state:
        return 0
    outdated: dict[str, list[str]] = defaultdict(list)
    for waiting, collection, name in _tiles_on_disk(store):
        arrays = store.tiles(collection, waiting=waiting)
        fingerprint = (arrays.attributes(name) or {}).get("fingerprint")
        if fingerprint is None or wanted.get((collection, name)) != fingerprint:
            outdated[arrays.folder].append(name)
    for folder, names in outdated.items():
        store.files.remove(f"{folder}/{READERS_INDEX}")
        # The picture first: it is what a reader finds a tile by.
        for name, suffix in product(names, reversed(TILE_SUFFIXES)):
            store.files.remove(f"{folder}/{name}{suffix}")
    store.files.write_bytes(store.layout.tiles_state, state)
    return sum(map(len, outdated.values()))


def _tiles_on_disk(store: DatasetStore) -> list[tuple[bool, str, str]]:
    """Whether it waits, collection and name of each tile of which any file is there."""
    found = set()
    for waiting, folders in ((False, store.layout.tiles("*")), (True, store.layout.waiting_tiles("*"))):
        for file in store.files.names(f"{folders}/*"):
            collection, name = file.split("/")[-2:]
            match = _TILE_FILE.fullmatch(name)
            if match is not None:
                found.add((waiting, collection, match["tile"]))
    return sorted(found)


def triplets_by_scene(plan: TilePlan) -> dict[str, list[tuple[TileSpec, ...]]]:
    """For each scene the triplets that it gives a tile to, each with all of its tiles."""
    triplets: dict[tuple[str, int], list[TileSpec]] = defaultdict(list)
    for tile in plan.tiles:
        triplets[tile.collection, tile.triplet_id].append(tile)
    of_scene: dict[str, list[tuple[TileSpec, ...]]] = defaultdict(list)
    for tiles in triplets.values():
        for scene_id in {tile.scene_id for tile in tiles}:
            of_scene[scene_id].append(tuple(tiles))
    return of_scene


def show_complete_triplets(store: DatasetStore, triplets: Iterable[tuple[TileSpec, ...]]) -> int:
    """Move those triplets of which no tile is missing into their collections; how many there were."""
    return sum(_show_if_complete(store, tiles) for tiles in triplets)


def _show_if_complete(store: DatasetStore, tiles: tuple[TileSpec, ...]) -> bool:
    moves: list[tuple[str, str]] = []
    collections = set()
    # All data files, then all descriptions, then all pictures, which readers find tiles by.
    for suffix, tile in product(TILE_SUFFIXES, tiles):
        shown = f"{store.layout.tiles(tile.collection)}/{tile.name}{suffix}"
        waits = f"{store.layout.waiting_tiles(tile.collection)}/{tile.name}{suffix}"
        if store.files.exists(waits):
            moves.append((waits, shown))
            collections.add(tile.collection)
        elif not store.files.exists(shown):
            return False
    for collection in collections:
        store.files.remove(f"{store.layout.tiles(collection)}/{READERS_INDEX}")
    for waits, shown in moves:
        store.files.move(waits, shown)
    return bool(moves)
