"""How the cost of scenes grows with the domain, their number and the workers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import data, ours
from benchmarks.child import run
from benchmarks.rows import Row

_DOMAINS = [data.Domain(*sides) for sides in ((200, 200), (500, 500), (1000, 1000), (2000, 1000), (3000, 1000))]
_NUMBERS = (12, 48)
_WORKERS = ((1, "threads"), (2, "threads"), (2, "processes"))


def measure() -> Iterator[Row]:
    """Truecolor scenes from local files."""
    for domain in _DOMAINS:
        folder = str(data.dataset(f"growth-{domain.width}-{domain.height}", domain))
        run(ours.list_scenes, folder=folder)
        run(ours.scene, folder=folder, times=1)
        measured = run(ours.scene, folder=folder, times=3)
        case = f"a truecolor scene of {domain}, local files"
        yield Row(case, "time, best of 3", measured.result["best_s"], "s")
        yield Row(case, "CPU", measured.result["best_cpu_s"], "s")
        yield Row(case, "peak memory", measured.peak_mb, "MB")
        yield Row(case, "fetched", measured.result["bytes_fetched"] / 1e6, "MB")
        yield Row(case, "requests", measured.result["requests"])
    most = max(_NUMBERS)
    folder = str(
        data.dataset("growth-number", data.SMALL, f"file://{data.ARCHIVE}/{data.require_many_scans(most)}", most)
    )
    run(ours.list_scenes, folder=folder)
    for count in _NUMBERS:
        for workers, kind in _WORKERS:
            measured = run(ours.scenes, folder=folder, count=count, workers=workers, kind=kind)
            case = f"{count} truecolor scenes of {data.SMALL}, local files, {workers} {kind}"
            yield Row(case, "time for each", measured.result["best_s"] / count, "s")
            yield Row(case, "peak memory of the run", measured.peak_mb, "MB")
