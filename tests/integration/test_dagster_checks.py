"""Asset checks, retries, jobs and schedules: what a fault does to them, and to nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import h5py
import pytest
import xarray as xr
import yaml
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry
from dagster_fixtures import (
    SCENE_IDS,
    STAGES,
    copied,
    failures,
    granule,
    instance_fixture,  # noqa: F401
    materializations,
    run,
    simulated_archive_fixture,  # noqa: F401
    statuses,
    write_dataset,
)
from datasets import FIRST

from convml_data.errors import ArchiveUnreachableError
from convml_data.sources.goes.ranges import RangeFile
from convml_data.sources.goes.source import GoesSource
from convml_data_dagster.definitions import build_definitions
from convml_data_dagster.resources import Progress

DATASET = "tropics"
N = 3
SCENES = SCENE_IDS[:N]

TILES = {"N_triplets": {"train": 2, "study": 1}, "tile_N": 16, "scene_collections_splitting": "by_time_block"}
#: Blocks of 20 minutes with a guard of 5: two scenes of one collection, one of another.
SAMPLING = {"resolution": 2000.0, "snap_to_grid": True, "triplets": TILES | {"block": "PT20M", "guard": "PT5M"}}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Which checks of a run passed, by asset and name."""
    return {
        f"{'/'.join(evaluation.asset_key.path[1:])}:{evaluation.check_name}": evaluation.passed
        for evaluation in result.get_asset_check_evaluations()
    }


def broken(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What the checks that did not pass name."""
    return {
        f"{'/'.join(evaluation.asset_key.path[1:])}:{evaluation.check_name}": str(evaluation.metadata["what"].value)
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    }


@pytest.fixture(scope="module")
def finished(simulated_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that is all done, to be copied and spoilt."""
    folder = tmp_path_factory.mktemp("finished") / DATASET
    write_dataset(folder, simulated_archive, scenes=N, sampling=SAMPLING)
    definitions = build_definitions([folder])
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(definitions, instance, ["scene_ids", "tile_plan"], dataset=DATASET).success
        result = run(definitions, instance, STAGES, SCENES, dataset=DATASET)
        assert result.success, failures(result)
        found = checks(result)
        assert len(found) == 6
        assert all(found.values()), broken(result)
    return folder


@pytest.fixture
def spoilt(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / DATASET))


def files_report(folder: Path) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return run(build_definitions([folder]), instance, ["report/files"], dataset=DATASET)


def test_a_good_dataset_breaks_no_rule(spoilt: Path) -> None:
    result = files_report(spoilt)
    assert checks(result) == dict.fromkeys(
        (
            f"report/files:{name}"
            for name in ("file_opens", "as_specified", "not_frozen", "no_tile_twice", "tiles_complete", "guard_held")
        ),
        True,
    )
    (event,) = materializations(result)
    assert event.metadata["broken"].value == 0
    # Scenes in two stages by one rule each and the frozen ones, tiles by three rules, and the plan.
    assert event.metadata["judged"].value == 2 * 2 * N + N + 4 * 9 + 3
    assert json.loads((spoilt / "report/files.json").read_text())[0]["broken"] == {}


def garbage(folder: Path) -> str:
    (folder / f"rect/{SCENES[1]}.nc").write_bytes(b"no netCDF")
    return SCENES[1]


def other_units(folder: Path) -> str:
    with h5py.File(folder / f"rect/{SCENES[2]}.nc", "r+") as file:
        file["rgb_truecolor"].attrs["units"] = "K"
    return SCENES[2]


def frozen(folder: Path) -> str:
    cropped = folder / "source_data/goes16/truecolor_rgb/cropped"
    shutil.copy(cropped / f"{SCENES[0]}.nc", cropped / f"{SCENES[1]}.nc")
    return SCENES[1]


def a_tile_over_another(folder: Path) -> str:
    tiles = folder / "triplets/train"
    shutil.copy(tiles / "00000_anchor.nc", tiles / "00001_distant.nc")
    return "train/00001_distant"


def a_tile_too_few(folder: Path) -> str:
    (folder / "triplets/train/00001_anchor.nc").unlink()
    return "train/00001_anchor"


def a_plan_within_the_guard(folder: Path) -> str:
    name = folder / "triplets/tile_plan.json"
    plan = json.loads(name.read_text())
    (lonely,) = [collection for collection, scene_ids in plan["scenes"].items() if len(scene_ids) == 1]
    near = SCENES[1] if plan["scenes"][lonely] == [SCENES[2]] else SCENES[0]
    plan["scenes"][lonely].append(near)
    name.write_text(json.dumps(plan))
    return near


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (garbage, "file_opens"),
        (other_units, "as_specified"),
        (frozen, "not_frozen"),
        (a_tile_over_another, "no_tile_twice"),
        (a_tile_too_few, "tiles_complete"),
        (a_plan_within_the_guard, "guard_held"),
    ],
)
def test_each_fault_on_disk_breaks_its_rule_and_only_it(spoil: Callable[[Path], str], check: str, spoilt: Path) -> None:
    name = spoil(spoilt)
    found = broken(files_report(spoilt))
    assert list(found) == [f"report/files:{check}"]
    assert name in found[f"report/files:{check}"]


