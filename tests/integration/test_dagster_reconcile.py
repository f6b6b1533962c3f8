"""The record rebuilt from the files, and what an edit of meta.yaml shows as out of date, as the UI asks for it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster_fixtures import SCENE_IDS, files_of, simulated_archive_fixture, statuses, write_dataset  # noqa: F401
from dagster_graphql.schema import create_schema
from dagster_server import LOCATION, Server

from convml_data_dagster.cli import main
from convml_data_dagster.instance import open_instance

pytestmark = pytest.mark.slow

SCHEMA = create_schema()

N_SCENES = 4
IDS = SCENE_IDS[:N_SCENES]
SAMPLING: Mapping[str, Any] = {
    "resolution": 2000.0,
    "triplets": {"N_triplets": {"train": 6, "study": 2}, "tile_N": 16},
    "sliding_window": {"tile_N": 20},
}
AUX = {"fields": {"source": "goes16", "type": "singlechannel__refl_1"}}
PLANS = ("scene_ids", "tile_plan", "aux/fields/matches")
PER_SCENE = ("cropped", "regridded", "triplet_tiles", "sliding_window_tiles", "aux/fields/cropped", "aux/fields/tiles")


def key(asset: str) -> tuple[str, ...]:
    return ("tropics", *asset.split("/"))


class Asked(Server):
    """The webserver's GraphQL, without the webserver."""

    def __init__(self, process: WorkspaceProcessContext) -> None:
        self._process = process

    def query(self, text: str, **variables: Any) -> Any:
        context = self._process.create_request_context()
        answer = asyncio.run(SCHEMA.execute_async(text, context_value=context, variable_values=variables))
        assert not answer.errors, answer.errors
        return answer.data


class InThisProcess(WorkspaceLoadTarget):
    """The definitions of the present meta.yaml, without the process that serves them to a webserver."""

    def __init__(self, folder: Path) -> None:
        # Of another name each time, since Python loads a module once.
        self._file = folder.parent / f"definitions_{uuid4().hex}.py"
        self._file.write_text(
            "from pathlib import Path\n"
            "from convml_data_dagster.definitions import build_definitions\n"
            f"defs = build_definitions([Path({str(folder)!r})])\n"
        )

    def create_origins(self) -> Sequence[InProcessCodeLocationOrigin]:
        target = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(self._file))
        return [InProcessCodeLocationOrigin(target, location_name=LOCATION)]


@contextmanager
def webserver(home: Path, folder: Path) -> Iterator[Server]:
    """What the UI asks, answered by the definitions of the present meta.yaml."""
    with open_instance(home) as instance, WorkspaceProcessContext(instance, InThisProcess(folder)) as process:
        yield Asked(process)


