"""The plans of tiles of each kind, and what holds across scenes: only complete triplets are shown.

A triplet's three tiles come from two scenes, which may be worked on at any time by any worker.
Tiles wait in ``triplets/.incomplete`` until the third one is there and are then renamed into their
collection, so that whoever reads a collection finds only triplets, each of three tiles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Literal

from convml_data.errors import PlanError
from convml_data.fingerprints import fingerprint
from convml_data.geometry.local import LocalDomain
from convml_data.meta.load import META_NAME
from convml_data.meta.sampling import TrajectoryTiles, Triplets
from convml_data.pipeline.acceptance import (
    contents_made_from,
    mask_product,
    scene_contents,
    scenes_not_regridded,
    unreadable_scenes,
)
from convml_data.pipeline.discovery import ledger_is_current
from convml_data.scenes.ledger import Ledger
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.plan import TilePlan, TileSpec, plan_triplets
from convml_data.tiles.sliding_window import tiles_over
from convml_data.tiles.splits import ByIntervals, ByTimeBlock, RandomByRelativeSampleSize, Split, StableHash
from convml_data.tiles.tile import Tile, TileStage
from convml_data.tiles.trajectory_tiles import TrajectoryPlan, plan_trajectory_tiles
from convml_data.trajectories import DEFAULT_MAX_DT, read_trajectories

#: What the neural-network side writes into a collection and then trusts, whatever changed since.
READERS_INDEX = "meta.csv"

_PlanStage = Literal["tile_plan", "trajectory_plan"]


#: The plan of each kind of tiles that has one.
PLANS: Mapping[str, _PlanStage] = {
    "triplet_tiles": "tile_plan",
    "trajectory_tiles": "trajectory_plan",
}


def make_tile_plan(store: DatasetStore) -> TilePlan:
    """Draw all tiles of a dataset from the scenes of its ledger and keep the plan."""
    dataset, ledger = store.dataset, store.read_ledger()
    if dataset.is_ongoing:
        # The latest are often not through yet, and come into the next plan.
        late = {*scenes_to_crop_first(store, ledger), *scenes_not_regridded(store, ledger)}
        ledger = replace(ledger, rows=tuple(row for row in ledger.rows if row.scene_id not in late))
    triplets = dataset.wanted_tiles("triplet_tiles")
    assert isinstance(triplets, Triplets)
    unknown = scenes_to_crop_first(store, ledger)
    if unknown:
        raise PlanError(
            f"quality.min_valid_share decides which scenes give tiles, and {len(unknown)} of {len(ledger.scenes)} "
            "scenes are not cropped yet",
            where=store.files.url(store.layout.tile_plan),
            remedy="Run `convml-data crop`, or materialize `cropped` for all scenes first",
        )
    accept = dataset.meta.sampling.accept
    contents = scene_contents(store, ledger, triplets.tile_N)
    unreadable = unreadable_scenes(store, ledger)
    plan = plan_triplets(
        split=_split(triplets),
        snap_to_grid=dataset.meta.sampling.snap_to_grid,
        accepts=None if contents is None else contents.accepts,
        max_draws=1 if accept is None else accept.max_draws,
        domain=dataset.domain,
        resolution=dataset.meta.sampling.resolution,
        tile_n=triplets.tile_N,
        n_triplets=triplets.N_triplets,
        neigh_dist_scaling=triplets.neigh_dist_scaling,
        seed=dataset.meta.sampling.seed,
        scene_ids=[scene_id for scene_id in ledger.scene_ids if scene_id not in unreadable],
        fingerprint=_plan_fingerprint(store, ledger, "tile_plan"),
    )
    plan = replace(plan, left_over={**plan.left_over, **unreadable})
    store.note_settings("tile_plan")
    store.write_tile_plan(plan)
    return plan


def _split(triplets: Triplets) -> Split:
    """How ``meta.yaml`` shares scenes out to the collections."""
    match triplets.scene_collections_splitting:
        case "random_by_relative_sample_size":
            return RandomByRelativeSampleSize()
        case "by_time_block":
            return ByTimeBlock(triplets.block or timedelta(days=1), triplets.guard or timedelta(hours=6))
        case "by_intervals":
            return ByIntervals({name: span.spans() for name, span in (triplets.intervals or {}).items()})
        case "stable_hash":
            return StableHash()


def make_trajectory_plan(store: DatasetStore) -> TrajectoryPlan:
    """Place a tile around each trajectory in each scene of the ledger and keep the plan."""
    dataset, ledger = store.dataset, store.read_ledger()
    around = dataset.wanted_tiles("trajectory_tiles")
    assert isinstance(around, TrajectoryTiles)
    assert dataset.trajectories_file is not None  # which meta.yaml was checked for
    assert dataset.meta.trajectories is not None
    if not isinstance(dataset.domain, LocalDomain):
        raise PlanError(
            "trajectories are places on the earth, and the source's domain has none",
            where=f"{dataset.directory / META_NAME}: sampling.trajectories",
            remedy="Leave them out, or use source files with longitude and latitude",
        )
    trajectories = read_trajectories(dataset.trajectories_file)
    plan = plan_trajectory_tiles(
        trajectories,
        [(row.scene_id, row.scan.start) for row in ledger.scenes],
        domain=dataset.domain,
        tile_n=around.tile_N,
        resolution=dataset.meta.sampling.resolution,
        max_dt=dataset.meta.trajectories.max_dt or trajectories.max_dt or DEFAULT_MAX_DT,
        fingerprint=_plan_fingerprint(store, ledger, "trajectory_plan"),
    )
    if not plan.tiles:
        why = next(iter(plan.without.values()), "there is no scene")
        raise PlanError(
            f"no scene has a tile around a trajectory: {why}",
            where=f"{dataset.directory / META_NAME}: trajectories",
            remedy="Correct `time`, `domain` or `trajectories.max_dt`",
        )
    store.note_settings("trajectory_plan")
    store.write_trajectory_plan(plan)
    return plan


def trajectory_plan_is_current(store: DatasetStore) -> bool:
    """Whether there is a plan of tiles around trajectories that was made from this ``meta.yaml`` and these scenes."""
    name = store.layout.trajectory_plan
    return store.files.exists(name) and _is_current(store, store.read_trajectory_plan(), "trajectory_plan")


def current_trajectory_plan(store: DatasetStore) -> TrajectoryPlan:
    """The plan on disk, for auxiliary products too; PlanError where meta.yaml or the scenes have changed since.

    That of an ongoing dataset holds for the scenes that there were.
    """
    plan = store.read_trajectory_plan()
    if not _holds(store, plan, "trajectory_plan"):
        raise PlanError(
            "meta.yaml or the scenes have changed since this plan was made",
            where=store.files.url(store.layout.trajectory_plan),
            remedy="Run `convml-data tiles --tiles-kind trajectories`, or materialize `trajectory_plan` first",
        )
    return plan


def tiles_of_scenes(store: DatasetStore, stage: TileStage, scene_ids: Iterable[str]) -> dict[str, tuple[Tile, ...]]:
    """The tiles of a kind that each scene is to give.

    Raises
    ------
    PlanError
        There is no plan of the present settings, or the dataset asks for no such tiles.
    """
    if stage == "sliding_window_tiles":
        grid, (tile_n, step) = store.dataset.grid, store.dataset.sliding_window
        return {scene_id: tiles_over(scene_id, grid, tile_n, step) for scene_id in scene_ids}
    plan = current_tile_plan(store) if stage == "triplet_tiles" else current_trajectory_plan(store)
    return {scene_id: plan.tiles_of(scene_id) for scene_id in scene_ids}


def require_planned(store: DatasetStore, stage: TileStage, scene_ids: Iterable[str]) -> None:
    """See that a plan which gives every scene its tiles was made when these scenes were there; PlanError if not."""
    if stage != "trajectory_tiles":
        return
    seen = store.read_trajectory_plan().scenes_seen
    newer = [scene_id for scene_id in scene_ids if scene_id not in seen]
    if newer:
        raise PlanError(
            f"{len(newer)} scenes have come since this plan was made, the first being {newer[0]}",
            where=store.files.url(store.layout.trajectory_plan),
            remedy="Run `convml-data tiles --tiles-kind trajectories`, or materialize `trajectory_plan` first",
        )


def scenes_to_crop_first(store: DatasetStore, ledger: Ledger) -> list[str]:
    """Scenes of which it is not known yet whether they show enough of the domain to give tiles."""
    if store.dataset.meta.quality.min_valid_share == 0:
        return []
    return [row.scene_id for row in ledger.scenes if row.coverage is None]


def tile_plan_is_current(store: DatasetStore) -> bool:
    """Whether there is a plan that was drawn from this ``meta.yaml`` and these scenes, and from what they show now."""
    name = store.layout.tile_plan
    return store.files.exists(name) and _is_current(store, store.read_tile_plan(), "tile_plan")


def current_tile_plan(store: DatasetStore) -> TilePlan:
    """The plan on disk, for auxiliary products too; PlanError where meta.yaml or the scenes have changed since.

    That of an ongoing dataset holds for the scenes that there were.
    """
    plan = store.read_tile_plan()
    if not _holds(store, plan, "tile_plan"):
        what = (
            "meta.yaml or the scenes" if mask_product(store.primary) is None else "meta.yaml, the scenes or the masks"
        )
        raise PlanError(
            f"{what} have changed since this plan was drawn",
            where=store.files.url(store.layout.tile_plan),
            remedy="Run `convml-data tiles`, or materialize `tile_plan` before the tiles",
        )
    return plan


def plan_holds(store: DatasetStore, stage: _PlanStage) -> bool:
    """Whether there is a plan that may be used: it is current or, as scenes keep coming, of those that there were."""
    name = store.layout.tile_plan if stage == "tile_plan" else store.layout.trajectory_plan
    if not store.files.exists(name):
        return False
    plan = store.read_tile_plan() if stage == "tile_plan" else store.read_trajectory_plan()
    return _holds(store, plan, stage)


def _is_current(store: DatasetStore, plan: TilePlan | TrajectoryPlan, stage: _PlanStage) -> bool:
    """Whether a plan was made from the present ``meta.yaml`` and the dataset's own scenes, and what they show now."""
    return _is_of(store.primary, plan, store.primary.read_ledger(), stage)


