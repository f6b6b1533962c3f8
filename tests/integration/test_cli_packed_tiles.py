"""`sampling.format: zarr` through the command line: the same tiles as files, in few files, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import yaml
from datasets import (
    dagster_home_fixture,  # noqa: F401
    differing,
    names_in,
    results,
    small_archive_fixture,  # noqa: F401
    small_meta,
    tile_names,
    times_of_writing,
    write_meta,
)

from convml_data.export.geoparquet import samples
from convml_data.meta.dataset import load_dataset
from convml_data.store.arrays import ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.store.files import Files
from convml_data.store.packed_tiles import PackedTiles
from convml_data.store.shown_tiles import TileFolder, tiles_there
from convml_data_dagster.cli import main

pytestmark = pytest.mark.usefixtures("dagster_home")

NAME = "islands"  # of all datasets here: it is among the attributes
COUNTS = {"train": 6, "study": 2}
AUX = "red"


def meta_of(archive: str, format_: str, **sampling: Any) -> dict[str, Any]:
    meta = small_meta(archive)
    meta["sampling"] |= {"format": format_}
    meta["sampling"]["triplets"] |= sampling
    meta["aux_products"] = {
        AUX: {
            "source": "goes16",
            "type": "singlechannel__refl_2",
            "archive": archive,
            "dt_aux": "PT20M",
            "scene_mapping_strategy": "single_scene_per_aux_time",
        }
    }
    return meta


def make(folder: Path, meta: Mapping[str, Any], *argv: str) -> Path:
    write_meta(folder, meta)
    assert main(["tiles", "--data-path", str(folder), *argv]) == 0
    return folder


@pytest.fixture(scope="module", name="in_files")
def in_files_fixture(tmp_path_factory: pytest.TempPathFactory, small_archive: str) -> Path:
    """A dataset whose tiles are files, its auxiliary product's too, with statistics."""
    folder = tmp_path_factory.mktemp("files") / NAME
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder.parent / "home"))
        make(folder, meta_of(small_archive, "files"))
        assert main(["scene-ids", "--data-path", str(folder), "--aux-name", AUX]) == 0
        assert main(["tiles", "--data-path", str(folder), "--aux-name", AUX]) == 0
        assert main(["statistics", "--data-path", str(folder)]) == 0
    assert names_in(folder / "triplets/train") == tile_names(COUNTS["train"])
    return folder


@pytest.fixture(scope="module", name="in_stores")
def in_stores_fixture(tmp_path_factory: pytest.TempPathFactory, small_archive: str) -> Path:
    """The same with tiles in stores, without auxiliary tiles and statistics; to be copied."""
    folder = tmp_path_factory.mktemp("stores") / NAME
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder.parent / "home"))
        return make(folder, meta_of(small_archive, "zarr"))


@pytest.fixture(name="dataset")
def dataset_fixture(in_stores: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(in_stores, tmp_path / "stores" / NAME))


def packed_in(dataset: Path, collection: str) -> PackedTiles:
    return PackedTiles(Files(str(dataset)), f"triplets/{collection}")


