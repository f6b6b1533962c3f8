"""Who works on scenes: what is chosen where, and how many scenes are under way at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from distributed.deploy.spec import SpecCluster

from convml_data.errors import ConvmlError
from convml_data.meta.dataset import Dataset, load_dataset
from convml_data.pipeline import workers as pipeline_workers
from convml_data.pipeline.workers import IN_FLIGHT_PER_THREAD, LEAST_IN_FLIGHT, Workers, outcomes_of, workers_for

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "trade_cumulus" / "meta.yaml"
HERE, THERE = "tcp://here:8786", "tcp://there:8786"


def dataset(folder: Path, dask: str) -> Dataset:
    (folder / "meta.yaml").write_text(EXAMPLE.read_text() + dask)
    return load_dataset(folder)


@pytest.mark.parametrize(
    ("given", "dask", "environment", "expected"),
    [
        (Workers(), "", "", Workers()),
        (Workers(), "", THERE, Workers(address=THERE)),
        (Workers(), "dask: {kind: processes, count: 3}\n", "", Workers(3, "processes")),
        (Workers(), "dask: {kind: processes}\n", THERE, Workers(kind="processes")),
        (Workers(), f"dask: {{address: '{HERE}'}}\n", THERE, Workers(address=HERE)),
        (Workers(2), "dask: {kind: processes, count: 3}\n", THERE, Workers(2, "processes")),
        (Workers(kind="threads"), "dask: {kind: processes, count: 3}\n", THERE, Workers(3, "threads")),
        (Workers(2), f"dask: {{address: '{HERE}'}}\n", THERE, Workers(2)),
        (Workers(address=HERE), "dask: {kind: processes, count: 3}\n", THERE, Workers(address=HERE)),
    ],
)
def test_a_run_comes_before_the_dataset_and_that_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Workers, dask: str, environment: str, expected: Workers
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", environment)
    assert workers_for(dataset(tmp_path, dask), given) == expected


@pytest.mark.parametrize("others", [{"count": 2}, {"kind": "threads"}])
def test_a_cluster_has_its_own_workers(others: dict[str, Any]) -> None:
    with pytest.raises(ConvmlError, match=f"{HERE}: a Dask cluster has its own workers.*Leave out"):
        Workers(address=HERE, **others)


def test_only_so_many_scenes_are_with_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their number, and also where outcomes are taken more slowly than they are made."""
    monkeypatch.setattr(pipeline_workers, "process_scene", str)
    threads = LEAST_IN_FLIGHT  # so that the other bound is the greater one
    tasks: Any = range(400)
    held = []
    seen = []
    for outcome in outcomes_of(tasks, Workers(threads)):
        seen.append(int(outcome))
        (cluster,) = [cluster for cluster in SpecCluster._instances if cluster.status.name == "running"]
        held.append(len(cluster.scheduler.tasks))
    assert sorted(seen) == list(tasks)
    assert LEAST_IN_FLIGHT < max(held) <= IN_FLIGHT_PER_THREAD * threads
