"""One truecolor scene over the emulated link, from the first request to the last file."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import data, ours
from benchmarks.child import run
from benchmarks.link import BYTES_PER_S, LATENCY_S, emulated_link
from benchmarks.rows import Row, at_most

_TIMES = 7
_GOALS = {data.SMALL: at_most(0.35), data.LARGE: at_most(1.3)}


def measure() -> Iterator[Row]:
    """Ours, and the download of whole files that the original way begins with."""
    with emulated_link(data.ARCHIVE) as link:
        for domain, goal in _GOALS.items():
            folder = str(data.dataset(f"latency-{domain.width}", domain, data.S3))
            run(ours.list_scenes, link.environment, folder=folder)
            run(ours.scene, link.environment, folder=folder, times=1)  # makes the index map, once for all scenes
            took = run(ours.scene, link.environment, folder=folder, times=_TIMES).result
            case = f"one truecolor scene over the link, {domain}"
            yield Row(case, f"fetch to files, best of {_TIMES}", took["best_s"], "s", goal)
            yield Row(case, "the first of a process", took["first_s"], "s")
    yield Row("whole files of one truecolor scene over the link", "download", run(download).result, "s")


def download() -> float:
    """Seconds that the three files take, one after the other, as the original way fetches them."""
    import s3fs

    from convml_data.simulate.archive import bucket_of

    root = bucket_of(data.ARCHIVE, "goes16").parent
    with emulated_link(data.ARCHIVE, LATENCY_S, BYTES_PER_S) as link:
        filesystem = s3fs.S3FileSystem(anon=True, endpoint_url=link.environment["AWS_ENDPOINT_URL"])
        target = data.CACHE / "download.nc"
        started = time.perf_counter()
        for path in data.first_scan(1, 2, 3):
            filesystem.get(str(path.relative_to(root)), str(target))
        seconds = time.perf_counter() - started
        target.unlink()
    return seconds