def packs(dataset: Path, of: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Of the files in stores of triplets alone."""
    found = {name: value for name, value in of(dataset).items() if name.startswith("triplets/") and ".zarr/" in name}
    assert found
    return found


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def assert_as_files(dataset: Path, in_files: Path, *collections: str) -> None:
    """That collections hold the tiles of a dataset in files and nothing else is there."""
    for collection in collections or tuple(COUNTS):
        packed, expected = (
            packed_in(dataset, collection),
            ArrayStore(Files(str(in_files)), f"triplets/{collection}", "netcdf"),
        )
        assert packed.stored() == expected.stored() != []
        for name in packed.stored():
            with expected.open(name) as tile:
                xr.testing.assert_identical(packed.open(name), tile)
            assert packed.yml(name) == (in_files / f"triplets/{collection}/{name}.yml").read_text()
        assert names_in(dataset / "triplets" / collection) == set()
    assert [name for name in files_in(dataset / "triplets") if name.endswith((".nc", ".yml", ".png"))] == []


def test_the_tiles_are_those_in_files(in_files: Path, small_archive: str, tmp_path: Path) -> None:
    dataset = make(tmp_path / NAME, meta_of(small_archive, "zarr"), "--workers", "2")
    assert_as_files(dataset, in_files)
    scenes = packed_in(dataset, "train").scene_ids()
    # Of each scene the group, and of field, x, y and description one shard and a zarr.json.
    assert len(files_in(dataset / "triplets/train.zarr")) == 1 + len(scenes) * (1 + 2 * 4)
    assert names_in(dataset / "triplets") == {"train.zarr", "study.zarr", "tile_plan.json"}
    written = packs(dataset, times_of_writing)
    assert main(["tiles", "--data-path", str(dataset)]) == 0
    assert packs(dataset, times_of_writing) == written


def test_stores_are_the_same_bytes_for_any_number_of_workers(
    in_stores: Path, small_archive: str, tmp_path: Path
) -> None:
    by_two = make(tmp_path / NAME, meta_of(small_archive, "zarr"), "--workers", "2")
    assert differing(results(in_stores), results(by_two)) == []


def test_snapped_tiles(small_archive: str, tmp_path: Path) -> None:
    made = {}
    for format_ in ("files", "zarr"):
        meta = meta_of(small_archive, format_)
        meta["sampling"]["snap_to_grid"] = True
        made[format_] = make(tmp_path / format_ / NAME, meta)
    assert_as_files(made["zarr"], made["files"])


def test_auxiliary_tiles_come_one_by_one(in_files: Path, dataset: Path, small_archive: str) -> None:
    assert main(["scene-ids", "--data-path", str(dataset), "--aux-name", AUX]) == 0
    assert main(["tiles", "--data-path", str(dataset), "--aux-name", AUX]) == 0
    collections = [path.parent.name for path in in_files.glob(f"triplets/{AUX}/*/*_anchor.nc")]
    assert_as_files(dataset, in_files, *COUNTS, *(f"{AUX}/{collection}" for collection in sorted(set(collections))))
    write_meta(dataset, meta_of(small_archive, "files"))
    assert main(["tiles", "--data-path", str(dataset)]) == 0
    assert main(["tiles", "--data-path", str(dataset), "--aux-name", AUX]) == 0
    assert files_in(dataset / "triplets") == files_in(in_files / "triplets")


def test_statistics_index_and_card(in_files: Path, dataset: Path) -> None:
    assert main(["statistics", "--data-path", str(dataset)]) == 0
    name = "report/statistics/train.json"
    assert (dataset / name).read_bytes() == (in_files / name).read_bytes()
    of_files, of_packed = (
        {sample.id: sample for sample in samples(DatasetStore.of(load_dataset(folder)))}
        for folder in (in_files, dataset)
    )
    assert of_files.keys() == of_packed.keys()
    for id_, sample in of_packed.items():
        expected = vars(of_files[id_]) | {
            "path": f"{id_.rpartition('/')[0]}.zarr#{id_.rpartition('/')[2]}",
            "geometry": 0,
        }
        assert vars(sample) | {"geometry": 0} == expected
        store, _, tile = sample.path.partition("#")
        assert PackedTiles(Files(str(dataset)), store.removesuffix(".zarr")).attributes(tile) is not None
    assert main(["export", "--data-path", str(dataset)]) == 0
    card = (dataset / "export/README.md").read_text()
    assert 'PackedTiles(Files("."), "triplets/train")' in card
    assert "00000_anchor.nc" not in card


class TestChanges:
    def test_more_triplets_keep_those_there_were(self, small_archive: str, tmp_path: Path) -> None:
        counts = {"N_triplets": {"train": 4}}
        dataset = make(tmp_path / NAME, meta_of(small_archive, "zarr", **counts))
        before = packed_in(dataset, "train")
        tiles = {name: before.open(name) for name in before.stored()}
        assert len(tiles) == 12
        make(dataset, meta_of(small_archive, "zarr", N_triplets={"train": 9}))
        after = packed_in(dataset, "train")
        assert len(after.stored()) == 27
        for name, tile in tiles.items():
            xr.testing.assert_identical(after.open(name), tile)
        anew = make(tmp_path / "anew" / NAME, meta_of(small_archive, "zarr", N_triplets={"train": 9}))
        assert differing(packs(anew, results), packs(dataset, results)) == []
        make(dataset, meta_of(small_archive, "zarr", **counts))
        assert packed_in(dataset, "train").stored() == sorted(tiles)

    @pytest.mark.parametrize("change", [{"tile_N": 12, "N_triplets": {"train": 3}}], ids=str)
    def test_settings(self, dataset: Path, small_archive: str, tmp_path: Path, change: dict[str, Any]) -> None:
        made = {}
        for format_, folder in (("files", tmp_path / "anew" / NAME), ("zarr", dataset)):
            meta = meta_of(small_archive, format_)
            meta["sampling"]["triplets"].update(change)
            made[format_] = make(folder, meta)
        collections = list(change.get("N_triplets", COUNTS))
        assert_as_files(made["zarr"], made["files"], *collections)
        assert {path.name for path in dataset.glob("triplets/*.zarr")} == {f"{name}.zarr" for name in collections}

    def test_format_there_and_back(self, in_files: Path, small_archive: str, tmp_path: Path) -> None:
        dataset = make(tmp_path / NAME, meta_of(small_archive, "files"))
        (dataset / "triplets/train/meta.csv").write_text("of the readers")
        make(dataset, meta_of(small_archive, "zarr"))
        assert_as_files(dataset, in_files)
        make(dataset, meta_of(small_archive, "files"))
        tiles = {name: content for name, content in results(in_files).items() if AUX not in name}
        found = results(dataset)
        assert [name for name in differing(tiles, found) if name.startswith("triplets/")] == []

    def test_a_lost_store_and_a_cut_off_shard_are_made_again(
        self, in_files: Path, dataset: Path, small_archive: str
    ) -> None:
        packed_in(dataset, "train").remove()
        shard = next((dataset / "triplets/study.zarr").glob("*/rgb_truecolor/c/0/0/0/0"))
        shard.write_bytes(shard.read_bytes()[:-9])
        make(dataset, meta_of(small_archive, "zarr"))
        assert_as_files(dataset, in_files)


def test_tiles_of_the_other_kinds(small_archive: str, tmp_path: Path) -> None:
    made = {}
    for format_ in ("files", "zarr"):
        meta = meta_of(small_archive, format_)
        meta["sampling"]["sliding_window"] = {"tile_N": 16, "step": 20}
        made[format_] = write_meta(tmp_path / format_ / NAME, meta)
        argv = ["tiles", "--data-path", str(made[format_]), "--tiles-kind", "sliding-window"]
        assert main(argv) == 0
    folder = "rect-slidingwindow/tile_N_16__step_20"
    packed, expected = (tiles_there(Files(str(made[format_])), folder) for format_ in ("zarr", "files"))
    assert isinstance(packed, PackedTiles)
    assert packed.stored() == expected.stored() != []
    for name in packed.stored():
        with expected.open(name) as tile:
            xr.testing.assert_identical(packed.open(name), tile)
        assert packed.yml(name) == expected.yml(name)
    assert not (made["zarr"] / folder).exists()


#: Ends the process without a word while the n-th scene's group is written, or before it is shown.
_KILLED = """
import os, signal, sys
from convml_data.store import packed_tiles
from convml_data_dagster.cli import main

calls, fill = int(sys.argv[2]), packed_tiles._fill

def killing(*arguments):
    global calls
    calls -= 1
    if calls == 0 and sys.argv[1] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    fill(*arguments)
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)

