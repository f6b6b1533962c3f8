"""Tiles written, in each format, from scenes that are cropped already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import data, ours
from benchmarks.child import repeated, run
from benchmarks.rows import Row, at_least

_TRIPLETS = 120
_WORKERS = 2
_GOALS = {"files": ("netCDF + PNG + YAML", at_least(200)), "zarr": ("one Zarr store", at_least(1000))}


def measure() -> Iterator[Row]:
    """Tiles of 256 × 256 cells and 3 bands, from two scenes; regridding of each and drawing included."""
    for format_, (name, goal) in _GOALS.items():
        triplets = {"N_triplets": {"train": _TRIPLETS}, "tile_N": 256}
        folder = data.dataset(f"tiles-{format_}", data.LARGE, sampling={"triplets": triplets, "format": format_})
        run(ours.list_scenes, folder=str(folder))
        run(ours.scenes, folder=str(folder), count=2, workers=1, kind="threads")
        measured = run(cut, folder=str(folder))
        case = f"{3 * _TRIPLETS} tiles of 256 × 256 × 3, {name}, {_WORKERS} workers"
        yield Row(case, "tiles a second", 3 * _TRIPLETS / measured.result["best_s"], "", goal)
        yield Row(case, "CPU for each", 1e3 * measured.result["best_cpu_s"] / 3 / _TRIPLETS, "ms")
        yield Row(case, "peak memory", measured.peak_mb, "MB")


def cut(folder: str) -> dict[str, float]:
    """Plan the tiles, and cut them all."""
    from convml_data.meta.dataset import load_dataset
    from convml_data.pipeline.tiles import make_tile_plan
    from convml_data.pipeline.workers import Workers
    from convml_data.store.dataset import DatasetStore

    store = DatasetStore.of(load_dataset(Path(folder)))
    make_tile_plan(store)
    ids = store.read_ledger().scene_ids
    return repeated(lambda: ours.make(store, ids, {"triplet_tiles"}, Workers(_WORKERS)), 1)
