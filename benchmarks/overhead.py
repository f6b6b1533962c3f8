"""What Dagster adds to the work on a scene, on scenes that are next to no work."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import h5netcdf
import numpy as np
import yaml

from benchmarks import data, ours
from benchmarks.child import run
from benchmarks.rows import Row, at_most

SCENES, STAGES = 500, 2
_SIDE = 16


def measure() -> Iterator[Row]:
    """CPU of a backfill in one process less that of the work alone, both from the start of the process."""
    folder = _model(data.CACHE / "datasets" / "overhead")
    work = run(ours.whole_dataset, folder=str(folder)).cpu_s
    folder = _model(folder)
    environment = os.environ | {"DAGSTER_HOME": str(data.CACHE / "dagster-overhead")}
    shutil.rmtree(environment["DAGSTER_HOME"], ignore_errors=True)
    before = os.times()
    command = [str(data.COMMAND), "backfill", "--data-path", str(folder), "--workers", "1"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    case = f"a backfill of {SCENES} scenes of {_SIDE} × {_SIDE} cells, {STAGES} assets"
    yield Row(
        case, "CPU that Dagster adds for each scene and asset", 1e3 * (cpu - work) / SCENES / STAGES, "ms", at_most(25)
    )


def _model(folder: Path) -> Path:
    """A dataset of a model's file with a time for each scene."""
    shutil.rmtree(folder, ignore_errors=True)
    files = folder / "source_data" / "LES"
    files.mkdir(parents=True)
    with h5netcdf.File(files / "model.nc", "w") as file:
        file.dimensions = {"time": SCENES, "y": _SIDE, "x": _SIDE}
        times = 600.0 * np.arange(SCENES)
        file.create_variable("time", ("time",), data=times).attrs["units"] = "seconds since 2020-01-01"
        for axis in ("y", "x"):
            file.create_variable(axis, (axis,), data=100.0 * np.arange(_SIDE)).attrs["units"] = "m"
        noise = np.random.default_rng(0).random((SCENES, _SIDE, _SIDE), np.float32)
        file.create_variable("lwp", ("time", "y", "x"), data=noise).attrs["units"] = "kg m-2"
    start = datetime(2020, 1, 1)
    meta = {
        "source": "LES",
        "product": "singlechannel__lwp",
        "time": {"t_start": start, "t_end": start + timedelta(minutes=10 * SCENES)},
        "sampling": {"resolution": 100.0},
    }
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    return folder
