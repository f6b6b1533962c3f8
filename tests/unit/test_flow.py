"""Following points: known shifts, gaps in data and time, positions and velocities, pictures of them."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter, shift

from convml_data.errors import ConvmlError, MetaError
from convml_data.flow.animation import film
from convml_data.flow.features import Frame, corners, frame_of
from convml_data.flow.files import to_dataset
from convml_data.flow.joins import Moment, breaks
from convml_data.flow.opencv import opencv
from convml_data.flow.plot import flow_plot
from convml_data.flow.shades import shades
from convml_data.flow.tracking import FOLLOWED, End, follow
from convml_data.flow.trajectories import Tracks, track
from convml_data.flow.velocities import neighbours, velocities_on_earth, velocities_on_plane
from convml_data.geometry.local import Domain, LocalDomain, LocalGrid, PlaneDomain
from convml_data.images.style import Band, FieldStyle, TruecolorStyle
from convml_data.store.arrays import write_netcdf
from convml_data.trajectories import read_trajectories

pytest.importorskip("cv2", reason="needs the extra flow")

Shades = npt.NDArray[np.float64]


def clouds(ny: int = 120, nx: int = 160, seed: int = 0, cell: float = 3) -> Shades:
    """Cells in clusters, from 0 to 1."""
    noise = np.random.default_rng(seed).standard_normal((ny, nx))
    cells, clusters = (gaussian_filter(noise, sigma, mode="wrap") for sigma in (cell, 5 * cell))
    together = cells / max(cells.std(), 1e-9) + clusters / max(clusters.std(), 1e-9)
    return np.asarray(np.clip(0.5 + 0.2 * together, 0, 1), np.float64)


def moved(field: Shades, dx: float, dy: float) -> Shades:
    return np.asarray(np.clip(shift(field, (dy, dx), order=3, mode="grid-wrap"), 0, 1), np.float64)


def moments(starts: Sequence[datetime], minutes: float = 0.0, satellite: str = "goes16") -> list[Moment]:
    return [Moment(f"a__{start:%Y%m%d%H%M}", start, start + timedelta(minutes=minutes), satellite) for start in starts]


FIRST = datetime(2020, 2, 2, 14, 0, 20, 800_000)


# Frames and corners


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 5), (20, 33), (31, 31), (64, 400)])
def test_scenes_of_any_size_are_followed(shape: tuple[int, int]) -> None:
    frames = [frame_of(moved(clouds(*shape, cell=1), 0.4 * number, 0)) for number in range(3)]
    tracks = track(frames, [False, True, True], most=20, distance=3)
    assert tracks.row_size.sum() == len(tracks.scene) == len(tracks.column)
    assert (len(tracks.row_size) > 0) == (min(shape) >= 20)


@pytest.mark.parametrize("value", [np.nan, 0.0, 0.7])
def test_scenes_without_anything_to_follow_have_no_points(value: float) -> None:
    frame = frame_of(np.full((40, 50), value))
    assert corners(frame, 10, 2, np.empty((0, 2), np.float32)).shape == (0, 2)
    assert frame.followable.any() == np.isfinite(value)


def test_corners_keep_their_distance_from_each_other_and_from_those_that_are_followed() -> None:
    frame, taken = frame_of(clouds()), np.array([[40.2, 60.7], [120, 30]], np.float32)
    found = corners(frame, 1000, 9.5, taken)
    assert len(found) > 20
    everything = np.concatenate([taken, found]).astype(float)
    apart = np.hypot(*(everything[:, np.newaxis] - everything).transpose(2, 0, 1))
    assert apart[~np.eye(len(apart), dtype=bool)].min() >= 9
    np.testing.assert_array_equal(corners(frame, 7, 9.5, taken), found[:7])
    assert corners(frame, 0, 9.5, taken).shape == (0, 2)


def test_corners_that_are_free_are_no_worse_than_they_would_be_if_all_were() -> None:
    faint = 0.5 + 0.02 * (clouds() - 0.5)
    faint[40:80, 60:100] = clouds()[40:80, 60:100]
    taken = np.stack(np.meshgrid(np.arange(55, 106, 5), np.arange(35, 86, 5)), axis=-1).reshape(-1, 2)
    assert corners(frame_of(faint), 100, 6, taken.astype(np.float32)).shape == (0, 2)


def test_no_point_is_on_a_gap_or_beside_one() -> None:
    field = clouds()
    field[:, 70:90] = np.nan
    field[20, 30] = np.nan
    frame = frame_of(field)
    found = np.rint(corners(frame, 1000, 2, np.empty((0, 2), np.float32))).astype(int)
    assert len(found) > 100
    assert ((found[:, 0] < 60) | (found[:, 0] > 100)).all()
    assert (found[:, 0] < 60).any()
    assert (found[:, 0] > 100).any()
    assert not frame.followable[20, 30]
    assert frame.followable[20, 33], "a single pixel without a value leaves its neighbours"


# From one scene to the next


@pytest.mark.parametrize(("dx", "dy"), [(0.3, 0.0), (-4.8, -1.2), (7.25, 3.5), (20.5, -11.75)])
def test_known_shifts_are_found_to_a_tenth_of_a_pixel(dx: float, dy: float) -> None:
    before, after = frame_of(clouds(200, 260)), frame_of(moved(clouds(200, 260), dx, dy))
    points = corners(before, 200, 8, np.empty((0, 2), np.float32))
    inner = ((points > 40) & (points < [220, 160])).all(axis=1)
    there, ends = follow(before, after, points[inner])
    assert (ends == FOLLOWED).mean() > 0.95
    error = (there - points[inner] - [dx, dy])[ends == FOLLOWED]
    assert np.median(np.hypot(*error.T)) < 0.03
    assert np.percentile(np.hypot(*error.T), 95) < 0.1


def test_why_points_are_not_followed() -> None:
    field = clouds(120, 160)
    before, after = frame_of(field), moved(field, -6, 0)
    after[:, 100:140] = np.nan
    points = np.array([[3, 60], [60, 60], [115, 60]], np.float32)
    _, ends = follow(before, frame_of(after), points)
    assert list(ends) == [End.left_domain, FOLLOWED, End.missing_values]
    _, ends = follow(before, frame_of(clouds(seed=1)), corners(before, 100, 8, points))
    assert (ends == End.not_found_again).mean() > 0.5
    there, ends = follow(before, before, np.empty((0, 2), np.float32))
    assert there.shape == (0, 2)
    assert ends.shape == (0,)


# Through all scenes


def drifting(count: int, dx: float = -4.8, dy: float = -1.2) -> list[Frame]:
    return [frame_of(moved(clouds(), dx * number, dy * number)) for number in range(count)]


def of_one(tracks: Tracks, number: int) -> slice:
    stop = np.cumsum(tracks.row_size)
    return slice(int(stop[number] - tracks.row_size[number]), int(stop[number]))


def test_points_are_followed_as_long_as_they_are_seen_and_found_anew_where_they_are_lost() -> None:
    tracks = track(drifting(12), [False] + [True] * 11, most=60, distance=8)
    assert tracks.row_size.min() >= 2
    begins = np.array([tracks.scene[of_one(tracks, number)][0] for number in range(len(tracks.row_size))])
    assert (np.diff(begins) >= 0).all()
    assert len(np.unique(begins)) > 6, "clouds that drift in are followed too"
    for number in range(len(tracks.row_size)):
        mine = of_one(tracks, number)
        assert (np.diff(tracks.scene[mine]) == 1).all()
        np.testing.assert_allclose(np.diff(tracks.column[mine]), -4.8, atol=0.5)
        np.testing.assert_allclose(np.diff(tracks.row[mine]), -1.2, atol=0.5)
        last = tracks.scene[mine][-1]
        assert (tracks.end[number] == End.last_scene) == (last == 11)
    assert np.bincount(tracks.scene).max() <= 60
    assert (tracks.end == End.left_domain).any()


def test_no_trajectory_crosses_scenes_that_are_not_joined() -> None:
    tracks = track(drifting(6), [False, True, True, False, True, True], most=60, distance=8)
    spans = [tracks.scene[of_one(tracks, number)] for number in range(len(tracks.row_size))]
    assert {int(span[0]) // 3 for span in spans} == {0, 1}
    assert all(span[0] // 3 == span[-1] // 3 for span in spans)
    ended = {int(tracks.end[number]) for number, span in enumerate(spans) if span[-1] == 2}
    assert ended == {End.not_joined}


def test_points_that_are_seen_once_are_counted_and_are_no_trajectory() -> None:
    tracks = track([frame_of(clouds()), frame_of(clouds(seed=1))], [False, True], most=50, distance=8)
    assert tracks.never_followed > 10
    assert tracks.never_followed + len(tracks.row_size) == 50
    alone = track([frame_of(clouds())], [False], most=50, distance=8)
    assert (len(alone.row_size), alone.never_followed) == (0, 0)


def test_no_trajectory_enters_a_gap() -> None:
    fields = [moved(clouds(), -4.8 * number, 0) for number in range(10)]
    for field in fields:
        field[:, 70:90] = np.nan
    tracks = track([frame_of(field) for field in fields], [False] + [True] * 9, most=200, distance=5)
    assert (np.abs(tracks.column - 79.5) > 18).all()
    assert (tracks.end == End.missing_values).sum() > 5
    sides = [np.unique(tracks.column[of_one(tracks, number)] > 80) for number in range(len(tracks.row_size))]
    assert all(len(side) == 1 for side in sides)


def test_which_scenes_are_joined() -> None:
    ten = timedelta(minutes=10)
    even = moments([FIRST, FIRST + ten, FIRST + 4 * ten], minutes=9.5)
    other = moments([FIRST + 5 * ten], minutes=9.5, satellite="goes17")
    longer = moments([FIRST + 6 * ten], minutes=14, satellite="goes17")
    why = breaks([*even, *other, *longer], dt_max=2 * ten)
    assert why[0] == "it is the first scene"
    assert why[1] is None
    assert why[2] == "it starts 0:30:00 after a__202002021410, dt_max 0:20:00"
    assert why[3] == "it is of goes17, the scene before of goes16"
    assert why[4] == "its scan takes 0:14:00, the one before 0:09:30"
    assert breaks([], ten) == []


# Velocities


@given(st.lists(st.integers(2, 6), max_size=8))
def test_neighbours_never_leave_their_trajectory(lengths: list[int]) -> None:
    row_size = np.array(lengths, np.int32)
    before, after = neighbours(row_size)
    trajectory = np.repeat(np.arange(len(lengths)), lengths)
    np.testing.assert_array_equal(trajectory[before], trajectory)
    np.testing.assert_array_equal(trajectory[after], trajectory)
    assert set(after - before) <= {1, 2}


def test_velocities_are_of_true_time_differences() -> None:
    seconds = np.array([0, 600, 1500, 0, 300.0])
    u, v = velocities_on_plane(np.array([3, 2]), seconds, x=8 * seconds, y=-2 * seconds + [0, 0, 0, 5e4, 5e4])
    np.testing.assert_allclose(u, 8)
    np.testing.assert_allclose(v, -2)


@pytest.mark.parametrize("centre", [(13.3, -57.72), (65.0, 179.5), (-40.0, 0.0)])
def test_east_is_east_also_far_from_the_centre_and_over_the_date_line(centre: tuple[float, float]) -> None:
    domain = LocalDomain(*centre, 4000e3, 3000e3)
    start_lon, start_lat = domain.to_lonlat([-1800e3, 0, 1800e3], [1300e3, 0, -1300e3])
    seconds = np.tile([0, 600.0], 3)
    east = 10 * seconds / (6371e3 * np.cos(np.deg2rad(np.repeat(start_lat, 2))))
    lon = (np.repeat(start_lon, 2) + np.rad2deg(east) + 180) % 360 - 180
    u, v = velocities_on_earth(np.array([2, 2, 2]), seconds, lon, np.repeat(start_lat, 2))
    np.testing.assert_allclose(u, 10, rtol=0.005)
    np.testing.assert_allclose(v, 0, atol=1e-3)


# Files


def some_tracks() -> Tracks:
    return Tracks(
        row_size=np.array([3, 2], np.int32),
        end=np.array([End.left_domain, End.last_scene], np.int8),
        scene=np.array([0, 1, 2, 1, 2], np.int32),
        column=np.array([10.5, 8.0, 5.5, 30.0, 27.0]),
        row=np.array([4.0, 4.5, 5.0, 60.0, 62.0]),
        never_followed=1,
    )


def no_tracks() -> Tracks:
    return track([frame_of(clouds())], [False], most=50, distance=8)


THREE = moments([FIRST, FIRST + timedelta(minutes=10), FIRST + timedelta(minutes=25)])


def written(path: Path, tracks: Tracks, domain: Domain, scenes: Sequence[Moment] = tuple(THREE)) -> xr.Dataset:
    write_netcdf(path, to_dataset(tracks, scenes, LocalGrid(domain, 1000.0), {"title": "a test"}))
    with xr.open_dataset(path, engine="h5netcdf") as data:
        return data.load()


def test_positions_times_and_velocities_in_the_file(tmp_path: Path) -> None:
    domain = LocalDomain(13.3, -57.72, 160e3, 120e3)
    data = written(tmp_path / "a.nc", some_tracks(), domain)
    assert data.attrs["featureType"] == "trajectory"
    assert data["row_size"].attrs["sample_dimension"] == "obs"
    np.testing.assert_allclose(data["x"], -79.5e3 + 1e3 * some_tracks().column)
    np.testing.assert_allclose(data["y"], -59.5e3 + 1e3 * some_tracks().row)
    x, y = domain.from_lonlat(data["lon"], data["lat"])
    np.testing.assert_allclose([x, y], [data["x"], data["y"]], atol=0.01)
    starts = np.array([THREE[number].start for number in (0, 1, 2, 1, 2)], "datetime64[us]")
    np.testing.assert_array_equal(data["time"], starts)
    np.testing.assert_allclose(data["u"], [-2500 / 600, -5000 / 1500, -2500 / 900, -3000 / 900, -3000 / 900], rtol=2e-3)
    assert (data["v"] > 0).all(), "rows run to the north"
    assert list(data["scene_id"].values[data["scene"]]) == [THREE[number].scene_id for number in (0, 1, 2, 1, 2)]
    assert data["u"].attrs["units"] == "m s-1"
    meanings = data["end"].attrs["flag_meanings"].split()
    assert [meanings[end] for end in data["end"].values] == ["left_domain", "last_scene"]


def test_the_same_trajectories_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nc", "b.nc"):
        written(tmp_path / name, some_tracks(), LocalDomain(13.3, -57.72, 160e3, 120e3))
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_a_file_of_no_trajectories_opens(tmp_path: Path) -> None:
    data = written(tmp_path / "a.nc", no_tracks(), LocalDomain(13.3, -57.72, 160e3, 120e3), THREE[:1])
    assert (data.sizes["trajectory"], data.sizes["obs"], data.sizes["scenes"]) == (0, 0, 1)
    with pytest.raises(MetaError, match="holds no point"):
        read_trajectories(tmp_path / "a.nc")


def test_without_a_place_on_the_earth_velocities_are_along_x_and_y(tmp_path: Path) -> None:
    data = written(tmp_path / "a.nc", some_tracks(), PlaneDomain(0, 0, 160e3, 120e3))
    assert "lon" not in data
    assert data["u"].attrs["long_name"].startswith("along x velocity")
    np.testing.assert_allclose(data["u"], [-2500 / 600, -5000 / 1500, -2500 / 900, -3000 / 900, -3000 / 900])


def test_files_are_read_as_trajectories_to_follow(tmp_path: Path) -> None:
    data = written(tmp_path / "a.nc", some_tracks(), LocalDomain(13.3, -57.72, 160e3, 120e3))
    read = read_trajectories(tmp_path / "a.nc")
    assert read.count == 2
    np.testing.assert_array_equal(read.number, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(read.times, data["time"].values.astype("datetime64[us]"))
    np.testing.assert_array_equal(read.lon, data["lon"])
    (data.assign(row_size=data["row_size"] + 1)).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with pytest.raises(MetaError, match="7 points in all, and there are 5"):
        read_trajectories(tmp_path / "b.nc")


# The grey image


def scene_of(values: npt.NDArray[np.floating], dims: Sequence[str] = ("bands", "y", "x")) -> xr.Dataset:
    return xr.Dataset({"field": (dims, values)})


def test_shades_are_on_one_scale_for_all_scenes_and_bright_where_clouds_are() -> None:
    style = FieldStyle((Band("bt_13", 300.0, 200.0), Band("bt_14", 290.0, 190.0)), "viridis")
    scene = scene_of(np.stack([np.full((2, 3), 250.0), np.full((2, 3), 215.0)]))
    np.testing.assert_allclose(shades(scene, style, None), 0.5)
    np.testing.assert_allclose(shades(scene, style, "bt_14"), 0.75)
    with pytest.raises(MetaError, match=r"flow\.band: there is no band 'bt_15'\. Write bt_13 or bt_14"):
        shades(scene, style, "bt_15")


def test_of_truecolor_the_red_band_is_followed_where_all_bands_are() -> None:
    rgb = np.stack([np.full((2, 3), percent) for percent in (60.0, 5.0, 5.0)])
    rgb[1, 0, 0] = np.nan
    grey = shades(scene_of(rgb), TruecolorStyle(), None)
    assert np.isnan(grey[0, 0])
    assert np.nanmin(grey) > 0.7
    with pytest.raises(MetaError, match=r"flow\.band: 'R' names a band of truecolor"):
        shades(scene_of(rgb), TruecolorStyle(), "R")


def test_without_opencv_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConvmlError, match=r"pip install 'convml-data\[flow\]'"):
        opencv()


# Pictures


def plots_of(tmp_path: Path, **options: Any) -> list[bytes]:
    grid = LocalGrid(LocalDomain(13.3, -57.72, 160e3, 120e3), 1000.0)
    flow = written(tmp_path / "a.nc", some_tracks(), grid.domain)
    picture = Image.new("RGB", (160, 120), (40, 60, 90))
    dt_max = options.pop("dt_max", timedelta(hours=2))
    return [flow_plot(picture, grid, flow, number, dt_max) for number in range(3)]


def different_pixels(one: bytes, other: bytes) -> int:
    first, second = (np.asarray(Image.open(io.BytesIO(plot)).convert("RGB"), int) for plot in (one, other))
    return int((np.abs(first - second).max(axis=-1) > 20)[100:].sum())  # below the title


def test_plots_show_the_way_back_and_ahead_as_far_as_they_are_asked_to(tmp_path: Path) -> None:
    long = plots_of(tmp_path)
    assert long == plots_of(tmp_path)
    short = plots_of(tmp_path, dt_max=timedelta(minutes=5))
    assert all(different_pixels(one, other) > 10 for one, other in zip(long, short, strict=True))
    sizes = {Image.open(io.BytesIO(plot)).size for plot in long}
    assert len(sizes) == 1
    assert all(side % 2 == 0 for side in sizes.pop())


def test_plots_as_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plots = plots_of(tmp_path)
    moving, ending = film(plots)
    assert ending == ".mp4"
    assert moving[4:8] == b"ftyp"
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    moving, ending = film(plots)
    assert ending == ".gif"
    animation = Image.open(io.BytesIO(moving))
    assert (animation.n_frames, animation.size) == (3, Image.open(io.BytesIO(plots[0])).size)