def _holds(store: DatasetStore, plan: TilePlan | TrajectoryPlan, stage: _PlanStage) -> bool:
    """Whether a plan may be used: it is current or, as scenes keep coming, was made of those that there were."""
    primary, ledger = store.primary, store.primary.read_ledger()
    if primary.dataset.is_ongoing:
        seen = plan.scenes_seen
        ledger = replace(ledger, rows=tuple(row for row in ledger.rows if row.scene_id in seen))
    return _is_of(primary, plan, ledger, stage)


def _is_of(store: DatasetStore, plan: TilePlan | TrajectoryPlan, ledger: Ledger, stage: _PlanStage) -> bool:
    of_mask = mask_product(store) if stage == "tile_plan" else None
    if of_mask is not None and not ledger_is_current(of_mask):
        return False  # the masks may go with other scenes now
    return plan.fingerprint == _plan_fingerprint(store, ledger, stage)


def _plan_fingerprint(store: DatasetStore, ledger: Ledger, stage: _PlanStage) -> str:
    return plan_fingerprint(store, store.dataset.fingerprint(stage), ledger, stage)


def plan_fingerprint(store: DatasetStore, settings: str, ledger: Ledger, stage: _PlanStage) -> str:
    """What a plan is made from: the fingerprint of its settings, the scenes, and what they show if it looks at that."""
    shown = contents_made_from(store, ledger) if stage == "tile_plan" else []
    return fingerprint([settings, ledger.scene_ids, *shown])


