"""A Dask scheduler and its workers, each a process of its own, on the loopback interface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DaskCluster:
    """Where its scheduler listens, and its processes, which may be killed."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: tuple[subprocess.Popen[bytes], ...]


@contextmanager
def dask_cluster(folder: Path, *, workers: int, environment: dict[str, str] | None = None) -> Iterator[DaskCluster]:
    """Workers of one thread, without nannies, so that one that is killed stays away; logs are in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # The profiler may change the layout of HDF5 files, which are compared byte for byte.
    variables = os.environ | {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"} | (environment or {})
    file = folder / "scheduler.json"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard"]
    worker = ["worker", "--host", "127.0.0.1", "--scheduler-file", str(file), "--no-nanny", "--nthreads", "1"]
    worker += ["--no-dashboard", "--local-directory", str(folder)]
    with ExitStack() as stack:
        started = []
        for name, command in [("scheduler", scheduler), *((f"worker{number}", worker) for number in range(workers))]:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command], cwd=folder, env=variables, stdout=log, stderr=log
                )
            )
            stack.callback(_end, started[-1])
        deadline = time.monotonic() + 60
        while not _has_workers(folder, workers):
            assert time.monotonic() < deadline, {log.name: log.read_text() for log in folder.glob("*.log")}
            time.sleep(0.05)
        yield DaskCluster(str(json.loads(file.read_text())["address"]), started[0], tuple(started[1:]))


def _has_workers(folder: Path, count: int) -> bool:
    logs = [folder / f"worker{number}.log" for number in range(count)]
    return all(b"Registered to:" in log.read_bytes() for log in logs)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
