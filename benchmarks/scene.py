"""One truecolor scene from local files to files: ours, the original way and tuned satpy, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import data, opponents, ours
from benchmarks.child import Measured, run
from benchmarks.rows import Goal, Row, at_least, at_most

RESOLUTION = 1000.0
#: Our scenes are quick, and one of satpy's is not.
_TIMES, _TUNED_TIMES = 7, 3


def measure() -> Iterator[Row]:
    """Crop as netCDF, crop as PNG, regridded scene as netCDF, by each in a process of its own."""
    yield from _of(data.SMALL, at_least(200), at_least(20), at_most(500))
    yield from _of(data.LARGE, at_least(100), at_least(10), at_most(1200))


def _of(domain: data.Domain, against_original: Goal, against_tuned: Goal, memory: Goal) -> Iterator[Row]:
    folder = data.dataset(f"scene-{domain.width}", domain)
    run(ours.list_scenes, folder=str(folder))
    common: dict[str, Any] = {
        "files": [str(path) for path in data.first_scan(1, 2, 3)],
        "domain": (*data.CENTRE, 1e3 * domain.width, 1e3 * domain.height),
        "resolution": RESOLUTION,
        "out": str(data.CACHE / "satpy"),
    }
    regrid = domain != data.LARGE
    run(ours.scene, folder=str(folder), times=1)  # makes the index map, once for all scenes
    # In turns, so that a slow hour of the machine slows down all of them.
    turns = [run(ours.scene, folder=str(folder), times=_TIMES)]
    tuned = run(opponents.tuned, **common, times=_TUNED_TIMES)
    turns.append(run(ours.scene, folder=str(folder), times=_TIMES))
    original = run(opponents.original, **common, regrid=regrid)
    turns.append(run(ours.scene, folder=str(folder), times=_TIMES))
    best = min(turns, key=lambda turn: turn.result["best_s"])
    case = f"one truecolor scene, {domain}, local files"
    without = "" if regrid else ", which does not regrid"
    yield from _rows(case, f"ours, best of {len(turns) * _TIMES}", best, memory)
    yield from _rows(case, f"the original way{without}, once", original, None)
    yield from _rows(case, f"tuned satpy, best of {_TUNED_TIMES}", tuned, None)
    yield Row(case, "ours, the first of a process", min(turn.result["first_s"] for turn in turns), "s")
    for name, other, goal in (("the original way", original, against_original), ("tuned satpy", tuned, against_tuned)):
        yield Row(case, f"{name} / ours", other.result["best_s"] / best.result["best_s"], "×", goal)


def _rows(case: str, who: str, measured: Measured, memory: Goal | None) -> Iterator[Row]:
    yield Row(case, f"{who}: time", measured.result["best_s"], "s")
    yield Row(case, f"{who}: CPU", measured.result["best_cpu_s"], "s")
    yield Row(case, f"{who}: peak memory", measured.peak_mb, "MB", memory)
