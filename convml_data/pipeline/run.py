"""Many scenes at once: one Dask task for each, results as they come."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from convml_data.errors import ConvmlError
from convml_data.pipeline.discovery import current_ledger, note_what_was_read
from convml_data.pipeline.outdated import remove_outdated_scenes, remove_outdated_tiles
from convml_data.pipeline.scene import STAGES, TILE_STAGES, SceneOutcome, SceneTask, Stage, process_scene
from convml_data.pipeline.style import dataset_style
from convml_data.pipeline.tiles import (
    current_tile_plan,
    require_planned,
    show_complete_triplets,
    tiles_of_scenes,
    triplets_by_scene,
)
from convml_data.scenes.ledger import Coverage
from convml_data.store.dataset import DatasetStore


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Parameters
    ----------
    count
        How many scenes are worked on at a time, None for one per processor.
    kind
        ``threads`` of this process or ``processes`` of this machine.
    address
        Of a running Dask scheduler, which then takes the place of both.
    """

    count: int | None = None
    kind: Literal["threads", "processes"] = "threads"
    address: str | None = None


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
    if "regridded" in stages:
        remove_outdated_scenes(store, ledger)
    rows = {row.scene_id: row for row in ledger.scenes}
    tiles = {stage: tiles_of_scenes(store, stage, rows) for stage in TILE_STAGES if stage in stages}
    for stage, by_scene in tiles.items():
        require_planned(store, stage, [scene_id for scene_id in scene_ids if scene_id in rows])
        remove_outdated_tiles(store, stage, ledger, [tile for of_scene in by_scene.values() for tile in of_scene])
    waiting = {} if store.packs or "triplet_tiles" not in stages else triplets_by_scene(current_tile_plan(store))

    reasons = {row.scene_id: row.reason for row in ledger.rows if row.reason is not None}
    for scene_id in scene_ids:
        if scene_id in reasons and scene_id not in rows:
            yield SceneOutcome(scene_id, (), dropped=reasons[scene_id])
        elif scene_id not in rows:
            what = "not in the scene ledger: the archive showed no such scan."
            yield SceneOutcome(scene_id, (), _first(stages), what)
    style = dataset_style(store)
    tasks = [
        SceneTask(store, rows[scene_id], stages, {stage: tiles[stage][scene_id] for stage in tiles}, style)
        for scene_id in scene_ids
        if scene_id in rows
    ]
    coverages: dict[str, Coverage] = {}
    problems: dict[str, str] = {}
    try:
        for outcome in _outcomes(tasks, workers):
            if outcome.coverage is not None:
                coverages[outcome.scene_id] = outcome.coverage
            if outcome.failed_stage == "cropped" and outcome.error is not None:
                problems[outcome.scene_id] = outcome.error
            if any(record.stage == "triplet_tiles" for record in outcome.records):
                show_complete_triplets(store, waiting.get(outcome.scene_id, ()))
            yield outcome
    finally:
        note_what_was_read(store, coverages, problems)


def _outcomes(tasks: Sequence[SceneTask], workers: Workers) -> Iterator[SceneOutcome]:
    count = min(workers.count or os.cpu_count() or 1, len(tasks))
    if workers.address is None and workers.kind == "threads" and count <= 1:
        yield from map(process_scene, tasks)  # a scheduler would only add its start-up
        return
    from distributed import as_completed

    with _client(workers, count) as client:
        tasks_of = dict(zip(client.map(process_scene, tasks, pure=False), tasks, strict=True))
        for future in as_completed(tasks_of):
            try:
                yield future.result()
            except Exception as error:  # the worker was lost, not the scene's own error
                task, why = tasks_of[future], f"the worker was lost ({type(error).__name__}: {error})."
                yield SceneOutcome(task.row.scene_id, (), _first(task.stages), why)


def _first(stages: frozenset[Stage]) -> Stage:
    return next(stage for stage in STAGES if stage in stages)


@contextmanager
def _client(workers: Workers, count: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    if workers.address is not None:
        try:
            client = Client(workers.address, timeout="10s")
        except OSError as error:
            raise ConvmlError(
                f"no Dask scheduler answers ({error})",
                where=workers.address,
                remedy="Start it with `dask scheduler`, or leave the address out to work on this machine",
            ) from error
        with client:
            yield client
    else:
        in_threads = workers.kind == "threads"
        with (
            # The profiler holds on to the frames that it sees and so to what is open in them, for a moment;
            # when something is closed decides where HDF5 puts the next, and files would differ by chance.
            dask.config.set({"distributed.worker.profile.enabled": False}),
            LocalCluster(
                n_workers=1 if in_threads else count,
                threads_per_worker=count if in_threads else 1,
                processes=not in_threads,
                # Not open to the network, on any free port: the default one may be another cluster's.
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
