"""What a change of meta.yaml, of the archive or of the files makes anew, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import yaml
from datasets import (
    dagster_home_fixture,  # noqa: F401
    differing,
    end_of,
    granule,
    names_in,
    results,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    tile_names,
    times_of_writing,
    write_meta,
)
from PIL import Image

from convml_data_dagster.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dagster_home")]

N_SCENES = 4
CROPPED, RECT = "source_data/goes16/truecolor_rgb/cropped", "rect"


@dataclass
class Work:
    """A dataset whose meta.yaml is changed from run to run."""

    folder: Path
    meta: dict[str, Any]
    _before: dict[str, int] = field(default_factory=dict)

    def run(self, *commands: str) -> None:
        """Write meta.yaml and run the commands; :attr:`rewritten` is what they wrote."""
        write_meta(self.folder, self.meta)
        self._before = times_of_writing(self.folder)
        for command in commands:
            workers = [] if command == "scene-ids" else ["--workers", "1"]
            assert main([command, "--data-path", str(self.folder), *workers]) == 0

    @property
    def rewritten(self) -> set[str]:
        """Results that the last run wrote or deleted."""
        return set(differing(self._before, times_of_writing(self.folder)))

    def below(self, folder: str) -> set[str]:
        """Those of them in a folder, without the hidden ones."""
        names = {name.removeprefix(f"{folder}/") for name in self.rewritten if name.startswith(f"{folder}/")}
        return {name for name in names if name[0] != "."}


def mirrored(archive: str, folder: Path) -> str:
    """A second archive of the same files, and what `archive:` says for it."""
    shutil.copytree(Path(archive.removeprefix("file://")).parent, folder, copy_function=os.link)
    return f"file://{folder}/noaa-{{satellite}}"


def of_scenes(*scenes: str) -> set[str]:
    return {f"{scene}.{suffix}" for scene in scenes for suffix in ("nc", "png")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_archive: str) -> Path:
    """A finished dataset, to be copied."""
    folder = tmp_path_factory.mktemp("made") / "islands"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("home")))
        Work(folder, small_meta(small_archive, N_SCENES)).run("regrid", "tiles")
    return folder


@pytest.fixture
def work(made: Path, small_archive: str, tmp_path: Path) -> Iterator[Work]:
    folder = tmp_path / made.name
    shutil.copytree(made, folder)
    yield Work(folder, small_meta(small_archive, N_SCENES))
    # However it came there, a collection holds complete triplets of the present settings, and all of them.
    triplets = yaml.safe_load((folder / "meta.yaml").read_text())["sampling"]["triplets"]
    for collection, count in triplets["N_triplets"].items():
        assert names_in(folder / "triplets" / collection) == tile_names(count)
        for path in (folder / "triplets" / collection).glob("*.png"):
            with Image.open(path) as image:
                assert image.size == (triplets["tile_N"], triplets["tile_N"])


def test_nothing_changed(work: Work) -> None:
    work.run("scene-ids", "crop", "regrid", "tiles")
    assert work.rewritten == {"source_data/goes16/truecolor_rgb/scene_ids.json"}
    work.run("crop", "regrid", "tiles")
    assert work.rewritten == set()


def test_another_way_of_writing_the_same(work: Work) -> None:
    work.meta["product"] = work.meta.pop("type")
    work.meta["time"] = {"intervals": [{"t_start": "2020-02-02 14:00:00", "t_end": "2020-02-02T14:39Z"}]}
    work.meta["domain"]["l_zonal"] = "120e3"
    work.meta["domain"]["central_longitude"] = 302.28
    work.meta["sampling"]["triplets"]["N_triplets"] = {"study": 2, "train": 6}
    work.run("crop", "regrid", "tiles")
    assert work.rewritten == set()


def test_a_larger_tile(work: Work) -> None:
    work.meta["sampling"]["triplets"]["tile_N"] = 20
    for collection in ("train", "study"):
        (work.folder / f"triplets/{collection}/meta.csv").write_text("what a reader left")
    work.run("crop", "regrid", "tiles")
    assert work.below(CROPPED) == work.below(RECT) == set()
    assert tile_names(6) | {"meta.csv"} == work.below("triplets/train")


def test_a_coarser_resolution(work: Work) -> None:
    work.meta["sampling"]["resolution"] = 3000
    work.run("regrid", "tiles")
    assert work.below(CROPPED) == set()
    assert work.below(RECT) == of_scenes(*scene_ids(N_SCENES))
    assert work.below("triplets/train") == tile_names(6)
    with xr.open_dataset(work.folder / RECT / f"{scene_ids(1)[0]}.nc", engine="h5netcdf") as scene:
        assert scene["rgb_truecolor"].shape == (3, 40, 40)


def test_another_interpolation(work: Work) -> None:
    work.meta["sampling"]["method"] = "nearest"
    work.run("regrid", "tiles")
    assert work.below(CROPPED) == set()
    assert work.below(RECT) == of_scenes(*scene_ids(N_SCENES))
    assert work.below("triplets/study") == tile_names(2)


def test_a_smaller_domain(work: Work) -> None:
    work.meta["domain"] |= {"l_zonal": 110e3, "l_meridional": 100e3}
    work.run("regrid", "tiles")
    assert work.below(CROPPED) == work.below(RECT) == of_scenes(*scene_ids(N_SCENES))
    with xr.open_dataset(work.folder / RECT / f"{scene_ids(1)[0]}.nc", engine="h5netcdf") as scene:
        assert scene["rgb_truecolor"].shape == (3, 50, 55)


def test_another_seed(work: Work) -> None:
    work.meta["sampling"]["seed"] = 1
    work.run("regrid", "tiles")
    assert work.below(CROPPED) == work.below(RECT) == set()
    assert work.below("triplets/train") == tile_names(6)


def test_more_triplets_in_the_same_proportion(work: Work) -> None:
    (work.folder / "triplets/train/meta.csv").write_text("what a reader left")
    work.meta["sampling"]["triplets"]["N_triplets"] = {"train": 9, "study": 3}
    work.run("tiles")
    assert work.below("triplets/train") == tile_names(9) - tile_names(6) | {"meta.csv"}
    assert work.below("triplets/study") == tile_names(3) - tile_names(2)
    assert work.below(CROPPED) == set()


def test_fewer_triplets_in_the_same_proportion(work: Work) -> None:
    work.meta["sampling"]["triplets"]["N_triplets"] = {"train": 3, "study": 1}
    work.run("tiles")
    assert work.below("triplets/train") == tile_names(6) - tile_names(3)


def test_a_longer_time_span(work: Work) -> None:
    work.meta["time"]["t_end"] = end_of(N_SCENES + 2)
    work.run("regrid", "tiles")
    new = scene_ids(N_SCENES + 2)[N_SCENES:]
    assert work.below(CROPPED) == work.below(RECT) == of_scenes(*new)


def test_a_reprocessed_scene(work: Work, small_archive: str, tmp_path: Path) -> None:
    """Its file has a later time of creation in its name; all other scenes stay, and so do their tiles."""
    work.meta["archive"] = mirrored(small_archive, tmp_path / "archive")
    scene = scene_ids(N_SCENES)[1]
    old = granule(work.meta["archive"], scene, 2)
    old.rename(old.with_name(old.name.replace("_c2020", "_c2021")))
    work.run("scene-ids", "regrid", "tiles")
    assert work.below(CROPPED) == work.below(RECT) == of_scenes(scene)
    descriptions = {
        path.stem: yaml.safe_load(path.read_text())["scene_id"]
        for path in (work.folder / "triplets/train").glob("*.yml")
    }
    assert {name.partition(".")[0] for name in work.below("triplets/train")} == {
        name for name, of_scene in descriptions.items() if of_scene == scene
    }


def test_a_mirror_of_the_archive(work: Work, small_archive: str, tmp_path: Path) -> None:
    mirrored(small_archive, tmp_path / "mirror")
    work.meta["archive"] = "../mirror/noaa-{satellite}"
    work.run("crop", "regrid", "tiles")
    assert work.rewritten == {"source_data/goes16/truecolor_rgb/scene_ids.json"}


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b"junk")], ids=["deleted", "overwritten"]
)
def test_damaged_files(work: Work, damage: Callable[[Path], Any]) -> None:
    before = results(work.folder)
    scene = scene_ids(1)[0]
    for name in (f"{CROPPED}/{scene}.nc", f"{RECT}/{scene}.png", "triplets/train/00001_anchor.png"):
        damage(work.folder / name)
    work.run("regrid", "tiles")
    assert differing(results(work.folder), before) == []


@pytest.mark.filterwarnings("error:.*Zarr V3")
def test_zarr(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    work.meta["storage"] = {"format": "zarr"}
    before = results(work.folder)
    netcdf_scenes = shutil.copytree(work.folder / RECT, work.folder.parent / RECT)
    shutil.rmtree(work.folder / "triplets")
    shutil.rmtree(work.folder / CROPPED)
    work.run("crop", "regrid", "tiles")
    assert "Warning" not in capsys.readouterr().err
    for scene in scene_ids(N_SCENES):
        with (
            xr.open_zarr(work.folder / "rect.zarr" / scene, consolidated=False) as zarr,
            xr.open_dataset(netcdf_scenes / f"{scene}.nc", engine="h5netcdf") as netcdf,
        ):
            xr.testing.assert_identical(zarr.load(), netcdf.load())
        assert (work.folder / f"{CROPPED}.zarr" / scene / "zarr.json").exists()
    assert names_in(work.folder / RECT) == {f"{scene}.png" for scene in scene_ids(N_SCENES)}
    # Tiles are netCDF whatever the format of scenes, and the same.
    after = results(work.folder)
    assert [name for name in before if name.startswith("triplets/") and before[name] != after[name]] == []
    work.run("crop", "regrid", "tiles")
    assert work.rewritten == set()


def test_scenes_that_are_none_any_more(work: Work) -> None:
    """What is read as a folder holds the present scenes only; cropped ones are kept for another time."""
    mine = work.folder / RECT / "mask.nc"
    mine.write_text("the user's own")
    (work.folder / RECT / "overview.png").write_text("the user's own")
    work.meta["time"]["t_end"] = end_of(N_SCENES - 1)
    work.run("regrid", "tiles")
    kept = scene_ids(N_SCENES - 1)
    assert names_in(work.folder / RECT) == of_scenes(*kept) | {"mask.nc", "overview.png"}
    assert names_in(work.folder / CROPPED) == of_scenes(*scene_ids(N_SCENES))
    assert work.below(CROPPED) == set()

    work.meta["time"]["t_end"] = end_of(N_SCENES)
    work.run("regrid", "tiles")
    assert work.below(CROPPED) == set()
    assert work.below(RECT) == of_scenes(scene_ids(N_SCENES)[-1])
