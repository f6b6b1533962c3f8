"""Scenes through the stages without an orchestrator: outcomes, complete triplets, and what a killed run leaves."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5netcdf
import pytest
import yaml
from distributed import Client
from distributed.deploy.spec import SpecCluster
from PIL import Image

from convml_data.errors import ConvmlError, PlanError, StoreError
from convml_data.geometry.local import LocalDomain
from convml_data.meta.dataset import load_dataset
from convml_data.pipeline.discovery import ledger_is_current, make_ledger
from convml_data.pipeline.outdated import remove_outdated_scenes, remove_outdated_tiles
from convml_data.pipeline.run import run_scenes
from convml_data.pipeline.scene import SceneOutcome, SceneTask, Stage, process_scene
from convml_data.pipeline.tiles import (
    current_tile_plan,
    make_tile_plan,
    show_complete_triplets,
    tile_plan_is_current,
    triplets_by_scene,
)
from convml_data.pipeline.workers import Workers
from convml_data.scenes.ledger import SourceFile
from convml_data.simulate.archive import simulate_archive
from convml_data.sources.base import Interval
from convml_data.store.dataset import DatasetStore

FIRST = datetime(2020, 2, 2, 14)
SCENES = ("goes16__202002021400", "goes16__202002021410")
DOMAIN = LocalDomain(13.3, -57.72, 60e3, 60e3)
N_TRIPLETS = 2
ONE = Workers(1)
STAGES: tuple[Stage, ...] = ("cropped", "regridded", "triplet_tiles")
ALL = frozenset(STAGES)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    simulate_archive(
        folder,
        satellite="goes16",
        sector="F",
        channels=(1, 2, 3),
        spans=[Interval(FIRST, FIRST + timedelta(minutes=19))],
        domain=DOMAIN,
    )
    return folder


@pytest.fixture
def folder(archive: Path, tmp_path: Path) -> Path:
    """A dataset of two scenes and two triplets, each of both scenes."""
    (tmp_path / "islands").mkdir()
    return write_meta(tmp_path / "islands", archive)


def write_meta(
    folder: Path,
    archive: Path,
    seed: int = 0,
    n_triplets: int = N_TRIPLETS,
    tile_n: int = 8,
    format_: str = "files",
    **more: Any,
) -> Path:
    meta = {
        "source": "goes16",
        "product": "truecolor_rgb",
        "archive": f"{archive}/noaa-{{satellite}}",
        "time": {"t_start": FIRST, "t_end": FIRST + timedelta(minutes=19)},
        "domain": {
            "central_latitude": DOMAIN.central_latitude,
            "central_longitude": DOMAIN.central_longitude,
            "l_zonal": DOMAIN.l_zonal,
            "l_meridional": DOMAIN.l_meridional,
        },
        "sampling": {
            "resolution": 2000,
            "seed": seed,
            "format": format_,
            "triplets": {"N_triplets": {"train": n_triplets}, "tile_N": tile_n},
        },
        "product_options": {"rayleigh_correction": False},
        **more,
    }
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    return folder


def ready(folder: Path) -> DatasetStore:
    """The dataset with a ledger and a plan."""
    store = DatasetStore.of(load_dataset(folder))
    make_ledger(store)
    make_tile_plan(store)
    return store


def run(
    store: DatasetStore, scenes: tuple[str, ...] = SCENES, stages: frozenset[Stage] = ALL, workers: Workers = ONE
) -> list[SceneOutcome]:
    return list(run_scenes(store, scenes, stages, workers))


def contents(folder: Path) -> dict[str, bytes]:
    """Everything under a final name, the index maps aside."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".partial", ".cache", "settings"} & set(path.relative_to(folder).parts)
    }


def shown(folder: Path, suffix: str = "*") -> list[str]:
    return sorted(path.name for path in (folder / "triplets/train").glob(f"*.{suffix}"))


TILES = sorted(
    f"{number:05d}_{kind}.{suffix}"
    for number in range(N_TRIPLETS)
    for kind in ("anchor", "neighbor", "distant")
    for suffix in ("nc", "png", "yml")
)


