"""`convml-data backfill` and the runs that it and the other stage commands are shared out to."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from datasets import (
    COMMAND,
    differing,
    granule,
    names_in,
    results,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    times_of_writing,
    write_meta,
)

from convml_data_dagster.cli import main
from convml_data_dagster.instance import open_instance

pytestmark = pytest.mark.slow

CROPPED, RECT = "source_data/goes16/truecolor_rgb/cropped", "rect"


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / ".dagster"))
    monkeypatch.delenv("CONVML_GOES_ARCHIVE", raising=False)
    return tmp_path / ".dagster"


def dataset(folder: Path, archive: str, scans: int = 6, max_scenes: int = 2) -> Path:
    return write_meta(folder, small_meta(archive, scans) | {"run": {"max_scenes": max_scenes}})


def call(folder: Path, *argv: str) -> int:
    return main([*argv, "--data-path", str(folder), *([] if argv[0] == "scene-ids" else ["--workers", "1"])])


def ranges(home: Path) -> list[tuple[str, str]]:
    """First and last scene of each run over scenes, in the order in which they were launched."""
    with open_instance(home) as instance:
        tags = [run.tags for run in reversed(instance.get_runs())]
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    return [(of_run[start], of_run[end]) for of_run in tags if start in of_run]


def scenes_of(folder: Path) -> set[str]:
    return {Path(name).stem for name in names_in(folder) if name.endswith(".nc")}


def test_a_range_in_runs_and_then_what_is_missing(
    home: Path, small_archive: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = dataset(tmp_path / "islands", small_archive)
    ids = scene_ids(6)
    assert call(folder, "backfill", "--from", ids[1], "--to", "2020-02-02T14:30", "--stage", "cropped") == 0
    said = capfd.readouterr()
    assert f"3 of 3 scenes from {ids[1]} to {ids[3]} in 2 runs" in said.out
    assert "3/3" in said.err
    assert ranges(home) == [(ids[1], ids[2]), (ids[3], ids[3])]
    assert scenes_of(folder / CROPPED) == set(ids[1:4])
    assert not (folder / RECT).exists()

    before = times_of_writing(folder)
    assert call(folder, "backfill", "--missing-only", "--stage", "cropped") == 0
    assert f"3 of 6 scenes from {ids[0]} to {ids[5]} in 2 runs" in capfd.readouterr().out
    assert ranges(home)[2:] == [(ids[0], ids[0]), (ids[4], ids[5])]
    assert scenes_of(folder / CROPPED) == set(ids)
    assert before.items() - times_of_writing(folder).items() <= {
        (name, written) for name, written in before.items() if name.endswith("scene_ids.json")
    }

    assert call(folder, "backfill", "--missing-only", "--stage", "cropped") == 0
    assert "0 of 6 scenes" in capfd.readouterr().out
    assert len(ranges(home)) == 4

    # All stages by default; out of date counts as missing.
    assert call(folder, "backfill") == 0
    assert len(names_in(folder / "triplets/train")) == 6 * 9
    (folder / RECT / f"{ids[2]}.nc").write_bytes(b"junk")
    assert call(folder, "backfill", "--missing-only") == 0
    assert ranges(home)[-1] == (ids[2], ids[2])
    meta = small_meta(small_archive, 6)
    meta["sampling"]["method"] = "nearest"
    write_meta(folder, meta)
    assert call(folder, "backfill", "--missing-only", "--stage", "regridded") == 0
    assert "6 of 6 scenes" in capfd.readouterr().out


def test_a_run_that_fails_keeps_no_other_back(
    home: Path, small_archive: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = small_archive.replace(str(Path(small_archive.removeprefix("file://")).parent), str(tmp_path / "archive"))
    shutil.copytree(Path(small_archive.removeprefix("file://")).parent, tmp_path / "archive")
    folder = dataset(tmp_path / "islands", archive)
    ids = scene_ids(6)
    for number in (0, 4):
        granule(archive, ids[number], 2).write_bytes(b"junk")
    assert call(folder, "crop") == 1
    said = capfd.readouterr().err
    assert said.count("error: ") == 1
    assert "2 of 6 scenes failed; the others are done." in said
    assert said.count(" – cropped: ") == 2
    for number in (0, 4):
        assert ids[number] in said
    assert ranges(home) == [(ids[0], ids[1]), (ids[2], ids[3]), (ids[4], ids[5])]
    assert scenes_of(folder / CROPPED) == set(ids) - {ids[0], ids[4]}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--from", "goes16__202002021411"], ["there is no scene goes16__202002021411", "The nearest are"]),
        (["--to", "noon"], ["'noon' is neither", "2020-02-02T14:00"]),
        (["--from", "2021-01-01"], ["no scene is in the range", "There are 2 scenes"]),
        (["--stage", "tiles"], ["no per-scene stage 'tiles'", "cropped, regridded, triplet_tiles"]),
        (["--aux-name", "clouds"], ["no auxiliary product 'clouds'"]),
    ],
)
def test_what_is_not_there_is_an_error(
    argv: Sequence[str],
    words: Sequence[str],
    home: Path,
    small_archive: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = dataset(tmp_path / "islands", small_archive, scans=2)
    assert call(folder, "backfill", *argv) == 1
    said = capfd.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert not (folder / CROPPED).exists()


def test_two_at_once_make_each_scene_once(home: Path, small_archive: str, tmp_path: Path) -> None:
    """Whatever both want, one of them makes and the other keeps, in the end with the same files as of one alone."""
    alone, folder = (dataset(tmp_path / where / "islands", small_archive, 8, 100) for where in ("alone", "both"))
    assert call(alone, "tiles") == 0
    assert call(alone, "regrid") == 0
    assert call(folder, "scene-ids") == 0
    assert call(folder, "backfill", "--to", "2020-02-02T13:00") == 1  # makes nothing, but the instance is there
    command = [COMMAND, "backfill", "--workers", "2", "--data-path", str(folder)]
    both = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    said = [process.communicate(timeout=180)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert differing(results(alone), results(folder)) == []

    with open_instance(home) as instance:
        made = Counter(
            (stage, event.asset_materialization.partition)
            for stage in ("cropped", "regridded")
            for event in instance.fetch_materializations(dg.AssetKey(["islands", stage]), limit=1000).records
            if str(folder) in str(event.asset_materialization.metadata["path"].value)
            and event.asset_materialization.metadata["kept"].value is False
        )
    assert made == dict.fromkeys([(stage, name) for stage in ("cropped", "regridded") for name in scene_ids(8)], 1)
    assert list((folder / ".partial").iterdir()) == []


def test_interrupted_and_resumed(home: Path, small_archive: str, tmp_path: Path) -> None:
    folder = dataset(tmp_path / "islands", small_archive, 8, 3)
    assert call(folder, "scene-ids") == 0
    command = [COMMAND, "backfill", "--stage", "cropped", "--workers", "1", "--data-path", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(scenes_of(folder / CROPPED)) < 4:
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = scenes_of(folder / CROPPED)
    assert 4 <= len(done) < 8
    before = times_of_writing(folder)
    assert call(folder, "backfill", "--stage", "cropped", "--missing-only") == 0
    assert scenes_of(folder / CROPPED) == set(scene_ids(8))
    after = times_of_writing(folder)
    assert {name for name in before if before[name] != after[name] and name.endswith(".nc")} == set()
