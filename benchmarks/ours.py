"""Scenes as convml-data makes them; for :mod:`~benchmarks.child`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from benchmarks.child import repeated
from benchmarks.data import clear
from convml_data.meta.dataset import load_dataset
from convml_data.pipeline.discovery import make_ledger
from convml_data.pipeline.run import run_scenes
from convml_data.pipeline.scene import Record, Stage
from convml_data.pipeline.workers import Workers
from convml_data.store.dataset import DatasetStore


def list_scenes(folder: str) -> int:
    """Make the ledger; how many scenes it has."""
    return len(make_ledger(DatasetStore.of(load_dataset(Path(folder)))).scene_ids)


def scene(folder: str, times: int) -> dict[str, Any]:
    """One scene, cropped and regridded, again and again.

    Writes the crop as netCDF and PNG and the regridded scene as netCDF and PNG, one PNG more than the others. The first
    time makes the index map where there is none, and loads what is compiled.
    """
    store = DatasetStore.of(load_dataset(Path(folder)))
    first = store.read_ledger().scene_ids[:1]
    records: list[Record] = []
    took = repeated(
        lambda: records.extend(make(store, first, {"cropped", "regridded"}, Workers(1))),
        times,
        lambda: clear(Path(folder)),
    )
    return took | {name: records[0].metadata[name] for name in ("bytes_fetched", "requests")}


def scenes(folder: str, count: int, workers: int, kind: Literal["threads", "processes"]) -> dict[str, float]:
    """The first scenes, cropped and regridded, with what all have in common at hand."""
    store = DatasetStore.of(load_dataset(Path(folder)))
    ids = store.read_ledger().scene_ids[:count]
    make(store, ids[:1], {"cropped", "regridded"}, Workers(1))
    clear(Path(folder))
    return repeated(lambda: make(store, ids, {"cropped", "regridded"}, Workers(workers, kind)), 1)


def make(store: DatasetStore, scene_ids: tuple[str, ...], stages: set[Stage], workers: Workers) -> list[Record]:
    """Take scenes through stages; RuntimeError where one does not pass."""
    records: list[Record] = []
    for outcome in run_scenes(store, scene_ids, frozenset(stages), workers):
        if outcome.error is not None or outcome.dropped is not None:
            raise RuntimeError(f"{outcome.scene_id}: {outcome.error or outcome.dropped}")
        records += outcome.records
    return records


def whole_dataset(folder: str) -> None:
    """All scenes of a dataset, in the runs in which Dagster would make them, with nothing of Dagster."""
    store = DatasetStore.of(load_dataset(Path(folder)))
    ids = make_ledger(store).scene_ids
    store, size = DatasetStore.of(store.dataset), store.dataset.meta.run.max_scenes
    for first in range(0, len(ids), size):
        make(store, ids[first : first + size], {"cropped", "regridded"}, Workers(1))
