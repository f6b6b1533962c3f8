"""Tiles around trajectories and at equal steps, and scenes split without leakage, through the command line."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from datasets import (
    DOMAIN,
    FIRST,
    N_SCANS,
    dagster_home_fixture,  # noqa: F401
    granule,
    names_in,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    write_meta,
)
from PIL import Image

from convml_data.geometry.local import LocalDomain
from convml_data_dagster.cli import main

pytestmark = pytest.mark.usefixtures("dagster_home")


def meta_of(archive: str, scans: int = 3, **sampling: Any) -> dict[str, Any]:
    meta = small_meta(archive, scans=scans)
    meta["sampling"] = {"resolution": 2000.0} | sampling
    return meta


def tiles(dataset: Path, *argv: str) -> int:
    return main(["tiles", "--data-path", str(dataset), *argv])


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as data:
        return data.load()


# At equal steps


def test_windows_are_slices_of_the_scene(small_archive: str, tmp_path: Path) -> None:
    dataset = write_meta(tmp_path / "windows", meta_of(small_archive, sliding_window={"tile_N": 24, "step": 18}))
    assert tiles(dataset) == 0
    folder = dataset / "rect-slidingwindow/tile_N_24__step_18"
    starts = list(range(0, 60 - 24 + 1, 18))
    assert names_in(folder) == {
        f"{scene_id}__{number:05d}.{suffix}"
        for scene_id in scene_ids(3)
        for number in range(len(starts) ** 2)
        for suffix in ("nc", "png", "yml")
    }
    first = scene_ids(1)[0]
    scene = opened(dataset / "rect" / f"{first}.nc")
    picture = np.asarray(Image.open(dataset / "rect" / f"{first}.png"))
    for number, (row, column) in enumerate((row, column) for row in starts for column in starts):
        tile = opened(folder / f"{first}__{number:05d}.nc")
        # Numbered from the north-west, as the picture is read.
        j0 = 60 - row - 24
        np.testing.assert_array_equal(
            tile["rgb_truecolor"], scene["rgb_truecolor"][:, j0 : j0 + 24, column : column + 24]
        )
        np.testing.assert_array_equal(tile["x"], scene["x"][column : column + 24])
        described = yaml.safe_load((folder / f"{first}__{number:05d}.yml").read_text())
        assert {key: described[key] for key in ("tile_id", "i0", "imax", "j0", "jmax")} == {
            "tile_id": number,
            "i0": column,
            "imax": column + 24,
            "j0": j0,
            "jmax": j0 + 24,
        }
        cut = np.asarray(Image.open(folder / f"{first}__{number:05d}.png"))
        np.testing.assert_array_equal(cut, picture[row : row + 24, column : column + 24])
        loc = described["loc"]
        assert loc["x_c"] == pytest.approx(float(tile["x"].mean()))
        lon, lat = LocalDomain(DOMAIN.central_latitude, DOMAIN.central_longitude, 1, 1).to_lonlat(
            loc["x_c"], loc["y_c"]
        )
        assert (loc["central_longitude"], loc["central_latitude"]) == pytest.approx((float(lon), float(lat)))


def test_another_step_never_meets_old_tiles_and_makes_no_scene_anew(small_archive: str, tmp_path: Path) -> None:
    dataset = write_meta(tmp_path / "windows", meta_of(small_archive, 1, **{"rect-slidingwindow": {"tile_N": 30}}))
    assert tiles(dataset, "--tiles-kind", "rect-slidingwindow") == 0
    scene = (dataset / "rect" / f"{scene_ids(1)[0]}.nc").stat().st_mtime_ns
    assert len(names_in(dataset / "rect-slidingwindow/tile_N_30__step_30")) == 3 * 4
    write_meta(dataset, meta_of(small_archive, 1, sliding_window={"tile_N": 30, "step": 10}))
    assert tiles(dataset, "--tiles-kind", "sliding-window") == 0
    assert len(names_in(dataset / "rect-slidingwindow/tile_N_30__step_10")) == 3 * 16
    assert (dataset / "rect" / f"{scene_ids(1)[0]}.nc").stat().st_mtime_ns == scene


def test_windows_larger_than_the_domain(small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_meta(tmp_path / "windows", meta_of(small_archive, 1, sliding_window={"tile_N": 64}))
    assert tiles(dataset) == 1
    error = capsys.readouterr().err
    assert "tiles of 64 x 64 cells do not fit into the domain's 60 x 60" in error
    assert "Traceback" not in error


# Around trajectories


def written_trajectory(path: Path, n: int = 1, minutes: int = 30) -> None:
    times = np.datetime64(FIRST) + np.arange(0, minutes + 1, 5) * np.timedelta64(1, "m")
    east = np.linspace(0, 0.2, times.size)
    lon = np.stack([-57.8 + east + 0.1 * number for number in range(n)])
    lat = np.full_like(lon, 13.3) + 0.05 * np.arange(n)[:, np.newaxis]
    dims = ("trajectory", "time")
    data = xr.Dataset({"lat": (dims, lat), "lon": (dims, lon)}, {"time": times})
    (data.isel(trajectory=0) if n == 1 else data).to_netcdf(path, engine="h5netcdf")


def with_trajectories(archive: str, scans: int = 3, **more: Any) -> dict[str, Any]:
    return meta_of(archive, scans, trajectories={"tile_N": 16}) | {"trajectories": {"filepath": "ship.nc"} | more}


def test_a_tile_follows_the_ship(small_archive: str, tmp_path: Path) -> None:
    dataset = write_meta(tmp_path / "ship", with_trajectories(small_archive))
    written_trajectory(dataset / "ship.nc")
    assert tiles(dataset) == 0
    assert names_in(dataset / "trajectories") == {"tile_plan.json"} | {
        f"{scene_id}.{suffix}" for scene_id in scene_ids(3) for suffix in ("nc", "png", "yml")
    }
    for number, scene_id in enumerate(scene_ids(3)):
        described = yaml.safe_load((dataset / f"trajectories/{scene_id}.yml").read_text())
        assert described["loc"]["central_longitude"] == pytest.approx(-57.8 + 0.2 * number / 3)
        assert described["loc"]["central_latitude"] == pytest.approx(13.3)
        # The scan starts some seconds after the point's time.
        assert -60 < described["trajectory_offset_s"] <= 0
        tile = opened(dataset / f"trajectories/{scene_id}.nc")
        assert tile["rgb_truecolor"].shape == (3, 16, 16)
        assert np.isfinite(tile["rgb_truecolor"]).all()


def test_several_trajectories_and_scenes_without_any(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = with_trajectories(small_archive, scans=6, max_dt="PT5M")
    dataset = write_meta(tmp_path / "ships", meta)
    written_trajectory(dataset / "ship.nc", n=2, minutes=20)
    assert tiles(dataset, "--tiles-kind", "trajectories") == 0
    there = {name.removesuffix(".nc") for name in names_in(dataset / "trajectories") if name.endswith(".nc")}
    assert there == {f"{scene_id}__{number:05d}" for scene_id in scene_ids(3) for number in range(2)}
    error = capsys.readouterr().err
    assert "no tile in goes16__202002021430: the nearest point of a trajectory is -" in error
    plan = json.loads((dataset / "trajectories/tile_plan.json").read_text())
    assert set(plan["scenes_without"]) == set(scene_ids(6)[3:])
    assert plan["trajectories_without"] == {}


def test_a_trajectory_without_a_tile_is_named(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_meta(tmp_path / "ships", with_trajectories(small_archive, max_dt="PT5M"))
    written_trajectory(dataset / "ship.nc", n=3)
    with xr.open_dataset(dataset / "ship.nc", engine="h5netcdf") as opened_file:
        ships = opened_file.load()
    ships["lat"][1, 3:] = np.nan  # the second ship's report ends
    ships["lat"][2] += 20  # the third is elsewhere
    ships.to_netcdf(dataset / "ship.nc", engine="h5netcdf")
    assert tiles(dataset) == 0
    plan = json.loads((dataset / "trajectories/tile_plan.json").read_text())
    first, second, third = scene_ids(3)
    assert plan["scenes_without"] == {}
    elsewhere = {"it is outside of the domain then": [2]}
    assert list(plan["trajectories_without"]) == [first, second, third]
    assert plan["trajectories_without"][first] == plan["trajectories_without"][second] == elsewhere
    at_last = plan["trajectories_without"][third]
    (over,) = at_last.keys() - elsewhere.keys()
    assert over.startswith("its nearest point is -6")
    assert over.endswith(" s away, max_dt 0:05:00")
    assert at_last == {over: [1]} | elsewhere
    there = [(tile["scene_id"], tile["trajectory"]) for tile in plan["tiles"]]
    assert there == [(first, 0), (first, 1), (second, 0), (second, 1), (third, 0)]
    error = capsys.readouterr().err
    assert "warning: 4 tiles are missing in scenes where other trajectories have one" in error
    assert f"the first is of trajectory 2 in {first}: it is outside of the domain then" in error


def test_trajectories_that_never_meet_a_scene(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = with_trajectories(small_archive)
    meta["domain"]["central_latitude"] = 20.0
    dataset = write_meta(tmp_path / "ship", meta)
    written_trajectory(dataset / "ship.nc")
    assert tiles(dataset) == 1
    error = capsys.readouterr().err
    assert "no scene has a tile around a trajectory: the trajectories are outside of the domain" in error


def test_a_kind_that_is_not_asked_for(small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_meta(tmp_path / "windows", meta_of(small_archive, 1, sliding_window={"tile_N": 30}))
    assert tiles(dataset, "--tiles-kind", "triplets") == 1
    error = capsys.readouterr().err
    assert "the dataset asks for no triplet tiles" in error
    assert "`triplets: {N_triplets: {train: 10, study: 2}, tile_N: 256}`" in error


# Splits


def plan_of(dataset: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((dataset / "triplets/tile_plan.json").read_text())
    return plan


def triplets(**splitting: Any) -> dict[str, Any]:
    return {"triplets": {"N_triplets": {"train": 4, "study": 2}, "tile_N": 12} | splitting}


def starts_of(scene_ids: list[str]) -> list[datetime]:
    return [datetime.strptime(scene_id.rpartition("__")[2], "%Y%m%d%H%M") for scene_id in scene_ids]


def test_blocks_of_time_with_a_guard(small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = triplets(scene_collections_splitting="by_time_block", block="PT1H", guard="PT20M")
    dataset = write_meta(tmp_path / "blocks", meta_of(small_archive, N_SCANS, **split))
    assert tiles(dataset) == 0
    plan = plan_of(dataset)
    train, study = (starts_of(plan["scenes"][name]) for name in ("train", "study"))
    assert min(abs(one - other) for one in train for other in study) >= timedelta(minutes=20)
    assert len(train) + len(study) + len(plan["left_over"]) == N_SCANS
    assert "are left over: in the guard of 20 min between study and train" in capsys.readouterr().out
    report = json.loads((dataset / "report/leakage.json").read_text())
    assert min(pair["seconds"]["min"] for pair in report["time"]) >= 20 * 60
    assert "study" in (dataset / "report/leakage.md").read_text()


def test_intervals_of_each_collection(small_archive: str, tmp_path: Path) -> None:
    intervals = {
        "train": [{"t_start": FIRST, "t_end": FIRST + timedelta(minutes=59)}],
        "study": {"t_start": FIRST + timedelta(minutes=120), "N_days": 1},
    }
    split = triplets(scene_collections_splitting="by_intervals", intervals=intervals)
    dataset = write_meta(tmp_path / "spans", meta_of(small_archive, N_SCANS, **split))
    assert tiles(dataset) == 0
    plan = plan_of(dataset)
    assert plan["scenes"] == {"study": scene_ids(N_SCANS)[12:], "train": scene_ids(N_SCANS)[:6]}
    assert sorted(plan["left_over"]) == scene_ids(N_SCANS)[6:12]


def test_a_stable_split_keeps_the_scenes_of_each_collection(small_archive: str, tmp_path: Path) -> None:
    split = triplets(scene_collections_splitting="stable_hash")
    dataset = write_meta(tmp_path / "stable", meta_of(small_archive, 12, **split))
    assert tiles(dataset) == 0
    before = plan_of(dataset)["scenes"]
    write_meta(dataset, meta_of(small_archive, N_SCANS, **split))
    assert tiles(dataset) == 0
    after = plan_of(dataset)["scenes"]
    for collection, scenes in before.items():
        assert set(scenes) <= set(after[collection])
    assert sum(map(len, after.values())) == N_SCANS


def test_scenes_minutes_apart_are_warned_of(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_meta(tmp_path / "random", meta_of(small_archive, 8, **triplets()))
    for _ in range(2):  # also by a plan that is there
        assert tiles(dataset) == 0
        report = json.loads((dataset / "report/leakage.json").read_text())
        (warning,) = report["warnings"]
        assert "10 min" in warning
        assert f"warning: {warning}\n" in capsys.readouterr().err


def test_tiles_on_the_grid_of_the_scene_are_its_cells(small_archive: str, tmp_path: Path) -> None:
    dataset = write_meta(tmp_path / "snapped", meta_of(small_archive, 4, snap_to_grid=True, **triplets()))
    assert tiles(dataset) == 0
    for tile in plan_of(dataset)["tiles"]:
        cut = opened(dataset / "triplets" / tile["collection"] / f"{tile['triplet_id']:05d}_{tile['tile_type']}.nc")
        scene = opened(dataset / "rect" / f"{tile['scene_id']}.nc")
        rows, columns = (slice(tile[first], tile[first] + 12) for first in ("j0", "i0"))
        np.testing.assert_array_equal(cut["rgb_truecolor"], scene["rgb_truecolor"][:, rows, columns])
        assert cut.attrs["x_c"] == pytest.approx(float(scene["x"][columns].mean()))
        assert cut.attrs["y_c"] == pytest.approx(float(scene["y"][rows].mean()))

    def places() -> list[tuple[float, float]]:
        return [(tile["x_c"], tile["y_c"]) for tile in plan_of(dataset)["tiles"]]

    snapped = places()
    write_meta(dataset, meta_of(small_archive, 4, **triplets()))
    assert tiles(dataset) == 0
    assert np.abs(np.subtract(places(), snapped)).max() <= 1000  # half a cell


CLOUD = """\
def cloud(da_scene):
    return da_scene.isel(bands=0) > 15
