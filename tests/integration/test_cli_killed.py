"""`convml-data tiles` is killed at several moments: nothing half-written, and the next run does what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import (
    COMMAND,
    assert_whole,
    dagster_home_fixture,  # noqa: F401
    differing,
    names_in,
    results,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    tile_names,
    times_of_writing,
    write_meta,
)

from convml_data_dagster.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dagster_home")]

N_SCENES = 6
N_TRIPLETS = 16
NAME = "islands"  # of all datasets here: it is among the attributes


def new_dataset(folder: Path, archive: str) -> Path:
    meta = small_meta(archive, N_SCENES)
    meta["sampling"]["triplets"]["N_triplets"] = {"train": N_TRIPLETS}
    del meta["dask"]  # threads, as many as the machine has processors
    write_meta(folder, meta)
    assert main(["scene-ids", "--data-path", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_archive: str) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("home")))
        folder = new_dataset(tmp_path_factory.mktemp("undisturbed") / NAME, small_archive)
        assert main(["tiles", "--data-path", str(folder)]) == 0
    assert names_in(folder / "triplets/train") == tile_names(N_TRIPLETS)
    return results(folder)


def stop_when(folder: Path, moment: Callable[[Path], bool], *argv: str, by: signal.Signals) -> tuple[int, str]:
    """Start `tiles` as the leader of a process group and send that a signal at a moment; status and what it said."""
    process = subprocess.Popen(
        [COMMAND, "tiles", "--data-path", folder, *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and not moment(folder) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, f"it ended or hung before the moment came:\n{process.communicate()[1]}"
    os.killpg(process.pid, by)
    try:
        _, said = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail("it is still there half a minute after the signal")
    return process.returncode, said


def cropped(folder: Path) -> set[str]:
    return {name for name in names_in(folder / "source_data/goes16/truecolor_rgb/cropped") if name.endswith(".nc")}


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "first scene": lambda folder: len(cropped(folder)) >= 1,
    "triplets appear": lambda folder: len(names_in(folder / "triplets/train")) >= 1,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(undisturbed: dict[str, bytes], small_archive: str, tmp_path: Path, moment: str) -> None:
    folder = new_dataset(tmp_path / NAME, small_archive)
    status, _ = stop_when(folder, MOMENTS[moment], by=signal.SIGKILL)
    assert status == -signal.SIGKILL
    found = results(folder)
    assert differing(found, undisturbed) != []  # it was not done

    assert_whole([folder / name for name in found])
    # The ledger learns of the scenes' coverage at the end.
    final = [name for name in found if "/.incomplete/" not in name and not name.endswith("scene_ids.json")]
    assert [name for name in final if found[name] != undisturbed[name]] == []
    shown = names_in(folder / "triplets/train")
    lacking = []
    for number in range(N_TRIPLETS):
        triplet = {name for name in tile_names(N_TRIPLETS) if name.startswith(f"{number:05d}")}
        if any(name.endswith(".png") for name in triplet & shown):
            assert {name for name in triplet if not name.endswith(".png")} <= shown
        if triplet & shown and not triplet <= shown:
            lacking.append(number)
    assert len(lacking) <= 1  # the one that was being moved

    # What is not there yet has a temporary name or waits; a scene is there when its data are.
    settled = set(final)
    settled -= {name for name in settled if "/cropped/" in name and name.replace(".png", ".nc") not in found}
    before = times_of_writing(folder)
    assert main(["tiles", "--data-path", str(folder)]) == 0
    assert differing(results(folder), undisturbed) == []
    after = times_of_writing(folder)
    assert [name for name in settled if after[name] != before[name]] == []

    assert main(["tiles", "--data-path", str(folder)]) == 0
    assert differing(times_of_writing(folder), after) == []


def test_killed_with_all_its_processes(undisturbed: dict[str, bytes], small_archive: str, tmp_path: Path) -> None:
    folder = new_dataset(tmp_path / NAME, small_archive)
    waiting = folder / "triplets/.incomplete/train"
    stop_when(folder, lambda _: len(names_in(waiting)) >= 20, "--processes", "--workers", "2", by=signal.SIGKILL)
    assert_whole([folder / name for name in results(folder)])
    assert main(["tiles", "--data-path", str(folder)]) == 0
    assert differing(results(folder), undisturbed) == []


@pytest.mark.parametrize("moment", ["first scene", "triplets appear"])
def test_interrupted(undisturbed: dict[str, bytes], small_archive: str, tmp_path: Path, moment: str) -> None:
    """Ctrl-C: one word beside the progress bar, no traceback, and soon."""
    folder = new_dataset(tmp_path / NAME, small_archive)
    status, said = stop_when(folder, MOMENTS[moment], by=signal.SIGINT)
    assert "Traceback" not in said
    assert "Stack Trace" not in said
    assert "interrupted\n" in said
    assert status == 130
    assert_whole([folder / name for name in results(folder)])
    assert main(["tiles", "--data-path", str(folder)]) == 0
    assert differing(results(folder), undisturbed) == []


def test_all_scenes_of_the_plan_were_cropped(undisturbed: dict[str, bytes]) -> None:
    """So that the tests above are about all of them."""
    expected = {f"source_data/goes16/truecolor_rgb/cropped/{scene}.nc" for scene in scene_ids(N_SCENES)}
    assert expected <= undisturbed.keys()