@pytest.mark.parametrize("format_", ["files", "zarr"])
def test_a_run_of_a_plan_that_has_changed_ends(archive: Path, tmp_path: Path, format_: str) -> None:
    folder = tmp_path / "islands"
    folder.mkdir()
    store = ready(write_meta(folder, archive, seed=1, format_=format_))
    earlier = run_scenes(store, SCENES, ALL, ONE)
    assert next(earlier).error is None
    assert all(not outcome.error for outcome in run(ready(write_meta(folder, archive, seed=2, format_=format_))))
    present = {name: content for name, content in contents(folder).items() if name.startswith("triplets/")}
    (outcome,) = earlier
    assert outcome.failed_stage == "triplet_tiles"
    assert "the plan of the tiles has changed since this run began" in str(outcome.error)
    assert {name: content for name, content in contents(folder).items() if name.startswith("triplets/")} == present
    shown_now = DatasetStore.of(load_dataset(folder)).shown_tiles("triplet_tiles", "train")
    assert len(shown_now.stored()) == 3 * N_TRIPLETS


def test_pictures_go_with_the_function_that_drew_them(folder: Path, archive: Path) -> None:
    run(ready(folder))
    assert shown(folder, "png")
    assert all(not outcome.error for outcome in run(ready(write_meta(folder, archive, image_function=None))))
    assert shown(folder) == [name for name in TILES if not name.endswith(".png")]