packed_tiles._fill = killing
main(["tiles", "--data-path", sys.argv[3], "--workers", "1"])
"""


@pytest.mark.parametrize(("when", "call"), [("before", 2), ("after", 3)], ids=str)
def test_killed(in_files: Path, small_archive: str, tmp_path: Path, when: str, call: int) -> None:
    dataset = write_meta(tmp_path / NAME, meta_of(small_archive, "zarr"))
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, when, str(call), str(dataset)], env=os.environ, capture_output=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    written = packs(dataset, times_of_writing)
    assert sum(name.endswith("/rgb_truecolor/zarr.json") for name in written) == call - 1
    for collection in {name.split("/")[1].removesuffix(".zarr") for name in written}:
        expected = TileFolder(Files(str(in_files)), f"triplets/{collection}", "netcdf")
        packed = packed_in(dataset, collection)
        for name in packed.stored():
            with expected.open(name) as tile:
                xr.testing.assert_identical(packed.open(name), tile)
    assert main(["tiles", "--data-path", str(dataset)]) == 0
    assert_as_files(dataset, in_files)
    assert written.items() <= packs(dataset, times_of_writing).items()


def test_another_format_is_an_error(small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_meta(tmp_path / NAME, meta_of(small_archive, "netcdf"))
    assert main(["validate", "--data-path", str(dataset)]) != 0
    assert "sampling.format" in capsys.readouterr().err
    assert yaml.safe_load((dataset / "meta.yaml").read_text())["sampling"]["format"] == "netcdf"


def test_tensors_are_those_of_files(in_files: Path, dataset: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; `pip install 'convml-data[torch]'`")
    from convml_data.torch import TileDataset, TripletDataset

    for ours, theirs in (
        (
            TripletDataset(folder, "train", missing=0.0, normalise=in_files / "report/statistics/train.json")
            for folder in (dataset, in_files)
        ),
        (TileDataset(folder, "triplets/study", tile_type="anchor", missing=0.0) for folder in (dataset, in_files)),
    ):
        assert len(ours) == len(theirs) > 0
        loaded = torch.utils.data.DataLoader(ours, batch_size=None, num_workers=2)
        for one, other in zip(loaded, torch.utils.data.DataLoader(theirs, batch_size=None), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
