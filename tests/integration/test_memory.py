"""Peak memory of a run and of a cluster's worker, whatever the number of scenes: `make test-memory`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dask_cluster import dask_cluster
from many_scenes import write_dataset

pytestmark = pytest.mark.memory

NUMBERS = (200, 1000, 3000)

#: What the page says: a run of this many scenes more takes so much more, and its workers nothing.
RUN_MB_PER_1000_SCENES = 25
WORKER_MB_FOR_ALL = 40

#: One run, as the UI launches it, of all scenes of the dataset.
RUN = """
import json, sys
from pathlib import Path
import dagster as dg
from convml_data.meta.dataset import load_dataset
from convml_data.store.dataset import DatasetStore
from convml_data_dagster.definitions import build_definitions
from convml_data_dagster.instance import open_instance

folder = Path(sys.argv[1])

def peak_mb():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

with open_instance(folder.parent / "home") as instance:
    def run(*assets, tags={}):
        job = build_definitions([folder]).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["scenes", asset]) for asset in assets],
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        ).success
    run("scene_ids")
    ids = DatasetStore.of(load_dataset(folder)).read_ledger().scene_ids
    before = peak_mb()
    run("cropped", "regridded", tags={
        "dagster/asset_partition_range_start": ids[0], "dagster/asset_partition_range_end": ids[-1]
    })
    print(json.dumps({"scenes": len(ids), "before": before, "run": peak_mb()}))
"""


def peak_mb(process: int) -> float:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_memory_does_not_grow_with_the_number_of_scenes(tmp_path: Path) -> None:
    table = []
    for number in NUMBERS:
        folder = write_dataset(tmp_path / str(number) / "scenes", number)
        with dask_cluster(tmp_path / f"dask-{number}", workers=2) as cluster:
            done = subprocess.run(
                [sys.executable, "-c", RUN, folder],
                env=os.environ | {"DASK_SCHEDULER_ADDRESS": cluster.address},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            peaks = {
                "scheduler": peak_mb(cluster.scheduler.pid),
                "worker": max(peak_mb(worker.pid) for worker in cluster.workers),
            }
        table.append(json.loads(done.stdout.splitlines()[-1]) | peaks)
        assert table[-1]["scenes"] == number
        print("\n" + ", ".join(f"{name} {value:.0f}" for name, value in table[-1].items()), "(peaks in MB)")  # noqa: T201  # what the target is for
    few, *_, many = table
    thousands = (many["scenes"] - few["scenes"]) / 1000
    assert many["run"] - few["run"] < RUN_MB_PER_1000_SCENES * thousands
    assert many["worker"] - few["worker"] < WORKER_MB_FOR_ALL
