"""Clouds that are followed: against the known truth, as tiles that follow them, kept, refused, and in the record."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import xarray as xr
import yaml
from datasets import (
    DOMAIN,
    FIRST,
    end_of,
    granule,
    names_in,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    write_meta,
)
from PIL import Image

from convml_data.simulate import truth
from convml_data_dagster.cli import main
from convml_data_dagster.instance import dagster_home, open_instance

pytest.importorskip("cv2", reason="needs the extra flow")

DAY = "goes16__20200202"
SCENES = scene_ids(4)
MOST = 24


def meta_of(archive: str, **sections: Any) -> dict[str, Any]:
    return (
        small_meta(archive, scans=len(SCENES))
        | {"sampling": {"resolution": 1000.0}, "flow": {"max_num_trajectories": MOST}}
        | sections
    )


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as data:
        return data.load()


@pytest.fixture(scope="module")
def followed(small_archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset on cells of 1 km, 10 minutes apart, whose clouds have been followed; not to be changed."""
    folder = tmp_path_factory.mktemp("followed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / ".dagster"))
        write_meta(folder / "trades", meta_of(small_archive))
        assert main(["flow", "--data-path", str(folder / "trades")]) == 0
    return folder / "trades"


@pytest.fixture(name="dataset")
def dataset_fixture(followed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with an instance of its own."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / ".dagster"))
    return Path(shutil.copytree(followed, tmp_path / "trades"))


def flow(dataset: Path, *options: str) -> int:
    return main(["flow", "--data-path", str(dataset), *options])


# Against the truth


def test_the_velocity_of_simulated_clouds_is_recovered(followed: Path) -> None:
    data = opened(followed / f"flow/{DAY}.nc")
    assert data.sizes["trajectory"] > MOST
    assert data["row_size"].values.mean() > 3
    assert np.bincount(data["scene"]).max() == MOST
    expected = np.stack(truth.velocity(data["lon"].values, data["lat"].values))
    found = np.stack([data["u"].values, data["v"].values])
    error = np.hypot(*(found - expected)) / np.hypot(*expected)
    assert np.median(error) < 0.01
    assert np.percentile(error, 95) < 0.05


def test_trajectories_stay_on_their_clouds(followed: Path) -> None:
    data = opened(followed / f"flow/{DAY}.nc")
    trajectory = np.repeat(data["trajectory"].values, data["row_size"].values)
    for number in np.flatnonzero(data["row_size"].values == len(SCENES)):
        mine = trajectory == number
        lon, lat = data["lon"].values[mine], data["lat"].values[mine]
        seconds = (data["time"].values[mine] - data["time"].values[mine][0]) / np.timedelta64(1, "s")
        for at in range(1, len(SCENES)):
            x, y = DOMAIN.from_lonlat(*truth.displaced(lon[0], lat[0], float(seconds[at])))
            away = np.hypot(x - data["x"].values[mine][at], y - data["y"].values[mine][at])
            assert away < 1000 * max(1, 0.3 * at)


def test_times_are_those_of_the_scans_and_positions_those_of_the_grid(followed: Path) -> None:
    data = opened(followed / f"flow/{DAY}.nc")
    assert list(data["scene_id"].values) == SCENES
    starts = [opened(followed / f"rect/{scene_id}.nc").attrs["scene_time"] for scene_id in SCENES]
    np.testing.assert_array_equal(data["scene_time"], np.array(starts, "datetime64[us]"))
    np.testing.assert_array_equal(data["time"], data["scene_time"].values[data["scene"]])
    x, y = DOMAIN.from_lonlat(data["lon"], data["lat"])
    np.testing.assert_allclose([x, y], [data["x"], data["y"]], atol=0.01)


def test_each_scene_has_a_plot_and_the_day_a_film(followed: Path) -> None:
    assert names_in(followed / f"flow/plots/{DAY}") == {f"{scene_id}.png" for scene_id in SCENES}
    plot = np.asarray(Image.open(followed / f"flow/plots/{DAY}/{SCENES[3]}.png").convert("RGB"), int)
    coloured = np.ptp(plot, axis=-1) > 120
    assert 0.005 < coloured.mean() < 0.3
    assert (followed / f"flow/plots/{DAY}.mp4").read_bytes()[4:8] == b"ftyp"


def test_tiles_follow_the_clouds(followed: Path, small_archive: str, dataset: Path) -> None:
    tile_n = 24
    around = {"resolution": 1000.0, "trajectories": {"tile_N": tile_n}}
    source = {"filepath": f"{followed}/flow/{DAY}.nc"}
    following = write_meta(
        dataset.parent / "following", meta_of(small_archive, sampling=around, trajectories=source, image_function=None)
    )
    assert main(["tiles", "--data-path", str(following)]) == 0
    data = opened(followed / f"flow/{DAY}.nc")
    assert len(list((following / "trajectories").glob("*.nc"))) == data.sizes["obs"]

    whole = data["trajectory"].values[data["row_size"].values == len(SCENES)]
    assert whole.size > 5
    first_scene, last_scene = (opened(followed / f"rect/{SCENES[at]}.nc")["rgb_truecolor"].values[0] for at in (0, -1))
    with_cloud, without = [], []
    for number in whole:
        tiles = [opened(following / f"trajectories/{scene_id}__{number:05d}.nc") for scene_id in SCENES]
        images = [tile["rgb_truecolor"].values[0] for tile in tiles]
        with_cloud.append(np.corrcoef(images[0].ravel(), images[-1].ravel())[0, 1])
        described = yaml.safe_load((following / f"trajectories/{SCENES[0]}__{number:05d}.yml").read_text())
        assert described["trajectory_offset_s"] == 0
        j, i = (int(described["loc"][name] / 1e3) + 60 - tile_n // 2 for name in ("y_c", "x_c"))
        if min(i, j) >= 0 and max(i, j) + tile_n <= 120:
            place = slice(j, j + tile_n), slice(i, i + tile_n)
            without.append(np.corrcoef(first_scene[place].ravel(), last_scene[place].ravel())[0, 1])
    assert np.median(with_cloud) > 0.95
    assert np.median(without) < 0.5


# What is made, kept and refused


def test_what_is_there_is_kept_and_made_anew_where_the_options_are_others(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [dataset / f"flow/{DAY}.nc", dataset / f"flow/plots/{DAY}/{SCENES[0]}.png"]
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in files]
    assert flow(dataset) == 0
    assert [path.stat().st_mtime_ns for path in files] == [time for time, _ in before]

    assert flow(dataset, "--max-num-trajectories", "10", "--min-point-distance", "20e3") == 0
    assert f"{DAY}: " in capsys.readouterr().out
    data = opened(files[0])
    assert np.bincount(data["scene"]).max() == 10
    assert data.attrs["min_point_distance"] == 20e3
    assert files[1].read_bytes() != before[1][1]

    meta = yaml.safe_load((dataset / "meta.yaml").read_text())
    write_meta(dataset, meta | {"flow": {"max_num_trajectories": 10, "min_point_distance": 20e3}})
    written = [path.stat().st_mtime_ns for path in files]
    assert flow(dataset) == 0
    assert [path.stat().st_mtime_ns for path in files] == written


def test_a_prefix_takes_some_scenes_of_a_day(dataset: Path) -> None:
    assert flow(dataset, "--prefix", "goes16__20200202143") == 0
    assert list(opened(dataset / "flow/goes16__20200202143.nc")["scene_id"].values) == SCENES[3:]
    assert names_in(dataset / "flow/plots/goes16__20200202143") == {f"{SCENES[3]}.png"}


def test_no_cloud_is_followed_across_a_gap(
    small_archive: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = {"t_start": FIRST + timedelta(minutes=50), "t_end": end_of(7)}
    intervals = {"intervals": [{"t_start": FIRST, "t_end": end_of(2)}, late]}
    write_meta(dataset, meta_of(small_archive, time=intervals))
    assert flow(dataset) == 0
    said = "all end before goes16__202002021450: it starts 0:40:00 after goes16__202002021410, dt_max 0:30:00"
    assert said in capsys.readouterr().out
    data = opened(dataset / f"flow/{DAY}.nc")
    stop = np.cumsum(data["row_size"].values)
    spans = [data["scene"].values[[stop[n] - size, stop[n] - 1]] for n, size in enumerate(data["row_size"].values)]
    assert {(first > 1, last > 1) for first, last in spans} == {(False, False), (True, True)}


def test_scenes_that_cannot_be_read_are_passed_over_and_tried_again(
    small_archive: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = shutil.copytree(Path(small_archive.removeprefix("file://")).parent, dataset.parent / "archive")
    archive = f"file://{copied}/noaa-{{satellite}}"
    files = {scene_id: granule(archive, scene_id, 2) for scene_id in SCENES}
    whole = {scene_id: path.read_bytes() for scene_id, path in files.items()}
    folder = write_meta(dataset.parent / "broken", meta_of(archive))
    for path in files.values():
        path.write_bytes(b"junk")
    assert flow(folder) == 1
    error = capsys.readouterr().err
    assert f"none of 4 scenes can be read; the first, {SCENES[0]}: " in error
    assert "no readable ABI L1b radiance file" in error
    assert not (folder / "flow").exists()

    for scene_id in (SCENES[0], *SCENES[2:]):
        files[scene_id].write_bytes(whole[scene_id])
    assert flow(folder) == 0
    assert f"warning: passed over, since they cannot be read: {SCENES[1]}" in capsys.readouterr().err
    data = opened(folder / f"flow/{DAY}.nc")
    assert list(data["scene_id"].values) == [SCENES[0], *SCENES[2:]]
    assert data.attrs["unreadable_scenes"] == SCENES[1]

    files[SCENES[1]].write_bytes(whole[SCENES[1]])
    assert flow(folder) == 0
    assert "passed over" not in capsys.readouterr().err
    assert list(opened(folder / f"flow/{DAY}.nc")["scene_id"].values) == SCENES


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prefix", "goes17"], "no scene ID begins with 'goes17'. They go from goes16__202002021400 to"),
        (["--prefix", ""], "no prefix is given"),
        (["--dt-max", "30"], "flow.dt_max: '30' is not a duration; write it in ISO 8601"),
        (["--min-point-distance", "0"], "flow.min_point_distance: '0' is out of range; it must be above 0"),
        (["--band", "bt_13"], "flow.band: 'bt_13' names a band of truecolor"),
    ],
)
def test_options_that_cannot_be(
    dataset: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    before = (dataset / f"flow/{DAY}.nc").stat().st_mtime_ns
    assert flow(dataset, *options) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert (dataset / f"flow/{DAY}.nc").stat().st_mtime_ns == before


def test_status_lists_trajectories_and_why_they_are_out_of_date(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> list[str]:
        assert main(["status", "--data-path", str(dataset)]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("flow/")]

    assert said() == [f"flow/{DAY}.nc: current"]
    (dataset / "flow/goes16__2020.nc").write_bytes(b"junk")
    meta = yaml.safe_load((dataset / "meta.yaml").read_text())
    write_meta(dataset, meta | {"flow": {"max_num_trajectories": 10}})
    assert said() == [
        "flow/goes16__2020.nc: missing: the file cannot be opened",
        f"flow/{DAY}.nc: outdated: flow.max_num_trajectories: {MOST} → 10",
    ]
    write_meta(dataset, meta | {"sampling": {"resolution": 2000.0}})
    assert said()[1] == f"flow/{DAY}.nc: outdated: scenes are not on the grid, or of other settings"
    write_meta(dataset, meta | {"time": {"t_start": FIRST, "t_end": end_of(3)}})
    assert main(["scene-ids", "--data-path", str(dataset)]) == 0
    capsys.readouterr()
    assert said()[1] == f"flow/{DAY}.nc: outdated: the scenes are others"


def test_unknown_keys_of_the_section_are_errors(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meta = yaml.safe_load((dataset / "meta.yaml").read_text())
    write_meta(dataset, meta | {"flow": {"max_trajectories": 10}})
    assert flow(dataset) == 1
    assert "flow.max_trajectories: unknown key (value 10); did you mean max_num_traj" in capsys.readouterr().err


def test_without_opencv_nothing_is_begun(
    small_archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    folder = write_meta(tmp_path / "new", meta_of(small_archive))
    assert flow(folder) == 1
    assert "pip install 'convml-data[flow]'" in capsys.readouterr().err
    assert names_in(folder) == {"meta.yaml"}


def test_bands_and_pictures_by_nobody(small_archive: str, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fields are followed by the band that is named, also where pictures of them are not wanted."""
    meta = meta_of(small_archive, image_function=None) | {"type": "multichannel__refl_1__refl_3"}
    meta["time"] = {"t_start": FIRST, "t_end": end_of(2)}
    del meta["product_options"]
    folder = write_meta(dataset.parent / "fields", meta)
    assert flow(folder, "--band", "refl_2") == 1
    assert "there is no band 'refl_2'. Write refl_1 or refl_3" in capsys.readouterr().err
    assert flow(folder, "--band", "refl_3") == 0
    data = opened(folder / f"flow/{DAY}.nc")
    assert '"band":"refl_3"' in data.attrs["options"]
    expected = np.stack(truth.velocity(data["lon"].values, data["lat"].values))
    error = np.hypot(*(np.stack([data["u"].values, data["v"].values]) - expected)) / np.hypot(*expected)
    assert np.median(error) < 0.05


# In the record


def test_the_record_of_no_trajectories_has_no_number_that_is_none(dataset: Path) -> None:
    assert flow(dataset, "--prefix", SCENES[0]) == 0
    instance = open_instance(dagster_home(dataset))
    event = instance.get_latest_materialization_event(dg.AssetKey(["trades", "flow", "trajectories"]))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["trajectories"].value == 0
    assert "median_speed" not in metadata


def test_the_record_of_the_ui_has_numbers_and_a_picture(followed: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(followed.parent / ".dagster"))
        instance = open_instance(dagster_home(followed))
        found = {}
        for asset in ("trajectories", "plots"):
            event = instance.get_latest_materialization_event(dg.AssetKey(["trades", "flow", asset]))
            assert event is not None
            assert event.asset_materialization is not None
            found[asset] = event.asset_materialization.metadata
    data = opened(followed / f"flow/{DAY}.nc")
    assert found["trajectories"]["trajectories"].value == data.sizes["trajectory"]
    assert found["trajectories"]["median_speed"].value == pytest.approx(8.2, rel=0.03)
    assert found["plots"]["plots"].value == len(SCENES)
    for metadata in found.values():
        assert str(metadata["picture"].value).startswith(f"![{DAY}](data:image/png;base64,")
