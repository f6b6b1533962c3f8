"""Stage ``tile_plan`` and what holds across scenes: only complete triplets are shown.

A triplet's three tiles come from two scenes, which may be worked on at any time by any worker.
Tiles wait in ``triplets/.incomplete`` until the third one is there and are then renamed into their
collection, so that whoever reads a collection finds only triplets, each of three tiles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import product

from convml_data.errors import PlanError
from convml_data.fingerprints import fingerprint
from convml_data.meta.dataset import Dataset
from convml_data.meta.load import META_NAME
from convml_data.meta.sampling import Triplets
from convml_data.scenes.ledger import Ledger
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.plan import TilePlan, TileSpec, plan_triplets

#: What the neural-network side writes into a collection and then trusts, whatever changed since.
READERS_INDEX = "meta.csv"


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
    unknown = scenes_to_crop_first(store, ledger)
    if unknown:
        raise PlanError(
            f"quality.min_valid_share decides which scenes give tiles, and {len(unknown)} of {len(ledger.scenes)} "
            "scenes are not cropped yet",
            where=store.files.url(store.layout.tile_plan),
            remedy="Run `convml-data crop`, or materialize `cropped` for all scenes first",
        )
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


def scenes_to_crop_first(store: DatasetStore, ledger: Ledger) -> list[str]:
    """Scenes of which it is not known yet whether they show enough of the domain to give tiles."""
    if store.dataset.meta.quality.min_valid_share == 0:
        return []
    return [row.scene_id for row in ledger.scenes if row.coverage is None]


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
    return fingerprint([dataset.fingerprint("tile_plan"), ledger.scene_ids])


def triplets_of(plan: TilePlan) -> list[tuple[TileSpec, ...]]:
    """The tiles of each triplet of a plan."""
    triplets: dict[tuple[str, int], list[TileSpec]] = defaultdict(list)
    for tile in plan.tiles:
        triplets[tile.collection, tile.triplet_id].append(tile)
    return [tuple(tiles) for tiles in triplets.values()]


def triplets_by_scene(plan: TilePlan) -> dict[str, list[tuple[TileSpec, ...]]]:
    """For each scene the triplets that it gives a tile to, each with all of its tiles."""
    of_scene: dict[str, list[tuple[TileSpec, ...]]] = defaultdict(list)
    for tiles in triplets_of(plan):
        for scene_id in {tile.scene_id for tile in tiles}:
            of_scene[scene_id].append(tiles)
    return of_scene


def show_complete_triplets(store: DatasetStore, triplets: Iterable[tuple[TileSpec, ...]]) -> int:
    """Move those triplets of which no tile is missing into their collections; how many there were."""
    return sum(_show_if_complete(store, tiles) for tiles in triplets)


def _show_if_complete(store: DatasetStore, tiles: tuple[TileSpec, ...]) -> bool:
    shown, waiting = (store.tiles(tiles[0].collection, waiting=waits).folder for waits in (False, True))
    # All data files, then all descriptions, then all pictures, which readers find tiles by.
    names = [f"{tile.name}{suffix}" for suffix, tile in product(store.tile_suffixes, tiles)]
    moves = [name for name in names if store.files.exists(f"{waiting}/{name}")]
    if not moves or any(name not in moves and not store.files.exists(f"{shown}/{name}") for name in names):
        return False
    store.files.remove(f"{shown}/{READERS_INDEX}")
    for name in moves:
        store.files.move(f"{waiting}/{name}", f"{shown}/{name}")
    return True
