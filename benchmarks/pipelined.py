"""Many scenes through Dagster over the emulated link: what a user's command takes, its start included."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import data
from benchmarks.link import Link, emulated_link
from benchmarks.rows import Row, at_least

#: Scenes, and how many are worked on at a time.
_RUNS = {data.SMALL: (240, 16, at_least(20_000)), data.LARGE: (24, 6, at_least(3_500))}


def measure() -> Iterator[Row]:
    """``convml-data regrid`` on an archive of as many scans."""
    for domain, (count, workers, goal) in _RUNS.items():
        bucket = data.require_many_scans(count)
        with emulated_link(data.ARCHIVE) as link:
            folder = data.dataset(f"pipelined-{domain.width}", domain, f"s3://{bucket}", scans=count)
            _command(link, folder, "scene-ids")
            started, cpu_started = time.perf_counter(), _cpu_of_children()
            _command(link, folder, "regrid", "--workers", str(workers))
            seconds, cpu = time.perf_counter() - started, _cpu_of_children() - cpu_started
            sent = link.counters().sent
        done = len(list((folder / "rect").glob("*.nc")))
        if done != count:
            raise RuntimeError(f"{done} of {count} scenes were made")
        case = f"{count} truecolor scenes through Dagster over the link, {domain}, {workers} at a time"
        yield Row(case, "scenes an hour", 3600 * count / seconds, "", goal)
        yield Row(case, "CPU for each scene", cpu / count, "s")
        yield Row(case, "fetched for each scene", sent / count / 1e6, "MB")


def _command(link: Link, folder: Path, *arguments: str) -> None:
    environment = os.environ | link.environment | {"DAGSTER_HOME": str(data.CACHE / "dagster")}
    command = [str(data.COMMAND), *arguments, "--data-path", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
