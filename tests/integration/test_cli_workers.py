"""The same files whoever makes them: byte for byte, with any number of workers, in steps or at once, anywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets import (
    call,
    dagster_home_fixture,  # noqa: F401
    differing,
    names_in,
    results,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    tile_names,
    write_meta,
)

from convml_data_dagster.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dagster_home")]

N_SCENES = 6
NAME = "islands"  # of all datasets here: it is among the attributes


def new_dataset(folder: Path, archive: str) -> Path:
    """A dataset that leaves the workers to the command."""
    meta = small_meta(archive, N_SCENES)
    del meta["dask"]
    return write_meta(folder, meta)


def make(folder: Path, archive: str, *commands: list[str]) -> dict[str, bytes]:
    new_dataset(folder, archive)
    for command in commands:
        assert main([*command, "--data-path", str(folder)]) == 0
    return results(folder)


@pytest.fixture(scope="module")
def made_by_one(tmp_path_factory: pytest.TempPathFactory, small_archive: str) -> dict[str, bytes]:
    """Results of one worker, stage by stage."""
    folder = tmp_path_factory.mktemp("one") / NAME
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder.parent / "home"))
        made = make(folder, small_archive, *([stage, "--workers", "1"] for stage in ("crop", "regrid", "tiles")))
    assert names_in(folder / "rect") == {
        f"{scene}.{suffix}" for scene in scene_ids(N_SCENES) for suffix in ("nc", "png")
    }
    assert names_in(folder / "triplets/train") == tile_names(6)
    assert names_in(folder / "triplets/study") == tile_names(2)
    visible = [name for name in made if "/." not in name]
    # Scenes and what is known of their three files, tiles; ledger and plan.
    assert len(visible) == (4 + 3) * N_SCENES + 8 * 9 + 2
    return made


def test_eight_workers_at_once(made_by_one: dict[str, bytes], small_archive: str, tmp_path: Path) -> None:
    made = make(tmp_path / NAME, small_archive, ["regrid", "--workers", "8"], ["tiles", "--workers", "8"])
    assert differing(made_by_one, made) == []


def test_tiles_before_scenes(made_by_one: dict[str, bytes], small_archive: str, tmp_path: Path) -> None:
    made = make(tmp_path / NAME, small_archive, ["tiles"], ["regrid"])
    assert differing(made_by_one, made) == []


def test_processes(made_by_one: dict[str, bytes], small_archive: str, tmp_path: Path) -> None:
    """Each with a hash seed, a time zone and a moment of its own."""
    folder = new_dataset(tmp_path / "elsewhere" / NAME, small_archive)
    done = call("tiles", "--processes", "--workers", "2", "--data-path", folder, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    assert done.returncode == 0, done.stderr
    assert main(["regrid", "--data-path", str(folder)]) == 0
    assert differing(made_by_one, results(folder)) == []


#: The clock of the C library, by which Python and HDF5 tell the time as well, set back by 400 days.
ANOTHER_DAY = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static const time_t BACK = 400L * 24 * 3600;

int clock_gettime(clockid_t clock, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, at);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec -= BACK;
    return status;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    int status = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return status;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def another_day(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that lives on another day."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("to set the clock of a process back takes Linux and a C compiler")
    source, library = tmp_path / "another_day.c", tmp_path / "another_day.so"
    source.write_text(ANOTHER_DAY)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library), "DAGSTER_HOME": str(tmp_path / "home")}
    asked = "import ctypes, time; print(int(time.time()), ctypes.CDLL(None).time(None))"
    said = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert all(399 < (time.time() - int(moment)) / 86400 < 401 for moment in said.split())
    return environment


def test_another_day(
    made_by_one: dict[str, bytes], small_archive: str, tmp_path: Path, another_day: dict[str, str]
) -> None:
    dataset = new_dataset(tmp_path / NAME, small_archive)
    done = call("backfill", "--data-path", dataset, **another_day)
    assert done.returncode == 0, done.stderr
    made = results(dataset)
    assert {Path(name).suffix for name in made} >= {".nc", ".png", ".yml", ".json"}
    assert differing(made_by_one, made) == []
