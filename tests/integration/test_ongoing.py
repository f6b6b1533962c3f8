"""Datasets whose time goes on: scenes come, and what there was stays as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_fixtures import (
    SCENE_IDS,
    failures,
    files_of,
    granule,
    instance_fixture,  # noqa: F401
    run,
    simulated_archive_fixture,  # noqa: F401
    statuses,
    write_dataset,
)
from datasets import FIRST
from test_cli_tile_kinds import written_trajectory
from watched import Watched, execute, ranges

from convml_data.meta.dataset import load_dataset
from convml_data.pipeline import discovery, matches
from convml_data.pipeline.present import PresentScenes, plan_state
from convml_data.store.dataset import DatasetStore
from convml_data_dagster.cli import main
from convml_data_dagster.definitions import build_definitions

ONGOING = {"t_start": FIRST, "t_end": "open"}
SPLIT = {"N_triplets": {"train": 6, "study": 2}, "tile_N": 16, "scene_collections_splitting": "stable_hash"}
AUX = {"band_2": {"source": "goes16", "type": "singlechannel__refl_2", "dt_aux": "PT10M"}}


class Arriving:
    """An archive into which the scans of another one come."""

    def __init__(self, whole: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._whole, self.folder, self._monkeypatch = whole, folder, monkeypatch

    def receive(self, scene_ids: Sequence[str]) -> None:
        for scene_id in scene_ids:
            for channel in (1, 2, 3):
                file = granule(self._whole, scene_id, channel)
                target = self.folder / file.relative_to(self._whole)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)

    def it_is(self, now: datetime) -> None:
        """Set the clock."""
        for module in (discovery, matches):
            self._monkeypatch.setattr(module, "utc_now", lambda: now)


@pytest.fixture
def archive(simulated_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arriving:
    return Arriving(simulated_archive, tmp_path / "archive", monkeypatch)


def rows_of(dataset: Path, name: str = "scene_ids.json") -> list[dict[str, Any]]:
    (file,) = dataset.glob(f"source_data/**/{name}")
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


@pytest.mark.usefixtures("instance")
def test_later_scenes_extend_ledger_and_matches(
    archive: Arriving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aux = {name: product | {"archive": str(archive.folder / "noaa-{satellite}")} for name, product in AUX.items()}
    dataset = write_dataset(tmp_path / "going_on", archive.folder, time=ONGOING, aux_products=aux)
    (dataset / "meta.yaml").write_text(
        (dataset / "meta.yaml")
        .read_text()
        .replace("tile_N: 16", "tile_N: 16\n    scene_collections_splitting: stable_hash")
    )
    archive.it_is(FIRST + timedelta(hours=1))
    archive.receive([SCENE_IDS[0], *SCENE_IDS[2:4]])
    command = ["--data-path", str(dataset)]
    assert main(["regrid", *command]) == 0
    assert main(["regrid", *command, "--aux-name", "band_2"]) == 0
    ledger, table, files = rows_of(dataset), rows_of(dataset, "matches.json"), files_of(dataset)
    assert [row["scene_id"] for row in ledger] == [SCENE_IDS[0], *SCENE_IDS[2:4]]
    assert all("coverage" in row for row in ledger)

    archive.it_is(FIRST + timedelta(hours=2))  # whatever the time, the ledger is current
    capsys.readouterr()
    assert main(["regrid", *command]) == 0
    assert "is used; `convml-data scene-ids` lists the archive again" in capsys.readouterr().out
    assert files_of(dataset) == files

    archive.receive([SCENE_IDS[1], SCENE_IDS[4]])  # one of them late
    assert main(["scene-ids", *command]) == 0
    later = rows_of(dataset)
    assert [row["scene_id"] for row in later] == SCENE_IDS[:5]
    assert [row for row in later if row in ledger] == ledger
    assert main(["regrid", *command]) == 0
    assert main(["regrid", *command, "--aux-name", "band_2"]) == 0
    after = files_of(dataset)
    data = [name for name in files if name.endswith((".nc", ".png"))]
    assert {name: after[name] for name in data} == {name: files[name] for name in data}
    extended = rows_of(dataset, "matches.json")
    assert [row["scene_id"] for row in extended] == SCENE_IDS[:5]
    assert [row for row in extended if row in table] == table


def test_triplets_are_drawn_anew_by_the_schedule_alone(
    archive: Arriving, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    sampling = {"resolution": 2000.0, "triplets": SPLIT}
    folder = write_dataset(tmp_path / "going_on", archive.folder, time=ONGOING, sampling=sampling)
    definitions = build_definitions([folder])
    schedule = definitions.resolve_schedule_def("going_on__triplets")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED

    def evaluated() -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(instance) as context:
            result = schedule(context)
        assert isinstance(result, (dg.RunRequest, dg.SkipReason))
        return result

    missing = evaluated()
    assert isinstance(missing, dg.SkipReason)
    assert "has no scene ledger yet" in str(missing.skip_message)

    archive.it_is(FIRST + timedelta(hours=4))
    archive.receive(SCENE_IDS[:12])
    assert run(definitions, instance, ["scene_ids"], dataset="going_on").success
    first = evaluated()
    assert isinstance(first, dg.RunRequest)
    (result,) = execute_request(definitions, instance, first)
    assert failures(result) == []
    assert set(statuses(instance, "going_on", "triplet_tiles").values()) == {"MATERIALIZED"}
    drawn = plan_of(folder)
    nothing_new = evaluated()
    assert isinstance(nothing_new, dg.SkipReason)
    assert nothing_new.skip_message == "No scene has come since the triplets were drawn."

    archive.receive(SCENE_IDS[12:])
    assert run(definitions, instance, ["scene_ids"], dataset="going_on").success
    # The plan holds for the scenes that there were.
    assert run(definitions, instance, ["triplet_tiles"], SCENE_IDS, dataset="going_on").success
    assert plan_of(folder) == drawn
    store = DatasetStore.of(load_dataset(folder))
    assert plan_state(store, "tile_plan").kind == "current"
    assert {state.kind for state in PresentScenes(store, "triplet_tiles").states().values()} == {"current"}
    assert main(["backfill", "--data-path", str(folder), "--from", SCENE_IDS[12], "--stage", "triplet_tiles"]) == 0
    assert plan_of(folder) == drawn
    again = evaluated()
    assert isinstance(again, dg.RunRequest)
    (result,) = execute_request(definitions, instance, again)
    assert failures(result) == []
    later = plan_of(folder)
    assert sum(map(len, later["scenes"].values())) == len(SCENE_IDS)
    for collection, scene_ids in drawn["scenes"].items():
        assert set(scene_ids) <= set(later["scenes"][collection])


def plan_of(folder: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((folder / "triplets/tile_plan.json").read_text())
    return plan


def execute_request(
    definitions: dg.Definitions, instance: dg.DagsterInstance, request: dg.RunRequest
) -> list[dg.ExecuteInProcessResult]:
    tags = request.tags
    scene_ids = [tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assets = [key.path[-1] for key in request.asset_selection or ()]
    return [run(definitions, instance, assets, scene_ids, dataset="going_on")]


def test_the_plan_around_trajectories_grows_with_the_scenes(
    archive: Arriving, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, instance, monkeypatch)
    sampling = {"resolution": 2000.0, "trajectories": {"tile_N": 16}, "sliding_window": {"tile_N": 30}}
    written_trajectory(watched.folder / "ship.nc")
    watched.describe(time=ONGOING, sampling=sampling, trajectories={"filepath": "ship.nc"})
    archive.receive(SCENE_IDS[:2])
    first = watched.tick(FIRST + timedelta(minutes=25))
    assert ranges(first) == [(SCENE_IDS[0], SCENE_IDS[1])]
    assert [failures(result) for result in execute(watched, first)] == [[]]
    for stage in ("cropped", "regridded", "trajectory_tiles", "sliding_window_tiles"):
        assert set(statuses(instance, watched.name, stage).values()) == {"MATERIALIZED"}
    before = files_of(watched.folder)
    archive.receive(SCENE_IDS[2:3])
    second = watched.tick(FIRST + timedelta(minutes=35))
    assert ranges(second) == [(SCENE_IDS[2], SCENE_IDS[2])]
    assert {key.path[-1] for request in second.run_requests for key in request.asset_selection} == {
        "cropped",
        "regridded",
        "sliding_window_tiles",
        "trajectory_tiles",
        "trajectory_plan",
    }
    # Tiles alone, of scenes that the plan does not know, are an error and not left out.
    (failure,) = failures(
        run(watched.definitions, instance, ["trajectory_tiles"], [SCENE_IDS[2]], dataset=watched.name)
    )
    assert "1 scenes have come since this plan was made" in failure
    assert [failures(result) for result in execute(watched, second)] == [[]]
    assert (watched.folder / f"trajectories/{SCENE_IDS[2]}.nc").is_file()
    after = files_of(watched.folder)
    kept = [name for name in before if not name.endswith(".json") and not name.startswith(".")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert watched.skipped(FIRST + timedelta(minutes=36)).startswith("No new scene")