class TestOutcomes:
    def test_a_record_for_each_stage(self, folder: Path) -> None:
        outcomes = run(ready(folder))
        assert [outcome.scene_id for outcome in outcomes] == list(SCENES)
        for outcome in outcomes:
            assert outcome.error is None
            assert [record.stage for record in outcome.records] == list(STAGES)
            assert not any(record.kept for record in outcome.records)
            for record in outcome.records:
                assert record.preview is not None
                assert record.preview.startswith(b"\x89PNG")
                assert type(record.metadata["seconds"]) is float
            cropped, regridded, tiles = outcome.records
            assert type(cropped.metadata["bytes_read"]) is int
            assert cropped.metadata["valid_share"] == regridded.metadata["valid_share"] == 1.0
            assert tiles.metadata["tiles"] == len(str(tiles.metadata["names"]).split(", "))
        assert sum(outcome.records[2].metadata["tiles"] for outcome in outcomes) == 3 * N_TRIPLETS  # type: ignore[misc]

    def test_what_is_there_is_kept(self, folder: Path) -> None:
        first = run(ready(folder))
        again = run(ready(folder))
        for before, now in zip(first, again, strict=True):
            for made, kept in zip(before.records, now.records, strict=True):
                assert kept.kept
                assert kept.fingerprint == made.fingerprint
                assert kept.preview == made.preview
                assert dict(kept.metadata) == {
                    name: value
                    for name, value in made.metadata.items()
                    if name not in ("seconds", "bytes_fetched", "requests")
                }

    @pytest.mark.parametrize("workers", [ONE, Workers(4)], ids=["one", "four"])
    def test_metadata_are_plain_values_from_file_too(self, folder: Path, workers: Workers) -> None:
        """The orchestrator takes no NumPy numbers."""
        store = ready(folder)
        run(store, stages=frozenset({"cropped"}), workers=workers)
        for outcome in run(store, stages=frozenset({"regridded", "triplet_tiles"}), workers=workers):
            for record in outcome.records:
                assert {type(value) for value in record.metadata.values()} <= {str, int, float, bool}

    def test_a_scene_that_is_none_is_dropped_and_an_unknown_one_fails(self, folder: Path) -> None:
        store = ready(folder)
        ledger = store.read_ledger()
        dropped = replace(ledger.rows[0], scan=replace(ledger.rows[0].scan, reason="missing channel 2"))
        store.write_ledger(replace(ledger, rows=(dropped, ledger.rows[1])))
        outcomes = run(store, (*SCENES, "goes16__209901010000"), frozenset({"regridded"}))
        assert [(outcome.scene_id, outcome.dropped, outcome.error) for outcome in outcomes[:2]] == [
            (SCENES[0], "missing channel 2", None),
            ("goes16__209901010000", None, "not in the scene ledger: the archive showed no such scan."),
        ]
        assert outcomes[2].scene_id == SCENES[1]

    def test_a_broken_scene_does_not_stop_its_neighbour(self, folder: Path, archive: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(archive, tmp_path / "copy")
        (broken,) = copy.rglob("*C02_G16_s20200331400*.nc")
        broken.write_bytes(broken.read_bytes()[:-100_000])
        store = ready(write_meta(folder, copy))
        first, second = sorted(run(store), key=lambda outcome: outcome.scene_id)
        assert (first.records, first.failed_stage, first.traceback) == ((), "cropped", None)
        assert broken.name in str(first.error)
        assert second.error is None
        assert not list(folder.rglob(f"{SCENES[0]}.*"))
        assert shown(folder) == []
        waiting = sorted(path.name for path in (folder / "triplets/.incomplete/train").glob("*.png"))
        assert waiting == sorted(f"{tile.name}.png" for tile in store.read_tile_plan().tiles_of(SCENES[1]))

    @pytest.mark.parametrize("stage", ["regridded", "triplet_tiles"])
    def test_a_stage_makes_the_cropped_scene_that_it_needs(self, folder: Path, stage: Stage) -> None:
        store = ready(folder)
        for outcome in run(store, stages=frozenset({stage})):
            assert outcome.error is None
            assert sorted(record.stage for record in outcome.records) == ["cropped", stage]
        assert len(list(folder.rglob("cropped/*.nc"))) == 2
        again = run(store, stages=frozenset({stage}))
        assert [[(record.stage, record.kept) for record in outcome.records] for outcome in again] == [
            [(stage, True)],
            [(stage, True)],
        ]

    @pytest.mark.parametrize("stages", [{"regridded"}, {"cropped", "regridded"}], ids=["alone", "with cropped"])
    @pytest.mark.parametrize("damage", ["all of it", "values"])
    def test_a_damaged_cropped_scene_is_made_anew(self, folder: Path, damage: str, stages: set[Stage]) -> None:
        """Also where the damage shows only when the values are read."""
        store = ready(folder)
        run(store)
        before = contents(folder)
        path = Path(store.scenes(["cropped"]).url(SCENES[0]))
        content = path.read_bytes()
        with h5netcdf.File(path, "r") as file:
            offset = file["rgb_truecolor"]._h5ds.id.get_chunk_info(0).byte_offset
        path.write_bytes(
            b"junk" if damage == "all of it" else content[:offset] + b"\xff" * 200 + content[offset + 200 :]
        )
        shutil.rmtree(folder / "rect")
        for outcome in run(store, stages=frozenset(stages)):
            assert outcome.error is None
        assert contents(folder) == before

    def test_what_passes_through_a_scheduler_is_small(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes = []

        def measured(task: SceneTask) -> SceneOutcome:
            outcome = process_scene(task)
            sizes.append((len(pickle.dumps(task)), len(pickle.dumps(outcome))))
            return outcome

        monkeypatch.setattr("convml_data.pipeline.workers.process_scene", measured)
        run(ready(folder))
        assert len(sizes) == len(SCENES)
        for size_of_task, size_of_outcome in sizes:
            assert size_of_task < 6_000
            assert size_of_outcome < 30_000

    @pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://127.0.0.1", "http://127.0.0.1:1", "nowhere"])
    def test_no_scheduler_where_one_is_said_to_be(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        store = ready(folder)
        monkeypatch.setattr(
            "distributed.Client", lambda address, **options: Client(address, **options | {"timeout": "0.5s"})
        )
        with pytest.raises(ConvmlError, match=rf"^{re.escape(address)}: no Dask scheduler answers .* `dask scheduler`"):
            run(store, workers=Workers(address=address))

    def test_workers_end_with_whoever_asked_for_them(self, folder: Path) -> None:
        outcomes = run_scenes(ready(folder), SCENES, ALL, Workers(2))
        next(iter(outcomes))
        (cluster,) = [cluster for cluster in SpecCluster._instances if cluster.status.name == "running"]
        # Dask's profiler delays the closing of what it looks at, by which the layout of HDF5 files varies.
        assert not [
            name for worker in cluster.workers.values() for name in worker.periodic_callbacks if "profile" in name
        ]
        outcomes.close()
        assert not [cluster for cluster in SpecCluster._instances if cluster.status.name == "running"]


class TestOutdatedScenes:
    def test_scenes_of_other_settings_leave_the_folder_that_is_handed_on(self, folder: Path) -> None:
        store = ready(folder)
        run(store)
        ledger = store.read_ledger()
        (folder / "rect/notes.txt").write_text("the user's")
        assert remove_outdated_scenes(store, ledger) == 0
        assert remove_outdated_scenes(store, replace(ledger, rows=ledger.rows[:1])) == 1
        left = sorted(path.name for path in (folder / "rect").iterdir() if path.name != ".made_from")
        assert left == [f"{SCENES[0]}.nc", f"{SCENES[0]}.png", "notes.txt"]
        (cropped,) = folder.glob("source_data/*/*/cropped")
        assert len(list(cropped.glob("*.nc"))) == 2
        assert remove_outdated_scenes(DatasetStore(store.dataset, "zarr"), ledger) == 1
        assert [path.name for path in (folder / "rect").glob("*.nc")] == []

    def test_a_ledger_of_other_settings_is_refused(self, folder: Path, archive: Path) -> None:
        ready(folder)
        text = (folder / "meta.yaml").read_text()
        (folder / "meta.yaml").write_text(text + "sector: C\n")
        with pytest.raises(StoreError, match="has changed since this ledger"):
            list(run_scenes(DatasetStore.of(load_dataset(folder)), SCENES, ALL, ONE))


class TestTriplets:
    def test_a_triplet_is_shown_once_it_is_complete(self, folder: Path) -> None:
        store = ready(folder)
        run(store, SCENES[:1])
        assert shown(folder) == []
        run(store, SCENES[1:])
        assert shown(folder) == TILES
        assert not list((folder / "triplets/.incomplete/train").iterdir())

    def test_showing_moves_what_is_complete_and_no_more(self, folder: Path) -> None:
        store = ready(folder)
        plan = current_tile_plan(store)
        triplets = triplets_by_scene(plan.tiles)
        assert {len(triplet) for of_scene in triplets.values() for triplet in of_scene} == {3}
        waiting = folder / "triplets/.incomplete/train"
        waiting.mkdir(parents=True)
        for name in TILES:
            (waiting / name).write_text(name)
        (waiting / "00001_distant.yml").unlink()
        assert show_complete_triplets(store, triplets[SCENES[0]]) == 1
        assert shown(folder) == [name for name in TILES if name.startswith("00000")]
        assert show_complete_triplets(store, triplets[SCENES[0]]) == 0
        (waiting / "00001_distant.yml").write_text("late")
        (folder / "triplets/train/meta.csv").touch()
        assert show_complete_triplets(store, triplets[SCENES[1]]) == 1
        assert shown(folder) == TILES  # and no index, which knew of the first triplet only

    @pytest.mark.parametrize("changes", [{"seed": 1}, {"tile_n": 6}, {"n_triplets": 1}], ids=str)
    def test_outdated_tiles_go_and_nothing_else_does(
        self, folder: Path, archive: Path, changes: dict[str, int]
    ) -> None:
        run(ready(folder))
        before = contents(folder)
        collection = folder / "triplets/train"
        for own in ("meta.csv", "notes.txt", "overview.png", "0_anchor.png", "00000_anchor_old.png"):
            (collection / own).write_text("the user's")
        (collection / "00007_anchor.png").write_bytes(b"a tile of earlier times without its data")

        store = ready(write_meta(folder, archive, **changes))
        plan = current_tile_plan(store)
        n_gone = 3 if "n_triplets" in changes else 6
        assert remove_outdated_tiles(store, "triplet_tiles", store.read_ledger(), plan.tiles) == n_gone + 1
        assert sorted({path.name for path in collection.iterdir()} - set(TILES)) == [
            *("00000_anchor_old.png", "0_anchor.png", "notes.txt", "overview.png"),
        ]
        assert len(shown(folder, "nc")) == len(shown(folder, "yml")) == 6 - n_gone
        assert remove_outdated_tiles(store, "triplet_tiles", store.read_ledger(), plan.tiles) == 0

        for own in ("notes.txt", "overview.png", "0_anchor.png", "00000_anchor_old.png"):
            (collection / own).unlink()
        run(store)
        fresh = folder.parent / "fresh" / folder.name
        fresh.mkdir(parents=True)
        run(ready(write_meta(fresh, archive, **changes)))
        assert contents(folder) == contents(fresh)
        scenes = [name for name in before if name.startswith(("rect/goes16", "source_data/"))]
        assert len(scenes) == 9 + 2 * 3  # with what is known of the scenes' files
        assert [name for name in scenes if before[name] != contents(folder)[name]] == []

    def test_what_is_left_of_a_triplet_waits_again(self, folder: Path, archive: Path) -> None:
        store = ready(folder)
        run(store)
        (gone, kept) = SCENES
        ledger, plan = store.read_ledger(), current_tile_plan(store)
        # As after a reprocessing: one scene comes from another file, and its tiles are of the old one.
        rows = tuple(
            replace(
                row,
                scan=replace(
                    row.scan, files={n: SourceFile(f.url + ".new", f.size) for n, f in row.scan.files.items()}
                ),
            )
            if row.scene_id == gone
            else row
            for row in ledger.rows
        )
        removed = remove_outdated_tiles(store, "triplet_tiles", replace(ledger, rows=rows), plan.tiles)
        assert removed == len(plan.tiles_of(gone))
        assert shown(folder) == []
        waiting = {path.stem for path in (folder / "triplets/.incomplete/train").glob("*.png")}
        assert waiting == {tile.name for tile in plan.tiles_of(kept)}
        run(store)
        assert shown(folder) == TILES

    def test_a_plan_of_other_settings_is_refused(self, folder: Path, archive: Path) -> None:
        ready(folder)
        store = DatasetStore.of(load_dataset(write_meta(folder, archive, seed=1)))
        assert not tile_plan_is_current(store)
        assert ledger_is_current(store)
        with pytest.raises(PlanError, match=r"meta\.yaml or the scenes have changed since this plan was drawn"):
            run(store)
        assert shown(folder) == []

    @pytest.mark.parametrize("suffix", ["nc", "png", "yml"])
    @pytest.mark.parametrize(
        "damage",
        [Path.unlink, lambda path: path.write_bytes(b"junk"), lambda path: os.truncate(path, path.stat().st_size // 2)],
        ids=["deleted", "overwritten", "cut off"],
    )
    def test_a_damaged_tile_is_made_anew(self, folder: Path, damage: Callable[[Path], Any], suffix: str) -> None:
        store = ready(folder)
        run(store)
        before = contents(folder)
        times = {path.name: path.stat().st_mtime_ns for path in (folder / "triplets/train").iterdir()}
        damage(folder / f"triplets/train/00001_distant.{suffix}")
        outcomes = run(store)
        assert [outcome.error for outcome in outcomes] == [None, None]
        assert contents(folder) == before
        after = {path.name: path.stat().st_mtime_ns for path in (folder / "triplets/train").iterdir()}
        assert {name for name in times if times[name] != after[name]} == {
            # A picture alone is drawn again from the data that are there.
            f"00001_distant.{each}"
            for each in (("png",) if suffix == "png" else ("nc", "png", "yml"))
        }

    @pytest.mark.parametrize("stage", ["cropped", "regridded"])
    @pytest.mark.parametrize("suffix", ["nc", "png"])
    def test_a_damaged_scene_is_made_anew(self, folder: Path, stage: Stage, suffix: str) -> None:
        store = ready(folder)
        run(store)
        before = contents(folder)
        path = Path(store.files.path(f"{store.layout.folder([stage])}/{SCENES[1]}.{suffix}"))
        os.truncate(path, path.stat().st_size // 2)
        first, second = run(store)
        assert [record.kept for record in first.records] == [True, True, True]
        # A picture is drawn again from the data that are there.
        kept = [suffix == "png" or made != stage for made in ("cropped", "regridded")]
        assert [record.kept for record in second.records] == [*kept, True]
        assert contents(folder) == before


@pytest.mark.slow
class TestKilledRuns:
    """A process that is killed leaves on disk what was there; so a copy taken at any moment is as good as a kill."""

    @pytest.fixture
    def moments(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
        """Copies of the dataset just before each time that a file appears, moves or goes."""
        copies: list[Path] = []

        def copying(operation: Callable[..., Any]) -> Callable[..., Any]:
            def before(*arguments: Any, **named: Any) -> Any:
                # Of files that are not shown yet only their appearance is of interest.
                if operation.__name__ != "unlink" or ".partial" not in str(arguments[0]):
                    copies.append(shutil.copytree(folder, tmp_path / uuid4().hex / folder.name))
                return operation(*arguments, **named)

            return before

        for name in ("rename", "replace", "unlink"):
            monkeypatch.setattr(os, name, copying(getattr(os, name)))
        yield copies
        monkeypatch.undo()

    def test_whatever_is_there_is_whole_and_a_rerun_does_the_rest(
        self, folder: Path, moments: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(ready(folder))
        monkeypatch.undo()
        done = contents(folder)
        assert len(moments) >= 2 * 4 + 2 * len(TILES)  # each file of a scene appears, each of a tile moves too
        for moment in moments:
            found = contents(moment)
            assert_only_whole_files(moment)
            assert_pictures_are_of_whole_triplets(moment)
            # The ledger learns of the scenes' coverage at the end.
            final = {name for name in found if "/.incomplete/" not in name and not name.endswith("scene_ids.json")}
            assert [name for name in final if found[name] != done[name]] == []
        for moment in moments[::7]:
            found = contents(moment)
            final = {name for name in found if "/.incomplete/" not in name}
            # A scene's picture is written just before its data, and with them again.
            settled = {name for name in final if not name.endswith(".png") or name.replace(".png", ".nc") in found}
            settled -= {name for name in final if name.endswith(".json")}
            times = {name: (moment / name).stat().st_mtime_ns for name in settled}
            assert [outcome.error for outcome in run(ready(moment))] == [None, None]
            assert contents(moment) == done
            assert [name for name in settled if (moment / name).stat().st_mtime_ns != times[name]] == []

    def test_old_and_new_tiles_are_never_shown_together(
        self, folder: Path, archive: Path, moments: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(ready(folder))
        moments.clear()
        run(ready(write_meta(folder, archive, seed=1, tile_n=6)))
        monkeypatch.undo()
        done = contents(folder)
        for moment in moments:
            assert_only_whole_files(moment)
            sizes = {Image.open(moment / "triplets/train" / name).size for name in shown(moment, "png")}
            assert len(sizes) <= 1
            for name in shown(moment, "png"):
                assert {name.replace(".png", ".nc"), name.replace(".png", ".yml")} <= set(shown(moment))
        for moment in moments[::10]:
            assert [outcome.error for outcome in run(ready(moment))] == [None, None]
            assert contents(moment) == done

    def test_going_back_to_the_old_settings_at_any_moment(
        self, folder: Path, archive: Path, moments: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(ready(folder))
        done = contents(folder)
        moments.clear()
        run(ready(write_meta(folder, archive, seed=1)))
        monkeypatch.undo()
        for moment in moments[::10]:
            assert [outcome.error for outcome in run(ready(write_meta(moment, archive)))] == [None, None]
            assert contents(moment) == done


def assert_only_whole_files(folder: Path) -> None:
    for name in contents(folder):
        path = folder / name
        if path.suffix == ".nc":
            with h5netcdf.File(path, "r") as file:
                file["rgb_truecolor"][...]
        elif path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".yml":
            assert "fingerprint" in yaml.safe_load(path.read_text())


def assert_pictures_are_of_whole_triplets(folder: Path) -> None:
    """Where a picture is shown, data and descriptions of its whole triplet are; one triplet may lack pictures."""
    there = set(shown(folder))
    pictured = {name[:5] for name in there if name.endswith(".png")}
    for number in pictured:
        assert {name for name in TILES if name.startswith(number) and not name.endswith(".png")} <= there
    lacking = {name[:5] for name in there} - {
        number for number in pictured if {name for name in TILES if name.startswith(number)} <= there
    }
    assert len(lacking) <= 1