def triplets_of(of_triplets: Iterable[TileSpec]) -> list[tuple[TileSpec, ...]]:
    """The tiles of each triplet."""
    triplets: dict[tuple[str, int], list[TileSpec]] = defaultdict(list)
    for tile in of_triplets:
        triplets[tile.collection, tile.triplet_id].append(tile)
    return [tuple(tiles) for tiles in triplets.values()]


def triplets_by_scene(of_triplets: Iterable[TileSpec]) -> dict[str, list[tuple[TileSpec, ...]]]:
    """For each scene the triplets that it gives a tile to, each with all of its tiles."""
    of_scene: dict[str, list[tuple[TileSpec, ...]]] = defaultdict(list)
    for tiles in triplets_of(of_triplets):
        for scene_id in {tile.scene_id for tile in tiles}:
            of_scene[scene_id].append(tiles)
    return of_scene


def show_complete_triplets(store: DatasetStore, triplets: Iterable[tuple[TileSpec, ...]]) -> int:
    """Move those triplets of which no tile is missing into their collections; how many there were."""
    return sum(_show_if_complete(store, tiles) for tiles in triplets)


def _show_if_complete(store: DatasetStore, tiles: tuple[TileSpec, ...]) -> bool:
    collection = tiles[0].collection
    shown, waiting = (store.tiles("triplet_tiles", collection, waiting=waits).folder for waits in (False, True))
    if shown == waiting:
        return False
    # All data files, then all descriptions, then all pictures, which readers find tiles by.
    names = [f"{tile.name}{suffix}" for suffix, tile in product(store.tile_suffixes, tiles)]
    moves = [name for name in names if store.files.exists(f"{waiting}/{name}")]
    if not moves or any(name not in moves and not store.files.exists(f"{shown}/{name}") for name in names):
        return False
    store.files.remove(f"{shown}/{READERS_INDEX}")
    for name in moves:
        store.files.move(f"{waiting}/{name}", f"{shown}/{name}")
    return True
