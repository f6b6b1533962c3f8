"""Many scenes at once: what is done for each, and what is noted of them all."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from convml_data.pipeline.discovery import current_ledger, note_what_was_read
from convml_data.pipeline.outdated import remove_outdated_scenes, remove_outdated_tiles, tiles_mark
from convml_data.pipeline.scene import TILE_STAGES, SceneOutcome, SceneTask, Stage, first_of
from convml_data.pipeline.style import dataset_style
from convml_data.pipeline.tiles import (
    require_planned,
    show_complete_triplets,
    tiles_of_scenes,
    triplets_by_scene,
)
from convml_data.pipeline.workers import Workers, outcomes_of
from convml_data.scenes.ledger import Coverage
from convml_data.store.claims import claimed
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.plan import TileSpec


def run_scenes(
    store: DatasetStore, scene_ids: Sequence[str], stages: frozenset[Stage], workers: Workers
) -> Generator[SceneOutcome, None, None]:
    """Take scenes through stages and give each one's outcome when it is done.

    Scenes that the ledger drops come first, with its reason, and those that it does not hold, as
    failures. What is wrong with a scene is in its outcome; errors are raised only for what concerns
    all of them (no ledger or tile plan of the present settings). What scenes show of their domain, and
    which files could not be read, goes into the ledger at the end.
    """
    ledger = current_ledger(store)
    store.dataset.domain  # noqa: B018  # an error of all scenes, not of each
    for stage in {"cropped", "regridded", *stages}:  # tiles and regridding make what they need
        store.note_settings(stage)
    rows = {row.scene_id: row for row in ledger.scenes}
    tiles = {kind: tiles_of_scenes(store, kind, rows) for kind in TILE_STAGES if kind in stages}
    for kind in tiles:
        require_planned(store, kind, [scene_id for scene_id in scene_ids if scene_id in rows])
    with claimed(store.files, "outdated"):  # or what another run is just showing would be taken for half a triplet
        if "regridded" in stages:
            remove_outdated_scenes(store, ledger)
        for kind, by_scene in tiles.items():
            remove_outdated_tiles(store, kind, ledger, [tile for of_scene in by_scene.values() for tile in of_scene])
        mark = tiles_mark(store, "triplet_tiles")
    of_triplets = () if store.packs else tiles.get("triplet_tiles", {}).values()
    waiting = triplets_by_scene(tile for of_scene in of_triplets for tile in of_scene if isinstance(tile, TileSpec))

    reasons = {row.scene_id: row.reason for row in ledger.rows if row.reason is not None}
    for scene_id in scene_ids:
        if scene_id in reasons and scene_id not in rows:
            yield SceneOutcome(scene_id, (), dropped=reasons[scene_id])
        elif scene_id not in rows:
            what = "not in the scene ledger: the archive showed no such scan."
            yield SceneOutcome(scene_id, (), first_of(stages), what)
    style = dataset_style(store)
    tasks = [
        SceneTask(store, rows[scene_id], stages, {stage: tiles[stage][scene_id] for stage in tiles}, style, mark)
        for scene_id in scene_ids
        if scene_id in rows
    ]
    coverages: dict[str, Coverage] = {}
    problems: dict[str, str] = {}
    try:
        for outcome in outcomes_of(tasks, workers):
            if outcome.coverage is not None:
                coverages[outcome.scene_id] = outcome.coverage
            # That the archive does not answer says nothing of the scene.
            if outcome.failed_stage == "cropped" and outcome.error is not None and not outcome.try_again:
                problems[outcome.scene_id] = outcome.error
            if any(record.stage == "triplet_tiles" for record in outcome.records):
                show_complete_triplets(store, waiting.get(outcome.scene_id, ()))
            yield outcome
    finally:
        note_what_was_read(store, coverages, problems)