def test_what_was_spoilt_on_disk_is_mended_by_the_run_that_judges_it(spoilt: Path) -> None:
    a_tile_over_another(spoilt)
    frozen(spoilt)
    definitions = build_definitions([spoilt])
    with dg.DagsterInstance.ephemeral() as instance:
        run(definitions, instance, ["scene_ids"], dataset=DATASET)
        result = run(definitions, instance, STAGES, SCENES, dataset=DATASET)
    assert result.success, failures(result)
    assert broken(result) == {}
    assert broken(files_report(spoilt)) == {}


def test_a_frozen_frame_holds_up_what_comes_after_its_run(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    archive = copied(simulated_archive, tmp_path / "archive")
    for channel in (1, 2, 3):
        shutil.copy(granule(archive, SCENES[0], channel), granule(archive, SCENES[1], channel))
    definitions = build_definitions([write_dataset(tmp_path / DATASET, archive, scenes=N)])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success

    result = run(definitions, instance, ["cropped"], SCENES, dataset=DATASET)

    assert not result.success
    assert broken(result) == {
        "cropped:not_frozen": f"| stage | name | why |\n| --- | --- | --- |\n"
        f"| cropped | {SCENES[1]} | the same values as {SCENES[0]} |"
    }
    (summary,) = failures(result)
    assert summary.startswith(f"not_frozen is broken in cropped: {SCENES[1]}: the same values as {SCENES[0]}. ")
    assert "Traceback" not in summary
    assert set(statuses(instance, DATASET, "cropped").values()) == {"MATERIALIZED"}

    # The scene before it is of an earlier run.
    alone = run(definitions, instance, ["cropped"], [SCENES[1]], dataset=DATASET)
    assert set(broken(alone)) == {"cropped:not_frozen"}
    assert run(definitions, instance, ["cropped"], [SCENES[2]], dataset=DATASET).success


def test_scenes_that_a_later_stage_makes_are_judged_too(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    archive = copied(simulated_archive, tmp_path / "archive")
    for channel in (1, 2, 3):
        shutil.copy(granule(archive, SCENES[0], channel), granule(archive, SCENES[1], channel))
    definitions = build_definitions([write_dataset(tmp_path / DATASET, archive, scenes=N)])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    (summary,) = failures(run(definitions, instance, ["regridded"], SCENES, dataset=DATASET))
    assert summary.startswith(f"not_frozen is broken in cropped: {SCENES[1]}: the same values as {SCENES[0]}. ")


def test_reports_name_what_a_plan_of_other_settings_leaves_open(spoilt: Path) -> None:
    meta = yaml.safe_load((spoilt / "meta.yaml").read_text())
    meta["sampling"]["seed"] = 7
    (spoilt / "meta.yaml").write_text(yaml.safe_dump(meta))
    assert checks(files_report(spoilt))["report/files:file_opens"]
    with dg.DagsterInstance.ephemeral() as instance:
        (event,) = materializations(
            run(build_definitions([spoilt]), instance, ["report/completeness"], dataset=DATASET)
        )
    assert event.metadata["regridded_done"].value == N
    assert event.metadata["triplet_tiles_done"].value == 0


def test_a_scene_with_other_units_goes_no_further(
    finished: Path, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = yaml.safe_load((finished / "meta.yaml").read_text())["archive"].removesuffix("/noaa-{satellite}")
    folder = write_dataset(tmp_path / DATASET, Path(archive), scenes=N, sampling={"resolution": 2000.0})
    definitions = build_definitions([folder])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    read = GoesSource.read

    def in_kelvin(self: GoesSource, scan: Any, domain: Any) -> xr.Dataset:
        scene = read(self, scan, domain)
        if scan.start < FIRST + timedelta(minutes=10):
            scene["rgb_truecolor"].attrs["units"] = "K"
        return scene

    monkeypatch.setattr(GoesSource, "read", in_kelvin)
    result = run(definitions, instance, ["cropped", "regridded"], SCENES, dataset=DATASET)

    assert list(broken(result)) == ["cropped:as_specified"]
    assert f"| {SCENES[0]} | units are 'K', not '%' |" in broken(result)["cropped:as_specified"]
    assert not list(folder.rglob(f"{SCENES[0]}.*")), "nothing of it is there for others to read"
    for stage in ("cropped", "regridded"):
        assert statuses(instance, DATASET, stage) == dict(zip(SCENES, ["FAILED", *["MATERIALIZED"] * 2], strict=True))


def test_scenes_that_show_too_little_are_dropped_and_named(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    domain = {"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 400e3, "l_meridional": 120e3}
    folder = write_dataset(
        tmp_path / DATASET,
        simulated_archive,
        scenes=N,
        domain=domain,
        sampling={"resolution": 2000.0},
        quality={"min_valid_share": 0.9},
    )
    definitions = build_definitions([folder])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    result = run(definitions, instance, ["cropped", "regridded"], SCENES[:1], dataset=DATASET)
    assert result.success
    assert list(broken(result)) == ["cropped:enough_values"]
    assert f"| {SCENES[0]} | valid share 0." in broken(result)["cropped:enough_values"]
    (evaluation,) = [found for found in result.get_asset_check_evaluations() if not found.passed]
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert not (folder / "rect").exists()


def test_an_image_too_far_from_its_scene_is_not_read(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    aux = {"red": {"source": "goes16", "product": "singlechannel__2", "dt_aux": "PT10M"}}
    aux["red"]["archive"] = str(simulated_archive / "noaa-{satellite}")
    folder = write_dataset(
        tmp_path / DATASET, simulated_archive, scenes=N, sampling={"resolution": 2000.0}, aux_products=aux
    )
    definitions = build_definitions([folder])
    assert run(definitions, instance, ["scene_ids", "aux/red/matches"], dataset=DATASET).success
    (name,) = folder.rglob("matches.json")
    matches = json.loads(name.read_text())
    matches["rows"][1]["match"]["offset_s"] = 301.0
    name.write_text(json.dumps(matches))

    result = run(definitions, instance, ["aux/red/cropped", "aux/red/regridded"], SCENES, dataset=DATASET)

    assert list(broken(result)) == ["aux/red/cropped:offset_within_limit"]
    assert f"| {SCENES[1]} | the image is 301 s from the scene, and the limit is 300 s |" in str(broken(result))
    assert sorted(path.stem for path in (folder / "rect/aux/red").glob("*.nc")) == [SCENES[0], SCENES[2]]


COUNTING = """\
calls = []

def tropics(da_refl_2):
    calls.append(da_refl_2)
    return (2 * da_refl_2).assign_attrs(units=f"unit {len(calls)}", long_name="twice the reflectance")
"""


def test_a_function_whose_units_change_is_found_out(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    folder = write_dataset(
        tmp_path / DATASET,
        simulated_archive,
        scenes=2,
        sampling={"resolution": 2000.0},
        type="user_function",
        input={"refl_2": None},
        product_options=None,
    )
    (folder / "user_functions.py").write_text(COUNTING)
    definitions = build_definitions([folder])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    result = run(definitions, instance, ["cropped"], SCENES[:2], dataset=DATASET)
    assert list(broken(result)) == ["cropped:same_units"]
    (summary,) = failures(result)
    assert "'unit " in summary


class Impatient(Progress):
    """Waits for no archive."""

    archive_retries = 2
    first_wait_s = 0.01


class Outage:
    """An archive that does not answer for one scene, so many times."""

    def __init__(self, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = times
        fetch = RangeFile.fetch

        def answer(file: RangeFile, *arguments: Any) -> None:
            if "s20200331410" in file.url and self.left > 0:
                self.left -= 1
                raise ArchiveUnreachableError("the network is down", where=file.url)
            fetch(file, *arguments)

        monkeypatch.setattr(RangeFile, "fetch", answer)


@pytest.fixture
def cropping(tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance) -> Callable[[], Any]:
    folder = write_dataset(tmp_path / DATASET, simulated_archive, scenes=N, sampling={"resolution": 2000.0})
    definitions = build_definitions([folder], {"progress": Impatient()})
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    return lambda: run(definitions, instance, ["cropped"], SCENES, dataset=DATASET)


def test_a_step_asks_for_a_retry_where_the_archive_does_not_answer(
    cropping: Callable[[], Any], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One is enough: how many of the three channels, read at a time, meet an outage of more would be chance.
    Outage(1, monkeypatch)
    result = cropping()
    assert result.success, failures(result)
    assert sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events) == 1
    kept = [event.partition for event in materializations(result) if event.metadata["kept"].value]
    assert sorted(kept) == [SCENES[0], SCENES[2]], "what was done before cost nothing"
    assert set(statuses(instance, DATASET, "cropped").values()) == {"MATERIALIZED"}


def test_an_archive_that_stays_silent_fails_the_scene_after_some_attempts(
    cropping: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Outage(1000, monkeypatch)
    result = cropping()
    (summary,) = failures(result)
    assert "the network is down" in summary
    assert sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events) == 2


def test_broken_data_are_never_tried_again(
    tmp_path: Path, simulated_archive: Path, instance: dg.DagsterInstance
) -> None:
    archive = copied(simulated_archive, tmp_path / "archive")
    granule(archive, SCENES[1], 2).write_bytes(b"garbage")
    folder = write_dataset(tmp_path / DATASET, archive, scenes=N, sampling={"resolution": 2000.0})
    definitions = build_definitions([folder], {"progress": Impatient()})
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    result = run(definitions, instance, ["cropped"], SCENES, dataset=DATASET)
    assert not result.success
    assert not any(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)


def test_an_instance_retries_runs_that_died_and_no_others(instance: dg.DagsterInstance) -> None:
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled

    def retried(reason: RunFailureReason) -> bool:
        failed = instance.create_run_for_job(
            dg.GraphDefinition("any", node_defs=[]).to_job(),
            status=dg.DagsterRunStatus.FAILURE,
            tags={RUN_FAILURE_REASON_TAG: reason.value},
        )
        return should_retry(failed, instance)

    assert retried(RunFailureReason.RUN_EXCEPTION)
    assert retried(RunFailureReason.UNKNOWN)
    assert not retried(RunFailureReason.STEP_FAILURE)


def test_runs_that_read_an_archive_share_its_pool(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    sources = {"tropics": "goes16", "pacific": "goes_west"}
    for name, source in sources.items():
        write_dataset(tmp_path / name, tmp_path, source=source)
    aux = {"fluxes": {"source": "ceres", "product": "goes16n__broadband_shortwave_albedo"}}
    write_dataset(tmp_path / "radiation", tmp_path, aux_products=aux)
    graph = build_definitions([tmp_path]).resolve_asset_graph()
    pools = {key.to_user_string(): graph.get(key).pools for key in graph.get_all_asset_keys()}
    for name in sources:
        assert {pools[f"{name}/{asset}"] == {"goes-archive"} for asset in ("scene_ids", "cropped")} == {True}
    assert pools["radiation/aux/fluxes/cropped"] == pools["radiation/aux/fluxes/matches"] == {"ceres-archive"}
    assert not pools["tropics/tile_plan"]
    assert instance.global_op_concurrency_default_limit == 2


def test_jobs_and_the_nightly_report(finished: Path, spoilt: Path, instance: dg.DagsterInstance) -> None:
    (spoilt / f"rect/{SCENES[1]}.nc").unlink()
    definitions = build_definitions([spoilt])
    repository = definitions.get_repository_def()
    jobs = {job.name: job for job in repository.get_all_jobs()}
    for asset in (*STAGES, "scene_ids", "tile_plan", "statistics", "report__completeness", "report__files", "all"):
        job = jobs[f"{DATASET}__{asset}_job"]
        assert job.description
        assert job.tags["convml/dataset"] == DATASET
        assert job.tags["convml/product"] == "truecolor_rgb"
    (schedule,) = repository.schedule_defs
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED

    result = jobs[schedule.job_name].execute_in_process(instance=instance)

    assert result.success
    (event,) = materializations(result)
    metadata = {name: value.value for name, value in event.metadata.items()}
    assert (metadata["scans_expected"], metadata["scans_seen"], metadata["scenes"]) == (N, N, N)
    assert {name: metadata[f"{name}_done"] for name in STAGES} == {
        "cropped": N,
        "regridded": N - 1,
        "triplet_tiles": N,
    }
    assert "| 2020-02-02 | 3 | 3 | 3 | 0 | 0 | 3 | 2 | 3 |" in metadata["days"]
    (day,) = json.loads((spoilt / "report/completeness.json").read_text())["days"]
    assert day["done"]["regridded"] == N - 1
    assert metadata["days"] in (spoilt / "report/completeness.md").read_text()


def test_a_check_alone_judges_what_its_stage_keeps(spoilt: Path, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions([spoilt])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    key = dg.AssetCheckKey(dg.AssetKey([DATASET, "cropped"]), "not_frozen")
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_check_selection={key}, asset_selection=set()
    )
    tags = {"dagster/asset_partition_range_start": SCENES[0], "dagster/asset_partition_range_end": SCENES[-1]}
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert result.success, failures(result)
    assert checks(result) == {"cropped:not_frozen": True}
    without_scenes = job.execute_in_process(instance=instance, raise_on_error=False)
    assert failures(without_scenes) == ["A run of this is over scenes: launch it with a range of partitions."]


def test_a_run_says_what_it_is_of(finished: Path, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions([finished])
    assert run(definitions, instance, ["scene_ids"], dataset=DATASET).success
    result = run(definitions, instance, ["cropped", "regridded"], SCENES[:1], dataset=DATASET)
    found = instance.get_run_by_id(result.run_id)
    assert found is not None
    assert {name: value for name, value in found.tags.items() if name.startswith("convml/")} == {
        "convml/dataset": DATASET,
        "convml/stage": "cropped,regridded",
        "convml/product": "truecolor_rgb",
    }