"""


def test_tiles_are_chosen_by_what_they_show(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accept = {"max_cloud_fraction": 0.3, "cloud_mask": "cloud", "min_valid_share": 1.0}
    dataset = write_meta(tmp_path / "clear", meta_of(small_archive, 4, accept=accept, snap_to_grid=True, **triplets()))
    (dataset / "user_functions.py").write_text(CLOUD)
    assert main(["validate", "--data-path", str(dataset)]) == 0
    assert tiles(dataset) == 0
    plan = plan_of(dataset)
    assert all(0 < share < 1 for share in plan["accepted"].values())
    for path in (dataset / "triplets").glob("*/*.nc"):
        tile = opened(path)
        assert float((tile["rgb_truecolor"][0] > 15).mean()) <= 0.3
        assert tile.attrs["valid_share"] == 1
    # Another idea of cloud gives another plan.
    (dataset / "user_functions.py").write_text(CLOUD.replace("> 15", "> 1000"))
    assert tiles(dataset) == 0
    assert set(plan_of(dataset)["accepted"].values()) == {1.0}
    write_meta(dataset, meta_of(small_archive, 4, accept={"min_std": 1e6, "max_draws": 3}, **triplets()))
    assert tiles(dataset) == 1
    assert "were drawn 3 times and not accepted once" in capsys.readouterr().err


def test_scenes_that_cannot_be_read_are_tried_again_and_named(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = small_archive.removeprefix("file://").replace("{satellite}", "goes16")
    shutil.copytree(bucket, tmp_path / "archive/noaa-goes16")
    archive = f"file://{tmp_path}/archive/noaa-{{satellite}}"
    broken = granule(archive, scene_ids(4)[1], 1)
    content = broken.read_bytes()
    broken.write_bytes(bytes(len(content)))
    dataset = write_meta(tmp_path / "read", meta_of(archive, 4, accept={"min_valid_share": 1.0}, **triplets()))
    assert tiles(dataset) == 1
    assert "1 of 4 scenes failed" in capsys.readouterr().err
    assert tiles(dataset) == 0
    assert "warning: 1 of 4 scenes failed" in capsys.readouterr().err
    assert plan_of(dataset)["left_over"] == {scene_ids(4)[1]: "its files could not be read"}
    assert set(plan_of(dataset)["accepted"].values()) == {1.0}
    broken.write_bytes(content)
    assert main(["regrid", "--data-path", str(dataset)]) == 0
    assert tiles(dataset) == 0
    assert plan_of(dataset)["left_over"] == {}


def test_a_damaged_scene_is_named_where_tiles_are_chosen(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = meta_of(small_archive, 2, accept={"min_valid_share": 1.0}, **triplets())
    dataset = write_meta(tmp_path / "damaged", meta)
    assert tiles(dataset) == 0
    scene = dataset / "rect" / f"{scene_ids(2)[0]}.nc"
    content = bytearray(scene.read_bytes())
    content[len(content) // 2 :: 3] = bytes(len(content[len(content) // 2 :: 3]))
    scene.write_bytes(content)
    write_meta(dataset, meta | {"sampling": meta["sampling"] | {"seed": 1}})
    assert tiles(dataset) == 1
    error = capsys.readouterr().err
    assert f"{scene}: this scene is damaged" in error
    assert "Traceback" not in error


def test_a_cloud_mask_that_is_none_is_refused(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accept = {"max_cloud_fraction": 0.3, "cloud_mask": "cloud"}
    dataset = write_meta(tmp_path / "clear", meta_of(small_archive, 2, accept=accept, **triplets()))
    (dataset / "user_functions.py").write_text("def cloud(da_scene):\n    return da_scene.isel(bands=0) / 2\n")
    assert tiles(dataset) == 1
    assert "true or 1 where there is cloud" in capsys.readouterr().err
    (dataset / "user_functions.py").write_text("")
    assert main(["validate", "--data-path", str(dataset)]) == 1
    assert "there is no function cloud" in capsys.readouterr().err


# What is made of tiles


def test_statistics_of_the_collection_that_is_trained_on(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_meta(tmp_path / "stats", meta_of(small_archive, 4, **triplets()))
    assert main(["statistics", "--data-path", str(dataset)]) == 1
    assert "Run `convml-data" in capsys.readouterr().err
    assert tiles(dataset) == 0
    assert main(["statistics", "--data-path", str(dataset)]) == 0
    bands = json.loads((dataset / "report/statistics/train.json").read_text())["bands"]
    values = np.stack(
        [
            opened(path)["rgb_truecolor"].values.astype(float)
            for path in sorted((dataset / "triplets/train").glob("*.nc"))
        ]
    )
    assert [band["name"] for band in bands] == ["R", "G", "B"]
    assert [band["count"] for band in bands] == [12 * 12 * 12] * 3
    np.testing.assert_allclose([band["mean"] for band in bands], values.mean(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose([band["std"] for band in bands], values.std(axis=(0, 2, 3)), rtol=1e-9)
    assert main(["statistics", "--collection", "study", "--data-path", str(dataset)]) == 0
    assert "6 tiles of study" in capsys.readouterr().out
    assert main(["statistics", "--collection", "../study", "--data-path", str(dataset)]) == 1
    assert "Name one of study, train" in capsys.readouterr().err
    # Tiles of other settings are not taken for those of the present ones.
    changed = meta_of(small_archive, 4, **triplets())
    changed["sampling"]["method"] = "nearest"
    write_meta(dataset, changed)
    assert main(["statistics", "--data-path", str(dataset)]) == 1
    assert "made from other settings" in capsys.readouterr().err


def test_an_index_and_a_card_go_with_the_tiles(small_archive: str, tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas", reason="geopandas reads the index back")
    meta = meta_of(small_archive, 4, sliding_window={"tile_N": 30}, **triplets())
    dataset = write_meta(tmp_path / "passed_on", meta)
    assert tiles(dataset) == 0
    assert tiles(dataset, "--tiles-kind", "sliding-window") == 0
    assert main(["statistics", "--data-path", str(dataset)]) == 0
    assert main(["export", "--data-path", str(dataset)]) == 0
    index = geopandas.read_parquet(dataset / "export/index.parquet")
    assert len(index) == 3 * 6 + 4 * 4
    assert all((dataset / path).exists() for path in index["path"])
    card = (dataset / "export/README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["pretty_name"] == "passed_on" or "passed_on" in card
    for word in ("goes16", "truecolor_rgb", "train", "study", "Statistics", "mean"):
        assert word in card


def test_tiles_of_other_settings_are_not_passed_on(
    small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = meta_of(small_archive, 2, sliding_window={"tile_N": 30}, **triplets())
    dataset = write_meta(tmp_path / "passed_on", meta)

    def export() -> int:
        capsys.readouterr()
        return main(["export", "--data-path", str(dataset)])

    assert tiles(dataset) == 0
    assert export() == 0
    before = (dataset / "export/index.parquet").read_bytes()
    # The scenes and the plan stay as they are, and the tiles are of another interpolation.
    meta["sampling"]["method"] = "nearest"
    write_meta(dataset, meta)
    assert export() == 1
    error = capsys.readouterr().err
    assert f"{dataset}/triplets/study/00000_anchor.nc: this tile was made from other settings or is not whole" in error
    assert "and so are 17 others" in error
    assert (dataset / "export/index.parquet").read_bytes() == before
    assert tiles(dataset) == 0
    assert export() == 0
    assert main(["statistics", "--data-path", str(dataset)]) == 0
    assert export() == 0
    assert "8 more tiles are planned and not there" in capsys.readouterr().err  # those at equal steps
    (dataset / "triplets/train/00002_distant.nc").unlink()
    assert export() == 1
    error = capsys.readouterr().err
    assert f"{dataset}/report/statistics/train.json: these statistics are of other tiles" in error
    (dataset / "report/statistics/train.json").unlink()
    assert export() == 0
    assert "9 more tiles are planned and not there" in capsys.readouterr().err
    (dataset / "triplets/train/00001_distant.nc").write_bytes(b"damaged")
    assert export() == 1
    assert f"{dataset}/triplets/train/00001_distant.nc: this tile" in capsys.readouterr().err
