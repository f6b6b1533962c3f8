"""A small simulated archive, datasets of it on disk, and running the command on them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5netcdf
import pytest
import yaml
from made_once import made_once
from PIL import Image

from convml_data.geometry.local import LocalDomain
from convml_data.simulate.archive import simulate_archive
from convml_data.sources.base import Interval
from convml_data.tiles.plan import TILE_TYPES

#: Start of the time span of the small archive, and how many scans of the full disk follow, 10 minutes apart.
FIRST = datetime(2020, 2, 2, 14)
N_SCANS = 20
#: The area that the small archive has data of.
DOMAIN = LocalDomain(13.3, -57.72, 120e3, 120e3)

COMMAND = Path(sys.executable).with_name("convml-data")
#: Where the results of a dataset lie, below its folder; what is beside them is only for the next run.
RESULTS = ("rect", "rect.zarr", "source_data", "triplets")


def small_archive_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``noaa-goes16`` with sector F, channels 1 to 3, ``N_SCANS`` scans over ``DOMAIN``; 17 MB, only to be read."""

    def make(folder: Path) -> None:
        simulate_archive(
            folder,
            satellite="goes16",
            sector="F",
            channels=(1, 2, 3),
            spans=[Interval(FIRST, end_of(N_SCANS))],
            domain=DOMAIN,
        )

    return made_once(tmp_path_factory, "small-archive", make)


@pytest.fixture(scope="session", name="small_archive")
def small_archive_fixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What ``archive:`` says for :func:`small_archive_folder`."""
    return f"file://{small_archive_folder(tmp_path_factory)}/noaa-{{satellite}}"


@pytest.fixture(name="dagster_home")
def dagster_home_fixture(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One Dagster instance for all datasets, which a new one would cost a second each, and no chosen archive."""
    home = tmp_path_factory.getbasetemp() / "dagster-home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.delenv("CONVML_GOES_ARCHIVE", raising=False)
    return home


def end_of(scans: int) -> datetime:
    """The end of a time span that holds the first scans of the small archive."""
    return FIRST + timedelta(minutes=10 * scans - 1)


def scene_ids(count: int) -> list[str]:
    """Those of the first scans of the small archive."""
    return [f"goes16__{FIRST + timedelta(minutes=10 * number):%Y%m%d%H%M}" for number in range(count)]


def granule(archive: str, scene_id: str, channel: int) -> Path:
    """The file of one channel of a scene of a simulated archive."""
    time = datetime.strptime(scene_id.partition("__")[2], "%Y%m%d%H%M")
    bucket = Path(archive.removeprefix("file://").replace("{satellite}", "goes16"))
    (file,) = bucket.glob(f"*/*/*/*/*C{channel:02d}_G16_s{time:%Y%j%H%M}*.nc")
    return file


def small_meta(archive: str, scans: int = 4) -> dict[str, Any]:
    """A ``meta.yaml`` of the first scans of the small archive, as a mapping to be changed."""
    return {
        "source": "goes16",
        "type": "truecolor_rgb",
        "archive": archive,
        "time": {"t_start": FIRST, "t_end": end_of(scans)},
        "domain": {
            "central_latitude": DOMAIN.central_latitude,
            "central_longitude": DOMAIN.central_longitude,
            "l_zonal": DOMAIN.l_zonal,
            "l_meridional": DOMAIN.l_meridional,
        },
        "sampling": {
            "resolution": 2000.0,
            "triplets": {"N_triplets": {"train": 6, "study": 2}, "tile_N": 16},
        },
        "product_options": {"rayleigh_correction": False},
        "dask": {"count": 1},  # a cluster of threads costs each run as much as some scenes
    }


def write_meta(folder: Path, meta: Mapping[str, Any]) -> Path:
    """Write a dataset's ``meta.yaml``, its folder too; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump(dict(meta), sort_keys=False))
    return folder


def call(*argv: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``convml-data`` as a user does, in a process of its own."""
    return subprocess.run(
        [COMMAND, *argv],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def results(dataset: Path) -> dict[str, bytes]:
    """Contents of a dataset's results by their names, the hidden ones too."""
    return {name: path.read_bytes() for name, path in _result_files(dataset)}


def times_of_writing(dataset: Path) -> dict[str, int]:
    """When each of a dataset's results was written, nanoseconds."""
    return {name: path.stat().st_mtime_ns for name, path in _result_files(dataset)}


def _result_files(dataset: Path) -> Iterator[tuple[str, Path]]:
    for folder in RESULTS:
        for path in sorted((dataset / folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(dataset).as_posix(), path


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names that are in one only or have another value in the other; shorter to print than the values."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def tile_names(count: int) -> set[str]:
    """The files of a collection's complete triplets."""
    return {
        f"{number:05d}_{kind}.{suffix}"
        for number in range(count)
        for kind in TILE_TYPES
        for suffix in ("nc", "png", "yml")
    }


def names_in(folder: Path) -> set[str]:
    """Names in a folder, which may be absent, without the hidden ones."""
    return {path.name for path in folder.iterdir() if path.name[0] != "."} if folder.exists() else set()


def assert_whole(paths: Collection[Path]) -> None:
    """That each file opens and can be read to its end."""
    for path in paths:
        if path.suffix == ".nc":
            with h5netcdf.File(path, "r") as file:
                for variable in file.variables.values():
                    variable[...]
                assert file.attrs["fingerprint"]
        elif path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".yml":
            assert yaml.safe_load(path.read_text())["fingerprint"]
        else:
            assert path.read_bytes()
