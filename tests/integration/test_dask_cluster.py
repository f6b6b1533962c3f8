"""Workers die in the middle of a backfill: all scenes are done, none twice and none by half."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import dask
import pytest
from dask_cluster import dask_cluster
from datasets import (
    COMMAND,
    assert_whole,
    names_in,
    results,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    write_meta,
)

import convml_data.pipeline.workers
from convml_data.pipeline.scene import SceneOutcome, SceneTask
from convml_data.pipeline.workers import Workers, outcomes_of
from convml_data_dagster.instance import open_instance

pytestmark = pytest.mark.slow

N_SCENES = 14
NAME = "islands"  # of all datasets here: it is among the attributes


def materialized(home: Path) -> list[tuple[str, str | None, bool]]:
    """Asset, scene and whether it was kept, of all that the instance has a record of, sorted."""
    import dagster as dg

    with open_instance(home) as instance:
        events = [
            record.asset_materialization
            for stage in ("cropped", "regridded")
            for record in instance.fetch_materializations(dg.AssetKey([NAME, stage]), limit=1000).records
        ]
    return sorted((event.asset_key.path[-1], event.partition, event.metadata["kept"].value) for event in events)


def test_a_worker_of_a_cluster_is_killed(small_archive: str, tmp_path: Path) -> None:
    meta = small_meta(small_archive, N_SCENES)
    del meta["dask"]  # the environment has a say only where meta.yaml has none
    folder = write_meta(tmp_path / NAME, meta)
    with dask_cluster(tmp_path / "dask", workers=2) as cluster:
        environment = os.environ | {
            "DAGSTER_HOME": str(tmp_path / "home"),
            "DASK_SCHEDULER_ADDRESS": cluster.address,
        }
        run = subprocess.Popen([COMMAND, "regrid", "--data-path", folder], env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while len(names_in(folder / "rect")) < 4:
            assert run.poll() is None, run.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        cluster.workers[0].send_signal(signal.SIGKILL)
        assert len(names_in(folder / "rect")) < 2 * N_SCENES  # in the middle
        _, said = run.communicate(timeout=90)
        assert run.returncode == 0, said

    assert names_in(folder / "rect") == {f"{scene}.{end}" for scene in scene_ids(N_SCENES) for end in ("nc", "png")}
    assert_whole([folder / name for name in results(folder)])
    recorded = materialized(tmp_path / "home")
    assert [(asset, scene) for asset, scene, _ in recorded] == [
        (asset, scene) for asset in ("cropped", "regridded") for scene in scene_ids(N_SCENES)
    ]
    # The other worker finds what the killed one had written: of one scene that was under way and one not handed over.
    assert sum(kept for *_, kept in recorded) <= 4


FATAL = 3


def outcome_or_death(task: SceneTask) -> SceneOutcome:
    """A scene that needs more memory than the machine has, and its neighbours."""
    if task.row.scene_id == str(FATAL):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return SceneOutcome(task.row.scene_id, ())


def test_a_scene_that_kills_workers_fails_and_its_neighbours_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convml_data.pipeline.workers, "process_scene", outcome_or_death)
    stages: Any = frozenset({"cropped"})
    tasks = [SceneTask(None, _Row(str(number)), stages, {}, None) for number in range(12)]  # type: ignore[arg-type]
    import distributed  # noqa: F401 - else its settings came within the block, and went with it for all other tests

    # Each death takes a second. With one of them whatever the worker had before it is under suspicion.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        outcomes = {outcome.scene_id: outcome for outcome in outcomes_of(tasks, Workers(2, "processes"))}
    assert outcomes.keys() == {str(number) for number in range(12)}
    failed = outcomes.pop(str(FATAL))
    assert failed.failed_stage == "cropped"
    assert "workers died at this scene" in str(failed.error)
    assert "too little memory" in str(failed.error)
    assert {outcome.error for outcome in outcomes.values()} == {None}


class _Row:
    """Of a ledger, as far as a task needs it here."""

    def __init__(self, scene_id: str) -> None:
        self.scene_id = scene_id
