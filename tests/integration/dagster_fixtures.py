"""The small archive of :mod:`datasets`, and running the assets of its datasets as a user's launch does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import datasets
import pytest
from datasets import N_SCANS, scene_ids, small_archive_folder, small_meta, write_meta

from convml_data_dagster.instance import open_instance
from convml_data_dagster.partitions import scene_partitions

N_SCENES = N_SCANS
STAGES = ("cropped", "regridded", "triplet_tiles")
SCENE_IDS = scene_ids(N_SCENES)


@pytest.fixture(scope="session", name="simulated_archive")
def simulated_archive_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with ``noaa-goes16`` of the small archive."""
    return small_archive_folder(tmp_path_factory)


@pytest.fixture(name="instance")
def instance_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A home with its SQLite files, as the command line makes it."""
    home = tmp_path / ".dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with open_instance(home) as instance:
        yield instance


def copied(archive: Path, folder: Path) -> Path:
    """The archive once more, to be damaged."""
    return Path(shutil.copytree(archive, folder))


def granule(archive: Path, scene_id: str, channel: int) -> Path:
    """The file of a channel of a scene."""
    return datasets.granule(f"{archive}/noaa-{{satellite}}", scene_id, channel)


def write_dataset(folder: Path, archive: Path, *, scenes: int = N_SCENES, **sections: Any) -> Path:
    """A folder with a ``meta.yaml`` for the first scenes of the archive; gives the folder.

    ``sections`` replace those of the same name; None leaves one out.
    """
    meta = small_meta(str(archive / "noaa-{satellite}"), scenes)
    meta["sampling"]["triplets"]["N_triplets"] = {"train": 8, "study": 2}
    return write_meta(folder, {key: value for key, value in (meta | sections).items() if value is not None})


def run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    assets: Sequence[str],
    scene_ids: Sequence[str] = (),
    *,
    dataset: str,
) -> dg.ExecuteInProcessResult:
    """Materialize assets of a dataset in one run, for the range of scenes from the first to the last given."""
    tags = {}
    if scene_ids:
        tags = {
            "dagster/asset_partition_range_start": scene_ids[0],
            "dagster/asset_partition_range_end": scene_ids[-1],
        }
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey([dataset, *asset.split("/")]) for asset in assets],
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What failed steps say, as the UI shows it at the top of a failed run."""
    said = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            described = data.user_failure_data.description if data.user_failure_data else None
            said.append(described or (data.error.to_string() if data.error else ""))
    return said


def statuses(instance: dg.DagsterInstance, dataset: str, asset: str) -> dict[str, str]:
    """For each scene of a dataset how the UI shows it: MATERIALIZED, FAILED, … or MISSING."""
    partitions = scene_partitions(dataset)
    keys = instance.get_dynamic_partitions(f"{dataset}_scenes")
    found = instance.get_status_by_partition(dg.AssetKey([dataset, asset]), keys, partitions)
    assert found is not None
    return {key: status.value if status else "MISSING" for key, status in found.items()}


def materializations(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    """All that a run logged, in order."""
    return [event.materialization for event in result.all_events if event.is_step_materialization]


def files_of(folder: Path) -> dict[str, int]:
    """Names and modification times, in ns, of all files of a dataset that are results.

    Without the ledger, which learns of the coverage of scenes with each run, and what is known of the archive's files.
    """
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != "scene_ids.json"
        and not {".cache", ".partial", "chunk_tables"} & set(path.relative_to(folder).parts)
    }
