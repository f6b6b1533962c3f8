"""Tiles written, in each format, from scenes that are cropped already."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import data, ours
from benchmarks.child import repeated, run
from benchmarks.rows import Goal, Row, at_least

_WORKERS = 2
#: The first time loads what is compiled.
_TIMES = 3


class _Kind(NamedTuple):
    name: str
    triplets: int
    sampling: dict[str, Any]
    goal: Goal | None


_KINDS = (
    _Kind("netCDF + PNG + YAML", 100, {"format": "files", "snap_to_grid": True}, at_least(200)),
    _Kind("one Zarr store", 100, {"format": "zarr", "snap_to_grid": True}, at_least(1000)),
    _Kind("netCDF + PNG + YAML, each regridded to its own plane", 20, {"format": "files"}, None),
)


def measure() -> Iterator[Row]:
    """Tiles of 256 × 256 cells and 3 bands of two scenes: slices of the regridded scene, or on planes of their own."""
    for number, kind in enumerate(_KINDS):
        triplets = {"N_triplets": {"train": kind.triplets}, "tile_N": 256}
        folder = data.dataset(f"tiles-{number}", data.LARGE, sampling={"triplets": triplets, **kind.sampling})
        run(ours.list_scenes, folder=str(folder))
        run(ours.scenes, folder=str(folder), count=2, workers=1, kind="threads")
        measured = run(cut, folder=str(folder))
        case = f"{3 * kind.triplets} tiles of 256 × 256 × 3, {kind.name}, {_WORKERS} workers, best of {_TIMES}"
        yield Row(case, "tiles a second", 3 * kind.triplets / measured.result["best_s"], "", kind.goal)
        yield Row(case, "CPU for each", 1e3 * measured.result["best_cpu_s"] / 3 / kind.triplets, "ms")
        yield Row(case, "peak memory", measured.peak_mb, "MB")


def cut(folder: str) -> dict[str, float]:
    """Cut all tiles of a plan, again and again."""
    from convml_data.meta.dataset import load_dataset
    from convml_data.pipeline.tiles import make_tile_plan
    from convml_data.pipeline.workers import Workers
    from convml_data.store.dataset import DatasetStore

    store = DatasetStore.of(load_dataset(Path(folder)))
    ids = store.read_ledger().scene_ids

    def plan_anew() -> None:
        shutil.rmtree(Path(folder) / "triplets", ignore_errors=True)
        make_tile_plan(store)

    return repeated(lambda: ours.make(store, ids, {"triplet_tiles"}, Workers(_WORKERS)), _TIMES, plan_anew)