@pytest.fixture(scope="module")
def made(simulated_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset and its home, to be copied."""
    parent = tmp_path_factory.mktemp("made")
    aux = {name: section | {"archive": str(simulated_archive / "noaa-{satellite}")} for name, section in AUX.items()}
    folder = write_dataset(
        parent / "tropics", simulated_archive, scenes=N_SCENES, sampling=dict(SAMPLING), aux_products=aux,
        run={"max_scenes": 3},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(parent / ".dagster"))
        assert main(["backfill", "--data-path", str(folder)]) == 0
        aux_stages = ["--aux-name", "fields", "--stage", "cropped", "tiles"]
        assert main(["backfill", "--data-path", str(folder), *aux_stages]) == 0
    return parent


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "copy" / ".dagster"))
    monkeypatch.delenv("CONVML_GOES_ARCHIVE", raising=False)
    return tmp_path / "copy" / ".dagster"


@pytest.fixture
def folder(home: Path) -> Path:
    return home.parent / "tropics"


def reconcile(folder: Path, *argv: str) -> None:
    assert main(["reconcile", "--data-path", str(folder), *argv]) == 0


def edit(folder: Path, **sections: Any) -> None:
    meta = yaml.safe_load((folder / "meta.yaml").read_text())
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta | sections))


def shown(home: Path, folder: Path) -> dict[str, str | set[str]]:
    """For each asset how the UI shows it: whether it is in sync, and which of its partitions are made and failed."""
    found: dict[str, str | set[str]] = {}
    with webserver(home, folder) as server:
        for asset in PLANS:
            found[asset] = server.stale_status(key(asset))
        for asset in PER_SCENE:
            partitions = server.partitions(key(asset))
            found[f"{asset} materialized"] = partitions["materialized"]
            found[f"{asset} failed"] = partitions["failed"]
            in_sync = {scene_id for scene_id in IDS if server.stale_status(key(asset), scene_id) == "FRESH"}
            found[f"{asset} in sync"] = in_sync
    return found


ALL_GREEN: dict[str, str | set[str]] = {
    **dict.fromkeys(PLANS, "FRESH"),
    **{f"{asset} {what}": set(IDS) for asset in PER_SCENE for what in ("materialized", "in sync")},
    **{f"{asset} failed": set() for asset in PER_SCENE},
}


#: Metadata that tell of the run that made something, which no file knows.
OF_THE_RUN = ("path", "tile", "seconds", "kept", "requests", "bytes_fetched")


def lasting(home: Path) -> dict[tuple[str, str], tuple[dict[str, Any], dict[str, str]]]:
    """Metadata and tags of the latest materialization of each partition, without where and how long."""
    found: dict[tuple[str, str], tuple[dict[str, Any], dict[str, str]]] = {}
    with open_instance(home) as instance:
        for asset in PER_SCENE:
            for record in instance.fetch_materializations(dg.AssetKey(key(asset)), limit=1000).records:
                event = record.asset_materialization
                assert event is not None
                assert event.partition is not None
                metadata = {k: v.value for k, v in event.metadata.items() if k not in OF_THE_RUN}
                found.setdefault((asset, event.partition), (metadata, dict(event.tags or {})))
    return found


def test_a_lost_record_is_rebuilt_from_the_files(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(home, folder) == ALL_GREEN
    before, files = lasting(home), files_of(folder)
    reconcile(folder)
    assert "agrees with the files" in capsys.readouterr().out

    shutil.rmtree(home)
    reconcile(folder, "--dry-run")
    said = capsys.readouterr().out
    assert f"partitions: {N_SCENES} would be added" in said
    for asset in (*PLANS, *PER_SCENE):
        assert f"tropics/{asset}: files that Dagster did not know would be recorded" in said
    with open_instance(home) as instance:
        assert instance.get_dynamic_partitions("tropics_scenes") == []
        assert instance.all_asset_keys() == []

    reconcile(folder)
    assert (
        f"tropics/regridded: files that Dagster did not know are recorded of {N_SCENES} scenes"
        in capsys.readouterr().out
    )
    assert shown(home, folder) == ALL_GREEN
    assert lasting(home) == before
    reconcile(folder)
    assert "agrees with the files" in capsys.readouterr().out
    assert files_of(folder) == files


def test_deleted_runs_and_lost_files(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_instance(home) as instance:
        assert set(statuses(instance, "tropics", "regridded").values()) == {"MATERIALIZED"}
        for run in instance.get_runs():
            instance.delete_run(run.run_id)
    (folder / "rect" / f"{IDS[1]}.nc").unlink()
    tiles = sorted((folder / "triplets/train").glob("*.nc"))
    tiles[0].write_bytes(b"junk")
    reconcile(folder)
    capsys.readouterr()
    with open_instance(home) as instance:
        assert statuses(instance, "tropics", "cropped") == dict.fromkeys(IDS, "MATERIALIZED")
        expected = dict.fromkeys(IDS, "MATERIALIZED") | {IDS[1]: "MISSING"}
        assert statuses(instance, "tropics", "regridded") == expected
        of_tiles = statuses(instance, "tropics", "triplet_tiles")
        assert sorted(of_tiles.values()) == ["MATERIALIZED"] * 3 + ["MISSING"]

    # What Dagster knew as made and is gone becomes red, so that "failed and missing" is what is to be done.
    (folder / "rect" / f"{IDS[2]}.nc").unlink()
    reconcile(folder, "--dry-run")
    assert f"tropics/regridded: recorded as made, but missing: would be shown as failed now, 1 scenes: {IDS[2]}" in (
        capsys.readouterr().out
    )
    reconcile(folder)
    with open_instance(home) as instance:
        assert statuses(instance, "tropics", "regridded") == expected | {IDS[2]: "FAILED"}
    capsys.readouterr()
    reconcile(folder)
    assert "agrees with the files" in capsys.readouterr().out
    assert main(["backfill", "--missing-only", "--data-path", str(folder)]) == 0
    with webserver(home, folder) as server:
        for asset in ("cropped", "regridded", "triplet_tiles"):
            assert server.partition_counts(key(asset)) == {
                "numMaterialized": N_SCENES,
                "numFailed": 0,
                "numMaterializing": 0,
                "numPartitions": N_SCENES,
            }


OTHER_TILES = {"sampling": {**SAMPLING, "triplets": {**SAMPLING["triplets"], "tile_N": 20}}}


def test_an_edit_marks_what_depends_on_it_and_only_that_is_made_again(
    home: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder, sampling={**SAMPLING, "method": "nearest"})
    assert main(["status", "--data-path", str(folder)]) == 0
    said = capsys.readouterr().out
    for stage in ("regridded", "sliding_window_tiles", "triplet_tiles"):
        assert f"{stage}: {N_SCENES} outdated: sampling.method: not given → nearest" in said, said
    assert "cropped: " not in said
    stale = {"regridded", "sliding_window_tiles", "triplet_tiles", "aux/fields/tiles"}
    expected = ALL_GREEN | {f"{asset} in sync": set() for asset in stale}
    assert shown(home, folder) == expected

    before = files_of(folder)
    stages = ["--stage", "regridded", "triplet_tiles", "sliding_window_tiles"]
    assert main(["backfill", "--data-path", str(folder), *stages]) == 0
    assert shown(home, folder) == expected | {f"{asset} in sync": set(IDS) for asset in stale - {"aux/fields/tiles"}}
    changed = {name for name, written in files_of(folder).items() if before.get(name) != written}
    assert {name.split("/")[0] for name in changed if not name.startswith(".made_from")} == {
        *("rect", "rect-slidingwindow", "triplets"),
    }
    assert not any("/fields/" in name for name in changed)
    capsys.readouterr()
    assert main(["status", "--data-path", str(folder)]) == 0
    assert "outdated:" not in capsys.readouterr().out


def test_other_tiles_make_no_scene_again_and_reuse_no_tile(
    home: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(folder)
    edit(folder, **OTHER_TILES)
    assert main(["status", "--data-path", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "tile_plan: outdated: sampling.triplets.tile_N: 16 → 20" in said
    assert f"triplet_tiles: {N_SCENES} outdated: tile_plan is outdated – sampling.triplets.tile_N: 16 → 20" in said
    for what in ("is outdated – ", ""):  # as failed, once
        reconcile(folder)
        assert (f"triplet_tiles: recorded as made, but outdated (tile_plan {what}" in capsys.readouterr().out) == bool(
            what
        )
    with open_instance(home) as instance:
        assert set(statuses(instance, "tropics", "triplet_tiles").values()) == {"FAILED"}
        assert set(statuses(instance, "tropics", "cropped").values()) == {"MATERIALIZED"}
    assert main(["backfill", "--missing-only", "--data-path", str(folder)]) == 0
    reconcile(folder)
    assert "agrees with the files" in capsys.readouterr().out
    after = files_of(folder)
    scenes = {name for name in before if name.startswith(("rect/", "rect-slidingwindow/", "source_data/"))}
    assert {name for name in scenes if before[name] != after[name] and not name.endswith(".json")} == set()
    tiles = {name for name in before if name.startswith(("triplets/train", "triplets/study"))}
    assert len(tiles) == 8 * 9
    assert {name for name in tiles if before[name] == after[name]} == set()


def test_status_of_what_cannot_be_read_and_of_other_pictures(
    home: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rect" / f"{IDS[0]}.png").unlink()
    (folder / "rect" / f"{IDS[1]}.nc").write_bytes(b"junk")
    before = files_of(folder)
    assert main(["status", "--data-path", str(folder)]) == 0
    said = capsys.readouterr().out
    assert f"of {N_SCENES} scenes" in said
    assert "scene_ids: current\ntile_plan: current\n" in said
    assert ["regridded", "2", "1", "1", "0"] in [line.split() for line in said.splitlines()]
    assert "regridded: 1 outdated: the picture is missing" in said
    assert "regridded: 1 missing: the file cannot be opened" in said
    assert main(["status", "--aux-name", "fields", "--data-path", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "matches: current" in said
    assert ["regridded", "0", "0", "4", "0"] in [line.split() for line in said.splitlines()]
    assert files_of(folder) == before
