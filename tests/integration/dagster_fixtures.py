"""A small simulated archive, datasets made of it, and running their assets as a user's launch does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from convml_data.geometry.local import LocalDomain
from convml_data.simulate.archive import simulate_archive
from convml_data.sources.base import Interval
from convml_data_dagster.instance import open_instance
from convml_data_dagster.partitions import scene_partitions

FIRST = datetime(2020, 2, 2, 14)
N_SCENES = 20
STAGES = ("cropped", "regridded", "triplet_tiles")
SCENE_IDS = [f"goes16__{FIRST + timedelta(minutes=10 * number):%Y%m%d%H%M}" for number in range(N_SCENES)]

_LATITUDE, _LONGITUDE, _LENGTH = 13.3, -57.72, 120e3
_END = FIRST + timedelta(minutes=10 * N_SCENES - 1)


@pytest.fixture(scope="session", name="simulated_archive")
def simulated_archive_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``noaa-goes16``: full-disk files of the three truecolor channels, 20 scans, 17 MB."""
    # An imported fixture belongs to each module that imports it; the files are made once.
    folder = tmp_path_factory.getbasetemp() / "dagster-archive"
    if not folder.exists():
        simulate_archive(
            folder,
            satellite="goes16",
            sector="F",
            channels=(1, 2, 3),
            spans=[Interval(FIRST, _END)],
            domain=LocalDomain(_LATITUDE, _LONGITUDE, _LENGTH + 40e3, _LENGTH + 40e3),
        )
    return folder


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
    time = datetime.strptime(scene_id.partition("__")[2], "%Y%m%d%H%M")
    (file,) = archive.rglob(f"*C{channel:02d}_G16_s{time:%Y%j%H%M}*.nc")
    return file


def write_dataset(folder: Path, archive: Path, *, scenes: int = N_SCENES, **sections: Any) -> Path:
    """A folder with a ``meta.yaml`` for the first scenes of the archive; gives the folder.

    ``sections`` replace those of the same name; None leaves one out.
    """
    meta: dict[str, Any] = {
        "source": "goes16",
        "type": "truecolor_rgb",
        "archive": str(archive / "noaa-{satellite}"),
        "time": {"t_start": FIRST, "t_end": FIRST + timedelta(minutes=10 * scenes - 1)},
        "domain": {
            "central_latitude": _LATITUDE,
            "central_longitude": _LONGITUDE,
            "l_zonal": _LENGTH,
            "l_meridional": _LENGTH,
        },
        "sampling": {
            "resolution": 2000.0,
            "triplets": {"N_triplets": {"train": 8, "study": 2}, "tile_N": 16},
        },
        "product_options": {"rayleigh_correction": False},
    }
    meta = {key: value for key, value in (meta | sections).items() if value is not None}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    return folder


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

    Without the ledger, which learns of the coverage of scenes with each run.
    """
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != "scene_ids.json"
        and not {".cache", ".partial"} & set(path.relative_to(folder).parts)
    }
